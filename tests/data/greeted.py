# SPDX-License-Identifier: Apache-2.0
"""greeted.py HOST PORT [CLIENTS]: clients that wait to be greeted before they say a word (greeter.c), one after the other."""
import socket
import sys

for number in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as server:
        lines = server.makefile("rb")
        for word, want in (None, b"220 greeter\r\n"), (b"QUIT\r\n", b"221 bye\r\n"), (None, b""):
            if word:
                server.sendall(word)
            got = lines.readline()
            if got != want:
                sys.exit(f"client {number}: {got!r}, not {want!r}")
