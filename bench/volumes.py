# SPDX-License-Identifier: Apache-2.0
"""What bench/volumes runs as a VM and as a process: volume_work.py DIRECTORY makes one line a figure: name, value, unit."""
import mmap
import os
import random
import sys
import time

top = sys.argv[1]
file = top + "/large"
PAGE, RANDOM, DIRECT, FILES = 4096, 20000, 2000, 2000
FORGOTTEN = 1.2  # seconds after which no name is believed any more


def timed(work):
    before = time.monotonic()
    work()
    return time.monotonic() - before


def sequential():
    with open(file, "rb", buffering=0) as data:
        while data.read(1 << 20):
            pass


def at_random(fd, count):
    rng = random.Random(7)
    pages = os.fstat(fd).st_size // PAGE
    for _ in range(count):
        os.pread(fd, PAGE, rng.randrange(pages) * PAGE)


def direct():
    fd = os.open(file, os.O_RDONLY | os.O_DIRECT)
    room = mmap.mmap(-1, PAGE)
    rng = random.Random(7)
    pages = os.fstat(fd).st_size // PAGE
    for _ in range(DIRECT):
        os.preadv(fd, [room], rng.randrange(pages) * PAGE)


def walk():
    for name in range(10000):
        os.lstat(f"{top}/tree/{name // 100}/{name}")


def find():
    for place, _, names in os.walk(top + "/tree"):
        for name in names:
            os.lstat(f"{place}/{name}")


def read_file(name):
    fd = os.open(f"{top}/tree/{name // 100}/{name}", os.O_RDONLY)
    os.read(fd, PAGE)
    os.close(fd)


def small_files():
    for name in range(FILES):
        read_file(name)


def same_file():
    for _ in range(FILES):
        read_file(1)


def write():
    with open(top + "/written", "wb", buffering=0) as data:
        for _ in range(1000):
            data.write(bytes(PAGE))


size = os.stat(file).st_size / 1e6
print(f"sequential, first {size / timed(sequential):.0f} MB/s")
print(f"sequential, again {size / timed(sequential):.0f} MB/s")
fd = os.open(file, os.O_RDONLY)
print(f"4 KiB at random, cached {timed(lambda: at_random(fd, RANDOM)) / RANDOM * 1e6:.1f} us")
print(f"4 KiB at random, direct {timed(direct) / DIRECT * 1e6:.1f} us")
print(f"4 KiB written {timed(write) / 1000 * 1e6:.1f} us")
print(f"lstat of 10,000 files, first {timed(walk) * 1e3:.0f} ms")
print(f"lstat of 10,000 files, again {timed(walk) * 1e3:.0f} ms")
time.sleep(FORGOTTEN)
print(f"listing of 100 directories, lstat of 10,000 files {timed(find) * 1e3:.0f} ms")
time.sleep(FORGOTTEN)
print(f"open, read, close of small files {timed(small_files) / FILES * 1e6:.1f} us")
print(f"the same of one file, again and again {timed(same_file) / FILES * 1e6:.1f} us")
