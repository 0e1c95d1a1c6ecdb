# SPDX-License-Identifier: Apache-2.0
"""servers.py ADDRESS DIRECTORY: HTTP on port 8000, DNS on port 53: there.test is 10.9.9.9, no other name exists."""
import functools, http.server, socket, struct, sys, threading

address, directory = sys.argv[1:]


def answer(query):
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    end = at + 5
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    known = ".".join(name).lower() == "there.test"
    records = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, socket.inet_aton("10.9.9.9")) if known and kind == 1 else b""
    flags = 0x8180 if known else 0x8183
    return query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0) + query[12:end] + records


def serve_dns(sock):
    while True:
        query, peer = sock.recvfrom(1500)
        sock.sendto(answer(query), peer)


dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind((address, 53))
threading.Thread(target=serve_dns, args=(dns,), daemon=True).start()
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
server = http.server.ThreadingHTTPServer((address, 8000), handler)
print("ready", flush=True)
server.serve_forever()
