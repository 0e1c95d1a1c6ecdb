# SPDX-License-Identifier: Apache-2.0
"""udp_loopback.py PORT SECONDS: a client on the host's loopback, of the program in host_loopback.sh behind -p PORT:53/udp. Prints
"answered", then what of the loopback the program reached when it was told to try: "udp" and "tcp", each if it was."""
import socket
import sys
import time

server, end = ("127.0.0.1", int(sys.argv[1])), time.monotonic() + int(sys.argv[2])
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
stream = socket.create_server(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.2)


def ask(words, again=True):
    """The answer comes after all that the program has sent because of the question."""
    client.sendto(words.encode(), server)
    while time.monotonic() < end:
        try:
            answer, address = client.recvfrom(100)
        except (TimeoutError, ConnectionRefusedError):
            if again:
                client.sendto(words.encode(), server)
            continue
        if answer.decode() == words and address == server:
            return
    sys.exit(f"no answer to '{words}'")


ask("hello")
print("answered")
ask(f"udp {datagrams.getsockname()[1]}", again=False)
ask(f"tcp {stream.getsockname()[1]}", again=False)
for name, listener, take in (("udp", datagrams, lambda: datagrams.recv(10)), ("tcp", stream, stream.accept)):
    listener.setblocking(False)
    try:
        take()
        print(name)
    except BlockingIOError:
        pass
