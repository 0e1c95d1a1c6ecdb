# SPDX-License-Identifier: Apache-2.0
"""udp_window.py HOST COUNT SECONDS: datagrams of many sizes to udp_answer.c, and each comes back whole and in its turn. A few are on their way at
a time, as many as every buffer has room for: however slow the machine is, none may be lost."""
import random
import socket
import sys
import time

WINDOW, SIZES = 16, (4, 5, 100, 1472, 1473, 5000)
server, count, end = (sys.argv[1], 53), int(sys.argv[2]), time.monotonic() + int(sys.argv[3])
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(server)
content = random.Random(1).randbytes(max(SIZES))
sent = [number.to_bytes(4, "big") + content[4 : SIZES[number % len(SIZES)]] for number in range(count)]
for came in range(-WINDOW, count):
    if came + WINDOW < count:
        client.send(sent[came + WINDOW])
    if came < 0:
        continue
    client.settimeout(max(end - time.monotonic(), 0.001))
    try:
        got = client.recv(65536)
    except TimeoutError:
        sys.exit(f"datagram {came} of {count}, of {len(sent[came])} bytes, did not come back")
    if got != sent[came]:
        sys.exit(f"in the place of datagram {came}, of {len(sent[came])} bytes, came {len(got)} bytes, those of {int.from_bytes(got[:4], 'big')}")
print(f"{count} datagrams came back")
