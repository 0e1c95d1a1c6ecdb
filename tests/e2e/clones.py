#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is a VM's own, and another's after it was restored, or cloned (docs/state.md): tests/guest/clone.c over the control socket, as saved.py has it.

clones.py VMM LIBOS IMAGE PROGRAM TEST"""
import errno
import os
import socket
import struct
import sys
import time

from monitor_client import CONFIGURE, KILL, Monitor, ask, image, machine, need, patience, program, records, state
from saved import ADVANCE, AWAIT, CLONE, RESET, STATE, WHOLE, Saved, connect, refusal, restore, save, tap

ARG, ENV, CWD, HOSTNAME, NET = 4, 5, 6, 7, 9
AWAIT_TEMPLATE = 64


def text(kind, words):
    return kind, words.encode() + b"\0"


def start(*arguments, link=None):
    """The program runs in a monitor of its own: what it prints, a connection for requests, the monitor."""
    monitor = Monitor()
    monitor.await_created()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0lightvm-clone-%d-%d" % (os.getpid(), monitor.process.pid))
    listener.listen(4)
    read_end, write_end = os.pipe()
    sent = [machine(64 << 20, image=0, out=1, control=2), text(3, program), *(text(ARG, word) for word in (program, *arguments)), text(ENV, "CLONE=1"), text(HOSTNAME, "mother")]
    fds = [os.open(image, os.O_RDONLY), write_end, listener.fileno()]
    requests = connect(listener.getsockname())
    configure(monitor, sent, fds, link)
    os.close(write_end)
    listener.close()
    return os.fdopen(read_end, "rb"), requests, monitor


def configure(monitor, sent, fds, link):
    if link:
        name, address, host = link
        fds.append(tap(name))
        net = struct.pack("<4iIII6sH", len(fds) - 1, -1, -1, -1, 0, 0, 0, bytes([2, 0x4C, *socket.inet_aton(address)]), 1500)
        sent.append((NET, net + socket.inet_aton(address) + socket.inet_aton("255.255.255.0") + socket.inet_aton(host) + bytes(12 + 32)))
    result, why = monitor.ask(CONFIGURE, [records(*sent), *fds])
    need(f"the configuration is taken: {why.decode()}", result == 0)
    if link:
        os.close(fds[-1])


def until(output, last):
    """What it prints until that line, by key: the last value of each, and of "request" all."""
    found = {"request": []}
    while (line := output.readline().decode().strip()) != last:
        need(f"it prints {last!r} before it ends, after {found}", line)
        key, _, value = line.partition(" ")
        if key == "request":
            found[key].append(value)
        need(f"{line!r} holds", key not in ("FAIL", "line"))
        found[key] = found[key] if key == "request" else value
    return found


def saved_one(*arguments):
    """Its files and what it said before, of a program that was stopped at once after it was ready."""
    output, requests, monitor = start(*arguments)
    before = until(output, "ready")
    if "template" in arguments:  # a copy of one that has not asked yet would itself ask, and wait
        need("it waits to be copied", ask(requests, AWAIT, arg=AWAIT_TEMPLATE)[0] == 0)
    saved = Saved()
    save(requests, saved)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    monitor.ended()
    return saved, before


def of_restored(saved, flags, more=(), given=None, monitor=None, standard_error=None):
    standard_input = None
    if given is not None:
        standard_input, feeder = os.pipe()
        os.write(feeder, given)
        os.close(feeder)
    output, requests, monitor = restore(saved, flags, more=more, standard_input=standard_input, standard_error=standard_error, monitor=monitor)
    found = until(output, "done")
    need(f"its exit status is 0: {monitor.ended()}", monitor.process.returncode == 0)
    return found


def ahead(saved, memory="64M"):
    """A monitor that has the memory of the saved VM in place before it is configured."""
    fds = [os.open(image, os.O_RDONLY), *saved.opened()]
    options = [word for name, fd in zip(("image", "state", "memory"), fds) for word in (f"--ahead-{name}", f"fd:{fd}")]
    monitor = Monitor("--mem", memory, "--image-room", "16M", *options, keep=fds)
    for fd in fds:
        os.close(fd)
    return monitor


def made_ahead():
    """A clone whose memory was in place before anybody asked for it is a clone like any other, however its mother was stopped; it is nothing else."""
    for how in "spin", "calls", "wait", "template":
        saved, before = saved_one(how)
        clones = [of_restored(saved, CLONE | WHOLE, [text(HOSTNAME, f"clone{n}")], monitor=made) for n, made in enumerate([ahead(saved) for _ in range(3)])]
        for n, clone in enumerate(clones):
            need(f"{how}: what is to be wiped is, at once: {clone['wiped']}, {clone['torn']}", clone["wiped"] == "0 55 0 55" and clone["torn"] == "0")
            need("it has its name", clone["hostname"] == f"clone{n}")
            need("another boot id than its mother", clone["boot_id"] != before["boot_id_before"])
        for key in "random", "generation", "boot_id", "machine_id":
            need(f"{how}: no two have the same {key}", len({clone[key] for clone in clones}) == len(clones))
    other, _ = saved_one("wait")
    for flags, which, memory, why in ((CLONE | WHOLE, other, 64 << 20, "this monitor has the memory of another saved VM"), (WHOLE, saved, 64 << 20, "this monitor is for clones of a whole memory"),
                                      (CLONE, saved, 32 << 20, "this monitor was made for 64")):
        said = refusal(which, flags, memory, monitor=ahead(saved))
        need(f"it is refused: {said}", why in said)
    said = refusal(saved, fds=[os.open(image, os.O_RDONLY)], sent=records(machine(64 << 20, image=0), text(3, program), text(ARG, "x")), monitor=ahead(saved))
    need(f"it starts no program: {said}", "and starts no program" in said)


def damaged_ahead():
    """Whatever the files hold, a monitor that is to have them in place ends and says why, or is a monitor whose clone fares as it can."""
    saved, _ = saved_one("wait")
    saved.state.seek(0)
    whole = saved.state.read()
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        hurt = Saved()
        hurt.state.write(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
        hurt.state.flush()
        hurt.memory = saved.memory
        status, said = ahead(hurt).ended()
        need(f"byte {at}: {status}, {said}", status == 125 and "the saved VM cannot be restored" in said)
    hurt = Saved()  # page tables and libos' own code are zeroes: the guest cannot read a page of it
    hurt.state, size = saved.state, os.fstat(saved.memory.fileno()).st_size
    hurt.memory.truncate(size)
    monitor = ahead(hurt)
    monitor.await_created()
    monitor.process.kill()
    monitor.ended()


def identity():
    """Whatever it does when it is stopped, a clone has its own numbers before its next instruction; what is to be wiped is, and what it knew it knows."""
    for how in "spin", "calls", "wait", "template":
        for _ in range(3):
            saved, before = saved_one(how)
            clones = [of_restored(saved, CLONE, [text(HOSTNAME, f"clone{n}")]) for n in range(3)]
            for n, clone in enumerate(clones):
                need(f"{how}: what is to be wiped is, at once: {clone['wiped']}, {clone['torn']}", clone["wiped"] == "0 55 0 55" and clone["torn"] == "0")
                need("the generation is another one", clone["generation"].endswith(" 1"))
                need("it has its name", clone["hostname"] == f"clone{n}")
                need(f"/etc/hosts has it, too: {clone['hosts']}", clone["hosts"] == f"clone{n}")
                need("another boot id than its mother", clone["boot_id"] != before["boot_id_before"])
                need("another machine id", len(clone["machine_id"]) == 32 and clone["machine_id"] != before["machine_id_before"])
            for key in "random", "generation", "boot_id", "machine_id":
                need(f"{how}: no two have the same {key}: {[clone[key] for clone in clones]}", len({clone[key] for clone in clones}) == len(clones))
            need("nor do all have the same port", len({clone["port"] for clone in clones}) > 1)


def alone():
    """One that is restored, alone, is the one that it was: nothing is wiped, and it booted once. Its random numbers are others all the same."""
    saved, before = saved_one("wait")
    first, second = of_restored(saved, 0), of_restored(saved, ADVANCE, [text(HOSTNAME, "mother")])
    for found in first, second:
        need(f"nothing is wiped: {found['wiped']}", found["wiped"] == "55 55 55 55")
        need("it booted once", found["boot_id"] == before["boot_id_before"])
        need("and is the same machine", found["machine_id"] == before["machine_id_before"])
        need("the generation is another one", found["generation"].endswith(" 1"))
    need("the random numbers are others", first["random"] != second["random"] and first["generation"] != second["generation"])
    need("it keeps its name where none is given", second["hostname"] == second["hosts"] == "mother")
    third = of_restored(saved, 0, [text(HOSTNAME, "other")])
    need(f"and has the one that is given: {third['hosts']}", third["hostname"] == third["hosts"] == "other")


def without_id():
    """A clone that cannot have a machine-id of its own says so, once; one whose mother had none does not."""
    for how, error in ("loop", errno.ELOOP), ("none", None):
        saved, _ = saved_one(how)
        read_end, write_end = os.pipe()
        of_restored(saved, CLONE, standard_error=write_end)
        with os.fdopen(read_end) as said:
            words = said.read()
        need(f"{how}: it says {words!r}", words == (f"lightvm: /etc/machine-id (error {error}): this clone has that of the VM that it was made of\n" if error else ""))


def clocks():
    """Saved for two seconds: the monotonic clock goes on where it stood, unless that is not wanted; the others know how long it was."""
    saved, _ = saved_one("wait")
    time.sleep(2)  # that the time passes is what is tested
    for flags in 0, ADVANCE, CLONE:
        monotonic, boot, real = map(int, of_restored(saved, flags)["ms"].split())
        need(f"the wall clock is right: {real} ms", real >= 2000)
        need(f"the time since it booted is, too: {boot} ms", abs(boot - real) < 500)
        need(f"the monotonic clock goes on: {monotonic} ms of {real}", abs(real - monotonic) < 500 if flags == ADVANCE else real - monotonic >= 1900)


def template():
    """It says that it is ready to be copied, and each copy reads what it is to do, and does it there; the one that was copied waits on."""
    output, requests, monitor = start("template")
    until(output, "ready")
    need("who awaits that is told", ask(requests, AWAIT, arg=AWAIT_TEMPLATE)[0] == 0)
    several = []
    for number in range(3):
        saved = Saved()
        save(maker := connect(requests.getpeername()), saved)
        maker.close()
        words = [text(ARG, "run"), text(ARG, f"{number} two  words"), text(ENV, "A=b=c"), text(ENV, "EMPTY="), text(CWD, "/proc/self")]
        several.append(of_restored(saved, CLONE, words, f"for {number}".encode()))
    for number, found in enumerate(several):
        need(f"that is its request: {found['request']}", found["request"] == ["arg=run", f"arg={number} two  words", "env=A=b=c", "env=EMPTY=", "cwd=/proc/self"])
        need(f"it is there: {found['directory']}", found["directory"].startswith("/proc/"))
        need("and that is all", found["rest"] == "0")
        need(f"it has its own input: {found['input']}", found["input"] == f"for {number} 0")
    found = of_restored(saved, CLONE)
    need(f"one without a request has none: {found}", found["request"] == [] and found["directory"] == "/" and found["input"].strip() == "0")
    need("the one that was copied waits still", ask(requests, AWAIT, arg=AWAIT_TEMPLATE)[0] == 0)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    need("and has said nothing more", output.read() == b"")
    monitor.ended()


def announcements(link):
    """A socket that hears the ARP of the host's side of the tap."""
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    heard.bind((link, 0))
    heard.settimeout(patience)
    return heard


def shows_itself(heard, address):
    """An ARP packet of that sender comes."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        frame = heard.recv(2048)
        if frame[28:32] == socket.inet_aton(address) and frame[22:28] == bytes([2, 0x4C, *socket.inet_aton(address)]):
            return
    need(f"{address} shows itself", False)


def connections():
    """Those of a VM that is restored are reset on both sides where that is asked for; those of a clone end without a word to who may talk to its mother. Both go on listening."""
    name, host = os.environ["LINK"].split()
    for flags, address in (RESET, "10.8.0.2"), (CLONE, "10.8.0.3"), (0, "10.8.0.2"):
        output, requests, monitor = start("wait", "80", link=(name, "10.8.0.2", host))
        need("it listens", output.readline() == b"listens\n")
        client = socket.create_connection(("10.8.0.2", 80), timeout=patience)
        until(output, "ready")
        saved = Saved()
        save(requests, saved)
        need("KILL is answered", ask(requests, KILL)[0] == 0)
        monitor.ended()
        heard = announcements(name)
        monitor = Monitor()
        monitor.await_created()
        read_end, write_end = os.pipe()
        sent = [machine(64 << 20, image=0, out=1), (STATE, struct.pack("<iiII", 2, 3, flags, 0)), text(HOSTNAME, "daughter")]
        configure(monitor, sent, [os.open(image, os.O_RDONLY), write_end, *saved.opened()], (name, address, host))
        os.close(write_end)
        output = os.fdopen(read_end, "rb")
        found = until(output, "done")
        shows_itself(heard, address)
        need(f"/etc/hosts has its name: {found['hosts']}", found["hosts"] == "daughter")
        need(f"its connection: {found['connection']}", found["connection"] == ("Connection reset by peer" if flags else "there"))
        if flags == RESET:
            try:
                need("the client's end is reset, instead of that it has data", client.recv(1) is None)
            except ConnectionResetError:
                pass
        else:
            client.setblocking(False)
            try:
                need("the client's end is as it was", client.recv(1) is None)
            except BlockingIOError:
                pass
        again = socket.create_connection((address, 80), timeout=patience)
        need("it goes on listening", again.recv(16) == b"hello\n")
        need(f"its exit status is 0: {monitor.ended()}", monitor.process.returncode == 0)
        client.close()
        again.close()


if __name__ == "__main__":
    globals()[sys.argv[5]]()
