#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A source that is trusted and not honest: offers a VM whose manifest it has changed, to "lightvm host serve".

migrate_hostile.py PORT OWN.PEM VM.JSON CHANGES [MEMORY]: CHANGES, JSON, are members of the manifest's config, image_size, parent, kernel_sha256, compressed, told, which is said of its disks, and kernel_size, initrd_sha256, initrd_size of the offer. Prints what the other side answers, "WANTED" or its
ABANDON; with MEMORY, if it wants no image, it offers one page of a memory of so many bytes, and if it does, it sends one piece of that and nothing more until its
standard input ends."""
import json
import os
import socket
import ssl
import struct
import sys

HELLO, CONFIG, WANTED, IMAGE, MEMORY, ABANDON, ABANDONED = 1, 4, 5, 6, 7, 14, 15
FRAME = struct.Struct("<IHHII16s")
uuid = os.urandom(16)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.load_cert_chain(sys.argv[2])
wire = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10))


def exactly(size):
    data = b""
    while len(data) < size:
        more = wire.recv(size - len(data))
        if not more:
            sys.exit("the connection has ended")
        data += more
    return data


def say(kind, body=b""):
    wire.sendall(FRAME.pack(0x47494D4C, 1, kind, len(body), 0, uuid) + body)


def hear(what, name):
    _, _, kind, size, _, _ = FRAME.unpack(exactly(FRAME.size))
    body = exactly(size)
    if kind == ABANDON:
        say(ABANDONED)
        print(body.decode())
        sys.exit(0)
    if kind != what:
        sys.exit(f"{kind} in place of {name}")
    return body


assert exactly(1) == b"L"
say(HELLO, struct.pack("<HHI", 1, 1, 0))
hear(HELLO, "HELLO")
with open(sys.argv[3], encoding="utf-8") as file:
    manifest = json.load(file)
changes = json.loads(sys.argv[4])
manifest["image_size"] = changes.pop("image_size", manifest["image_size"])
manifest["parent"] = changes.pop("parent", None)
manifest["kernel_sha256"] = changes.pop("kernel_sha256", manifest["kernel_sha256"])
if "compressed" in changes:
    manifest["compressed"] = changes.pop("compressed")
told = changes.pop("told", [])
offer = {"paused": False, "disks": told}
for key in ["kernel_size", "initrd_sha256", "initrd_size"]:
    if key in changes:
        offer[key] = changes.pop(key)
manifest["config"].update(changes)
say(CONFIG, json.dumps(offer | {"vm": manifest}).encode())
wants_image = struct.unpack("<II", hear(WANTED, "WANTED"))[0]
if len(sys.argv) > 5 and not wants_image:
    say(MEMORY, struct.pack("<QQ", 0, int(sys.argv[5])) + b"x" * 4096)
    wire.settimeout(2)
    try:
        hear(None, "nothing")
    except TimeoutError:
        print("it takes that")
elif len(sys.argv) > 5:
    say(IMAGE, struct.pack("<QQ", 0, manifest["image_size"]) + b"x" * 4096)
    print("sent", flush=True)
    sys.stdin.read()
else:
    print("WANTED")
