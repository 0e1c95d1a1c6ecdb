# SPDX-License-Identifier: Apache-2.0
"""same_port.py HOST PORT CLIENTS: clients of greeter.c one right after the other, all from one port. Behind passt one of them may be given
up by passt; what must not be is that nobody is served any more. Exit status 0: most were served, and so is one from another port."""
import errno
import socket
import sys
import time


def reach(server):
    """The port is free once the server has acknowledged the end of the connection before."""
    limit = time.monotonic() + 5
    while (error := server.connect_ex((sys.argv[1], int(sys.argv[2])))) == errno.EADDRNOTAVAIL and time.monotonic() < limit:
        time.sleep(0.001)
    if error:
        raise OSError(error, "connect")


def client(own):
    server = socket.socket()
    server.settimeout(5)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", own))
    try:
        reach(server)
        own = server.getsockname()[1]
        got = server.recv(100)
        server.sendall(b"QUIT\r\n")
        while more := server.recv(100):
            got += more
        return own, got == b"220 greeter\r\n221 bye\r\n"
    except OSError as error:
        print(error)
        return own, False
    finally:
        server.close()


port, served = client(0)
count = int(sys.argv[3])
for _ in range(count - 1):
    served += client(port)[1]
print(f"{served} of {count} served")
sys.exit(not (client(0)[1] and served > count / 2))
