#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times copies of one runtime: one JSON object. For bench/template.

template_runs.py VMM LIBOS IMAGE PROGRAM RUNS START-FILE CODE WAITING-CODE"""
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

runs, start_file, code, waiting = int(sys.argv[5]), *sys.argv[6:9]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
# pylint: disable=wrong-import-position
from clones import ARG, CLONE, CWD, configure, text  # noqa: E402
from monitor_client import KILL, Monitor, ask, image, machine, need, program  # noqa: E402
from saved import PAGES, STATE, TOUCHED, WHOLE, connect  # noqa: E402
from template_files import MEMORY, pipe_of, template  # noqa: E402

ROOM = ("--mem", "1024M", "--image-room", str((os.stat(image).st_size | 0x1FFFFF) + 1), "--first-ram", "64M")
SEEN = 0.5  # seconds until the one that is asked for its pages has come to rest
OPTION = {"python3": "-c", "node": "-e"}[os.path.basename(program)]


def words(script):
    return [os.path.basename(program), OPTION, script]


def shell(saved=None):
    """A monitor that waits; with saved, one that has image and memory of that in place (lightvm pool add --template)."""
    fds = [os.open(image, os.O_RDONLY), *saved.opened()] if saved else []
    ahead = [word for name, fd in zip(("image", "state", "memory"), fds) for word in (f"--ahead-{name}", f"fd:{fd}")]
    monitor = Monitor(*ROOM, *ahead, keep=fds)
    for fd in fds:
        os.close(fd)
    monitor.await_created()
    return monitor


def begin(saved, script, flags=0, pages=None, control=None, ahead=False):
    """A copy that has been told what to do: its monitor, its output, and when it was told."""
    monitor = shell(saved if ahead else None)
    read_end, write_end = os.pipe()
    fds = [os.open(image, os.O_RDONLY), write_end, *saved.opened(), pipe_of(b""), os.dup(2)]
    places, more = {}, []
    if control is not None:
        places["control"] = len(fds)
        fds.append(os.dup(control.fileno()))
    if pages is not None:
        more.append((PAGES, struct.pack("<iI", len(fds), 0)))
        fds.append(os.open(f"/proc/self/fd/{pages.fileno()}", os.O_RDONLY))
    sent = [machine(MEMORY, image=0, out=1, in_=4, err=5, **places), (STATE, struct.pack("<iiII", 2, 3, CLONE | flags, 0)), *more,
            *(text(ARG, word) for word in words(script)), text(CWD, "/")]
    began = time.monotonic()
    configure(monitor, sent, fds, None)
    for fd in fds:
        os.close(fd)
    return monitor, os.fdopen(read_end, "rb"), began


def copy_ms(saved, flags=0, pages=None, ahead=False):
    monitor, output, began = begin(saved, code, flags, pages, ahead=ahead)
    output.read()
    took = (time.monotonic() - began) * 1000
    output.close()
    need("it ends as it should", monitor.ended()[0] == 0)
    return took


def process_ms():
    began = time.monotonic()
    subprocess.run(words(code), executable=program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - began) * 1000


def touched(saved):
    """Which pages one writes that waits."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0lightvm-bench-%d" % os.getpid())
    listener.listen(1)
    requests = connect(listener.getsockname())
    monitor, output, _ = begin(saved, waiting, control=listener)
    time.sleep(SEEN)
    pages = tempfile.TemporaryFile()
    need("the pages are told", ask(requests, TOUCHED, [pages.fileno()])[0] == 0)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    monitor.ended()
    output.close()
    return pages


def main():
    saved = template([os.path.basename(program), start_file])
    pages = touched(saved)
    ways = {"process_ms": process_ms, "plain_ms": lambda: copy_ms(saved), "pages_ms": lambda: copy_ms(saved, pages=pages), "whole_ms": lambda: copy_ms(saved, WHOLE),
            "ahead_ms": lambda: copy_ms(saved, WHOLE, ahead=True)}
    took = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            took[name].append(way())
    print(json.dumps({name: round(statistics.median(some), 2) for name, some in took.items()}))


main()
