#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One session of "lightvm run -it" on a terminal of this script: run_terminal.py CASE LIGHTVM PROGRAM. It says what was awaited and seen when it does not go as it should."""
import os
import select
import signal
import sys
import termios
import time

from terminals import pair, resize, start

case, lightvm, program = sys.argv[1:4]
limit = time.time() + 60 * int(os.environ.get("LV_TIME_FACTOR", "1"))
master, slave = pair()
seen = b""
before = termios.tcgetattr(slave)


def fail(why):
    print(why, "after", seen, flush=True)
    os.kill(pid, signal.SIGTERM)
    sys.exit(1)


def until(word):
    global seen
    start = len(seen)
    while word not in seen[start:]:
        if not select.select([master], [], [], max(0, limit - time.time()))[0]:
            fail(f"waited for {word!r}")
        seen += os.read(master, 1)


def say(keys):
    os.write(master, keys)


def ended():
    global seen
    while True:
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 4096)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.time() > limit:
            fail("waited for the end")


def ends_with(wanted):
    status = ended()
    if status != wanted:
        fail(f"exit status {status}, not {wanted}")
    if termios.tcgetattr(slave) != before:
        fail("the terminal is not as it was")


options = ["--net", "none", "--rm"]
if case == "lines":  # PROGRAM: cat
    pid = start(slave, lightvm, "run", *options, "-it", program)
    say(b"hellx\x7fo\r")  # typed ahead: edited by whoever has the terminal by then
    until(b"hello\r\n")
    say(b"no\x15yes\r")
    until(b"yes\r\n")  # its echo; what was typed ahead may be echoed, and printed, on both sides of it
    until(b"yes\r\n")
    say(b"\x04")
    ends_with(0)
elif case == "keys":  # PROGRAM: the one of tests/guest that says what it got
    pid = start(slave, lightvm, "run", *options, "-it", program)
    until(b"30 90 /dev/console\r\n")
    say(b"x")  # it has the terminal raw
    until(b"key 120\r\n")
    say(b"\x1a")
    until(b"key 26\r\n")
    resize(master, 40, 100)
    os.kill(pid, signal.SIGWINCH)
    until(b"SIGWINCH 40 100\r\n")
    say(b"i")  # signals again
    until(b"signals\r\n")
    say(b"\x03")
    until(b"^CSIGINT\r\n")
    say(b"\x1c")
    until(b"^\\SIGQUIT\r\n")
    say(b"c")  # computes, and makes no system call
    until(b"computes\r\n")
    say(b"\x03")
    until(b"^CSIGINT while it computed\r\n")
    say(b"q")
    ends_with(7)
elif case == "interrupted":  # PROGRAM: one that waits
    pid = start(slave, lightvm, "run", *options, "-it", program, "waits")
    until(b"waits\r\n")
    say(b"\x03")
    ends_with(130)
elif case == "killed":  # PROGRAM: one that ignores SIGINT
    pid = start(slave, lightvm, "run", *options, "-it", program, "deaf")
    until(b"deaf\r\n")
    say(b"\x03\x03")
    time.sleep(2.1)  # two, and one more later, are the program's
    say(b"\x03")
    time.sleep(2.1)
    if os.waitpid(pid, os.WNOHANG)[0]:
        fail("it ended")
    say(b"\x03\x03\x03")
    until(b"killed after 3 interrupts")
    ends_with(137)
elif case == "attached":  # PROGRAM is the VM's name
    pid = start(slave, lightvm, "console", program)
    until(b"SIGWINCH 30 90\r\n")  # it has been told of our window
    say(b"x")
    until(b"key 120\r\n")
    say(b"\x10y")
    until(b"key 16\r\n")
    until(b"key 121\r\n")
    say(b"\x10\x11")
    ends_with(0)
print("as it should")
