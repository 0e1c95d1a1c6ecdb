#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A session of a shell on a terminal, as a user has it: terminal.py LIGHTVM run|exec OPTION... -it ... SHELL. The shell's prompt is "# ".

When it does not go as it should, it says what was awaited and seen, and everything that tells where the session stands."""
import os
import select
import signal
import subprocess
import sys
import termios
import time

from terminals import pair, resize, start

limit = time.time() + 60 * int(os.environ.get("LV_TIME_FACTOR", "1"))
lightvm = sys.argv[1]


def show(*command):
    print("---", *command, flush=True)
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, flush=True)


def fail(why):
    """Says where everything stands, before anything is ended."""
    print(why, flush=True)
    show("ps", "-ef", "--forest")
    show(lightvm, "ps")
    names = subprocess.run([lightvm, "ps", "-q"], stdout=subprocess.PIPE, check=False).stdout.decode().split()
    for name in names:
        show(lightvm, "inspect", name)
        show(lightvm, "logs", name)
        show(lightvm, "exec", name, "busybox", "ps", "-o", "pid,stat,args")
    if "LV_RIG" in os.environ:  # what the machine under the monitors has to say
        show("sh", "-c", "dmesg | tail -n 20")
    os.kill(pid, signal.SIGKILL)
    sys.exit(1)


master, slave = pair()
pid = start(slave, *sys.argv[1:])
before = seen = b""


def until(word):
    """Reads the terminal up to a word; what was passed over is kept for the report."""
    global before, seen
    while word not in seen:
        ready, _, _ = select.select([master], [], [], max(0, limit - time.time()))
        if not ready:
            fail(f"waited for {word!r}; after {before[-500:]!r} came {seen!r}")
        chunk = os.read(master, 4096)
        if not chunk:
            fail(f"the end came before {word!r}; after {before[-500:]!r} came {seen!r}")
        seen += chunk
    at = seen.index(word) + len(word)
    before, seen = before + seen[:at], seen[at:]


def say(text):
    os.write(master, text.encode())


def ended():
    """The session's exit status. Its terminal is read to the end: who does not read holds up the writer."""
    global seen
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.time() > limit:
            fail(f"waited for the end of the session; after {before[-500:]!r} came {seen!r}")
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 4096)


until(b"# ")
say("stty size; tty\n")
until(b"30 90")
until(b"/dev/")
until(b"# ")
resize(master, 40, 100)
os.kill(pid, signal.SIGWINCH)
# The size travels by itself: asked until it is there.
say("until stty size | grep -q '^40 100$'; do sleep 0.1; done; echo resi''zed\n")
until(b"resized")
until(b"# ")
# A line that begins with "go" comes from the program itself: by then it is in the foreground.
say("sh -c 'echo; echo g\"\"o; exec sleep 1000'\n")
until(b"\ngo")
say("\x03")
until(b"# ")
say("echo int=$?\n")
until(b"int=130")
until(b"# ")
say("sh -c 'echo; echo g\"\"o; exec sleep 1000'\n")
until(b"\ngo")
say("\x1a")
until(b"Stopped")
until(b"# ")
# "wait" alone passes over a stopped job, and "exit" is refused as long as the shell knows of one: so it is asked for until it is dead.
say("kill -9 %1; until wait %1; test $? = 137; do :; done; jobs; exit 6\n")
status = ended()
if status != 6:
    fail(f"exit status {status}, not 6; after {before[-500:]!r} came {seen!r}")
after = termios.tcgetattr(slave)
if not after[3] & termios.ICANON or not after[3] & termios.ECHO:
    fail("the terminal was left raw")
