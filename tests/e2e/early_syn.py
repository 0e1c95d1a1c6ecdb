#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections that come before the program listens (libos/net/syn_hold.h), over the tap's address.

early_syn.py HOST VM PORT: the program listens as soon as standard output has a byte of us."""
import os
import socket
import struct
import sys

SYN, RST, ACK = 2, 4, 16
host, vm, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.settimeout(20)


def need(what, holds):
    if not holds:
        sys.exit(f"early_syn.py: does not hold: {what}")


def send_syn(source, data):
    header = struct.pack("!HHIIBBHHH", source, port, 1000, 0, 5 << 4, SYN, 65535, 0, 0)
    pseudo = socket.inet_aton(host) + socket.inet_aton(vm) + struct.pack("!HH", socket.IPPROTO_TCP, len(header) + len(data))
    words = pseudo + header + data
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    raw.sendto(header[:16] + struct.pack("!H", ~total & 0xFFFF) + header[18:] + data, (vm, 0))


def answer_to(*sources):
    """The next answer to one of those ports: which, and its flags."""
    while True:
        packet, sender = raw.recvfrom(65536)
        segment = packet[(packet[0] & 15) * 4:]
        source, to = struct.unpack("!HH", segment[:4])
        if sender[0] == vm and source == port and to in sources:
            return to, segment[13]


send_syn(1111, b"")
send_syn(2222, bytes(1000))
to, flags = answer_to(1111, 2222)
need(f"a first segment that brings much is refused, and the one before waits: {to}, {flags:#x}", (to, flags & (SYN | RST)) == (2222, RST))
client = socket.socket()
client.setblocking(False)
client.connect_ex((vm, port))
os.write(1, b"\n")
client.setblocking(True)
client.settimeout(20)
need("a connection that came early is served", client.recv(16) == b"hello\n")
to, flags = answer_to(1111)
need(f"the one that waited longer, too: {flags:#x}", flags & (SYN | RST | ACK) == SYN | ACK)
