#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the connections of migrations as "lightvm host serve" does, but the first one by a command that is given.

migrate_listen.py PORT LIGHTVM COMMAND...: the first connection is the standard input of COMMAND, the others of LIGHTVM host receive. Says "listening"."""
import socket
import subprocess
import sys

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(16)
print("listening", flush=True)
command = sys.argv[3:]
while True:
    connection, _ = listener.accept()
    subprocess.run(command, stdin=connection, check=False)
    connection.close()
    command = [sys.argv[2], "host", "receive"]
