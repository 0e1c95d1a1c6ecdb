#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a process can read from the /proc/self/pagemap that it holds open: how many pages are said to be there, and how many physical frame numbers.

pagemap_frames.py PID: "PAGES FRAMES", as the process itself would read it (a copy of its descriptor, not the file opened anew). PID 0: what we may read of ourselves."""
import ctypes
import os
import struct
import sys

PIDFD_GETFD = 438


def copied(pid):
    fds = f"/proc/{pid}/fd"
    number = next(int(fd) for fd in os.listdir(fds) if os.readlink(f"{fds}/{fd}").endswith("/pagemap"))
    fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, os.pidfd_open(pid), number, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return fd


pid = int(sys.argv[1])
fd = copied(pid) if pid else os.open("/proc/self/pagemap", os.O_RDONLY)
pages = frames = 0
with open(f"/proc/{pid or 'self'}/maps", encoding="ascii") as maps:
    ranges = [[int(end, 16) // 4096 for end in line.split()[0].split("-")] for line in maps]
for start, end in ranges:
    if end >= 1 << 35:
        continue  # the kernel's
    data = os.pread(fd, min(end - start, 512) * 8, start * 8)
    for (entry,) in struct.iter_unpack("<Q", data):
        pages += entry >> 63
        frames += bool(entry >> 63 and entry & (1 << 55) - 1)
print(pages, frames)
