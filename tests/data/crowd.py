# SPDX-License-Identifier: Apache-2.0
"""crowd.py HOST PORT CLIENTS: clients that come all at once to a server of one after the other (greeter.c); the first takes its time."""
import socket
import sys
import threading
import time

host, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
first = threading.Lock()
wrong = []


def client():
    try:
        with socket.create_connection((host, port), timeout=20) as server:
            lines = server.makefile("rb")
            greeting = lines.readline()
            if first.acquire(blocking=False):
                time.sleep(1)  # all others wait to be accepted meanwhile: what is tested, not a way to wait for it
            server.sendall(b"QUIT\r\n")
            got = greeting + lines.readline()
            if got != b"220 greeter\r\n221 bye\r\n":
                wrong.append(repr(got))
    except OSError as error:
        wrong.append(repr(error))


clients = [threading.Thread(target=client) for _ in range(number)]
for thread in clients:
    thread.start()
for thread in clients:
    thread.join()
if wrong:
    sys.exit(f"{len(wrong)} of {number} clients: {wrong[0]}")
