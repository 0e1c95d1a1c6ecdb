# SPDX-License-Identifier: Apache-2.0
# INTERFACE PREFIX: advertises this host there as the router of a prefix of 64 bits, several times a second, until it is ended.
import select
import socket
import struct
import sys

router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex(sys.argv[1])
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
# RFC 4861, 4.2 and 4.6.2; the kernel fills the checksum in
advert = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0)
prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 3600, 1800, 0) + socket.inet_pton(socket.AF_INET6, sys.argv[2])
while True:
    try:
        router.sendto(advert + prefix, ('ff02::1', 0, 0, index))
    except OSError:
        pass  # the interface has no address yet
    select.select([], [], [], 0.2)
