#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""VMs that are saved over the control socket, and go on in another monitor (docs/state.md), as tests/e2e/monitor_client.py starts them.

saved.py VMM LIBOS IMAGE PROGRAM TEST"""
import base64
import errno
import fcntl
import http.client
import lzma
import os
import socket
import struct
import sys
import tempfile
import time

from monitor_client import CONFIGURE, KILL, MAGIC, PAUSE, PAUSED, RESUME, RUNNING, STATUS, Monitor, ask, configured, image, machine, need, patience, program, records, reply_on, state

SAVE, TOUCHED, LOOK, LEND, AWAIT, LISTEN = 15, 16, 17, 18, 10, 8
STATE, PAGES = 13, 14
PAGE = b"a page\n" * 500
OLD_STATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/states")
ADVANCE, CLONE, RESET, STAYS_PAUSED, WHOLE = 1, 2, 4, 8, 16


class Saved:
    """The two files of a saved VM."""

    def __init__(self, directory=None):
        self.state, self.memory = tempfile.TemporaryFile(dir=directory), tempfile.TemporaryFile(dir=directory)

    def fds(self):
        return [self.state.fileno(), self.memory.fileno()]

    def opened(self):
        """The same for reading only."""
        return [os.open(f"/proc/self/fd/{fd}", os.O_RDONLY) for fd in self.fds()]


def save(requests, saved, what=0):
    result, why = ask(requests, SAVE, saved.fds(), what)
    need(f"it is saved: {why.decode()}", result == 0)


def connect(address):
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requests.settimeout(patience)
    requests.connect(address)
    return requests


def restore(saved, flags=0, memory=64 << 20, monitor=None, more=(), standard_input=None, pages=None, standard_error=None):
    """Another monitor goes on with it: the pipe with what it prints, a connection for requests, and the monitor; or why not."""
    monitor = monitor or Monitor()
    read_end, write_end = os.pipe()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0lightvm-test-%d-%d" % (os.getpid(), monitor.process.pid))
    listener.listen(4)
    requests = connect(listener.getsockname())  # now: the VM may end at once
    fds = [os.open(image, os.O_RDONLY), write_end, listener.fileno(), *saved.opened()]
    places = {}
    for name, fd in ("in_", standard_input), ("err", standard_error):
        if fd is not None:
            places[name] = len(fds)
            fds.append(fd)
    if pages:
        more = [*more, (PAGES, struct.pack("<iI", len(fds), 0))]
        fds.append(os.open(f"/proc/self/fd/{pages.fileno()}", os.O_RDONLY))
    sent = records(machine(memory, image=0, out=1, control=2, **places), (STATE, struct.pack("<iiII", 3, 4, flags, 0)), *more)
    result, why = monitor.ask(CONFIGURE, [sent, *fds])
    for fd in (sent, *fds):
        if fd != listener.fileno():
            os.close(fd)
    listener.close()
    need(f"the configuration is taken: {why.decode()}", result == 0)
    return os.fdopen(read_end, "rb"), requests, monitor


def line(output):
    """The next line of the program: its nonce and its count."""
    nonce, count = output.readline().split()
    return nonce, int(count)


def goes_on():
    """It is saved while it computes, and goes on where it was in another monitor; that one is saved too, and so on."""
    monitor = Monitor()
    output, requests = configured(monitor, "4")
    for _ in range(5):
        nonce, count = line(output)
        saved = Saved()
        save(requests, saved)
        need("it stands still", state(requests) == PAUSED)
        need("KILL is answered", ask(requests, KILL)[0] == 0)
        last = output.read().splitlines()
        need(f"it has ended: {monitor.ended()}", monitor.process.returncode == 137)
        count = int(last[-1].split()[1]) if last else count
        output, requests, monitor = restore(saved)
        for number in range(200):
            need("not one line is lost, or comes twice", line(output) == (nonce, count + 1 + number))
    need("KILL is answered", ask(requests, KILL)[0] == 0)


def counts_on(output, requests, nonce, count):
    """The program prints what comes after count."""
    need("it is RUNNING", state(requests) == RUNNING)
    while (now := line(output))[1] <= count:
        need("it is the same program", now[0] == nonce)
    need("not one line is lost", now == (nonce, count + 1))
    return now[1]


def until(what, true):
    """Of what comes by itself, but is not told."""
    end = time.monotonic() + patience
    while not true():
        need(what, time.monotonic() < end)


def holds():
    """Who saves it holds it: it goes on when he says so, or goes himself, at whatever time; and stays paused if somebody else wants that."""
    monitor = Monitor()
    output, requests = configured(monitor, "4", "1000")
    nonce, count = line(output)
    address = requests.getpeername()
    count = counts_on(output, requests, nonce, count)
    save(requests, Saved())
    need("others cannot have it go on", ask(other := connect(address), RESUME)[0] == -errno.EBUSY)
    files = Saved()
    need("nor save it, too", ask(other, SAVE, files.fds()) == (-errno.EBUSY, b"it is being saved already"))
    need("STATUS is answered", state(other) == PAUSED)
    need("RESUME is answered", ask(requests, RESUME)[0] == 0)
    count = counts_on(output, requests, nonce, count)
    for answered in True, False:  # who saves goes, after the answer and before it
        if answered:
            save(other, files)
        else:
            files = Saved()
            socket.send_fds(other, [struct.pack("<IHHq", MAGIC, SAVE, 0, 0)], files.fds())
        other.close()
        until("it goes on", lambda: state(requests) == RUNNING)
        count = counts_on(output, requests, nonce, count)
        other = connect(address)
    save(other, Saved())
    need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
    other.close()
    for _ in range(3):
        need("it stays paused", state(requests) == PAUSED)
        save(other := connect(address), Saved())
        other.close()
    need("RESUME is answered", ask(requests, RESUME)[0] == 0)
    counts_on(output, requests, nonce, count)
    need("KILL is answered", ask(requests, KILL)[0] == 0)


def looks():
    """Who looks at a VM's memory, and whose next look fails at once, looks no more: what another one saves is his, also when the first one goes."""
    monitor = Monitor()
    output, requests = configured(monitor, "4", "1000")
    nonce, count = line(output)
    looker, saver = connect(requests.getpeername()), connect(requests.getpeername())
    files = Saved(), Saved(), Saved()
    result, why = ask(looker, LOOK, files[0].fds())
    if result == -errno.EOPNOTSUPP:
        print("skip who looked before does not end what another one saves -", why.decode())
        need("KILL is answered", ask(requests, KILL)[0] == 0)
        return
    need(f"it is looked at: {why.decode()}", result == 0)
    need("nobody else saves it meanwhile", ask(saver, SAVE, files[1].fds()) == (-errno.EBUSY, b"it is being saved already"))
    need("who looks cannot lend its disks", ask(looker, LEND)[0] == -errno.EINVAL)
    sealed = os.memfd_create("memory", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(sealed, 1033, 4)  # F_ADD_SEALS: F_SEAL_GROW
    result = ask(looker, LOOK, [files[1].fds()[0], sealed])
    need(f"a look that fails says why, and not {result}", result == (-errno.EPERM, b"the file for the memory: Operation not permitted"))
    save(saver, files[2])
    result = ask(looker, RESUME)
    need(f"who looked before cannot have it go on: {result}", result[0] == -errno.EBUSY)
    looker.close()
    for _ in range(3):
        need("nor does his end", state(requests) == PAUSED)
    need("RESUME is answered", ask(saver, RESUME)[0] == 0)
    counts_on(output, requests, nonce, count)
    need("KILL is answered", ask(requests, KILL)[0] == 0)


def refused_saves():
    """What cannot be saved to is refused by name, a full disk told; the VM goes on."""
    monitor = Monitor()
    output, requests = configured(monitor, "8", "1000")
    own = f"/proc/{monitor.process.pid}/fd"
    nonce, count = line(output)
    before = sorted(os.listdir(own))
    good = Saved()
    full = tempfile.TemporaryFile()
    full.write(b"x")
    full.flush()
    read_only, write_only = os.open("/dev/null", os.O_RDONLY), os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_WRONLY, 0o600)
    small = Saved(os.environ["SMALL"])
    keep, good = good, good.fds()
    wrong = [
        (good[:1], 0, errno.EBADF, ""),
        ([os.pipe()[1], good[1]], 0, errno.EINVAL, "the file for the state is no regular one that is empty"),
        ([good[0], full.fileno()], 0, errno.EINVAL, "the file for the memory is no regular one that is empty"),
        ([read_only, good[1]], 0, errno.EINVAL, "the file for the state is no regular one that is empty"),
        ([good[0], write_only], 0, errno.EBADF, "the file for the memory is not open for reading and writing"),
        (good, 1, errno.EINVAL, "the memory that it was restored from did not come"),
        ([*good, full.fileno()], 0, errno.EINVAL, "a third file came, and all is to be saved"),
        ([*good, full.fileno()], 1, errno.EOPNOTSUPP, "it was not restored from a saved VM, so that it is not known what changed since one"),
        (good, 6, errno.EINVAL, "it is not known what 0x6 asks for"),
        (small.fds(), 0, errno.ENOSPC, "the file for the memory: No space left on device"),
    ]
    for fds, what, code, text in wrong:
        result = ask(requests, SAVE, fds, what)
        need(f"{text!r} is the reason, and not {result}", result == (-code, text.encode()))
        count = counts_on(output, requests, nonce, count)
    need("nothing was written", content(keep) == [b"", b""])
    need("no descriptor stayed", sorted(os.listdir(own)) == before)
    need("KILL is answered", ask(requests, KILL)[0] == 0)


def tap(name):
    """A descriptor of an interface that is there already, as a monitor takes it."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x5002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    return fd


def served(monitor, what, name, address, host):
    """A configuration whose program is on a tap; what: the other records, by whose descriptors the tap comes last."""
    link = tap(name)
    sent, fds = what
    net = struct.pack("<4iIII6sH", len(fds), -1, -1, -1, 0, 0, 0, bytes([2, 0x4C, *socket.inet_aton(address)]), 1500)
    net += socket.inet_aton(address) + socket.inet_aton("255.255.255.0") + socket.inet_aton(host) + bytes(12 + 32)
    socket.send_fds(monitor.socket, [struct.pack("<IHHq", MAGIC, CONFIGURE, 0, 0)], [records(*sent, (9, net)), *fds, link])
    reply = monitor.socket.recv(8192)
    need(f"an answer comes, instead of {'' if reply else monitor.ended()}", reply)
    result, why = struct.unpack_from("<q", reply)[0], reply[24:]
    need(f"the configuration is taken: {why.decode()}", result == 0)
    os.close(link)


def web():
    """nginx is saved and goes on, again and again, under one connection of a client that notices nothing; ARGUMENTS are its own."""
    name, address, host, *arguments = os.environ["WEB"].split()
    monitor, client, saved, took = Monitor(), http.client.HTTPConnection(address, timeout=patience), None, []
    for number in range(8):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(b"\0lightvm-test-%d-%d" % (os.getpid(), number))
        listener.listen(4)
        fds = [os.open(image, os.O_RDONLY), 2, listener.fileno()]
        sent = [machine(64 << 20, image=0, out=1, control=2)]
        if saved:
            sent.append((STATE, struct.pack("<iiII", 3, 4, 0, 0)))
            fds += saved.opened()
        else:
            sent += [(3, program.encode() + b"\0"), *((4, word.encode() + b"\0") for word in (program, *arguments))]
        monitor.await_created()
        start = time.perf_counter()
        served(monitor, (sent, fds), name, address, host)
        requests = connect(listener.getsockname())
        listener.close()
        if saved:
            client.request("GET", "/page")
        else:
            need("it listens", ask(requests, AWAIT, (), LISTEN)[0] == 0)
            client.request("GET", "/page")
        answer = client.getresponse()
        need("the page comes", answer.status == 200 and answer.read() == PAGE)
        took.append((time.perf_counter() - start) * 1e3)
        for turn in range(50):
            if turn == 25:
                need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
                need("RESUME is answered", ask(requests, RESUME)[0] == 0)
            client.request("GET", "/page")
            need("the page comes", client.getresponse().read() == PAGE)
        saved = Saved(os.environ.get("SAVES"))
        start = time.perf_counter()
        save(requests, saved)
        took.append((time.perf_counter() - start) * 1e3)
        need("KILL is answered", ask(requests, KILL)[0] == 0)
        monitor.ended()
        monitor = Monitor()
    print("ms: start to an answer, save, then restore to an answer, save, and so on: " + " ".join(f"{ms:.1f}" for ms in took),
          f"- {os.fstat(saved.fds()[1]).st_blocks // 2} KiB of memory, {os.fstat(saved.fds()[0]).st_size} bytes of state")
    monitor.socket.close()


def one_saved(*arguments, options=()):
    """A VM that was saved, and is no more: its files, and the last that it said."""
    monitor = Monitor(*options)
    output, requests = configured(monitor, *arguments)
    nonce, count = line(output)
    saved = Saved()
    save(requests, saved)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    last = output.read().splitlines()
    monitor.ended()
    return saved, nonce, int(last[-1].split()[1]) if last else count


def content(saved):
    return [os.pread(fd, os.fstat(fd).st_size, 0) for fd in saved.fds()]


def clones():
    """Many go on from the same files, none of which changes; one waits until it is told; what each gets to know is its own."""
    saved, nonce, count = one_saved("40", "1000")
    before = content(saved)
    several = [restore(saved, CLONE if number else STAYS_PAUSED) for number in range(4)]
    need("it waits", state(several[0][1]) == PAUSED)
    for output, requests, _ in several[1:]:
        counts_on(output, requests, nonce, count)
    need("RESUME is answered", ask(several[0][1], RESUME)[0] == 0)
    for _ in range(200):
        for output, _, _ in several:
            need("it is the same program", line(output)[0] == nonce)
    for output, requests, monitor in several:
        again = Saved()
        save(requests, again)
        need("KILL is answered", ask(requests, KILL)[0] == 0)
        last = output.read().splitlines()
        monitor.ended()
        output, requests, monitor = restore(again)
        if last:
            counts_on(output, requests, nonce, int(last[-1].split()[1]))
        need("KILL is answered", ask(requests, KILL)[0] == 0)
    need("the files are what they were", content(saved) == before)


def first_ram():
    """Memory of a saved VM is in the first slot of another monitor or not, or partly; it gets more in either."""
    for saver, size in ("6M", "40"), ("64M", "40"), ("16M", "2"):
        saved, nonce, count = one_saved(size, "1000", options=("--first-ram", saver))
        for room in "6M", "20M", "64M", "1G":
            output, requests, monitor = restore(saved, monitor=Monitor("--first-ram", room))
            count = counts_on(output, requests, nonce, count)
            need("all of its memory is there", all(line(output)[0] == nonce for _ in range(150)))
            again = Saved()
            save(requests, again)
            need("KILL is answered", ask(requests, KILL)[0] == 0)
            last = output.read().splitlines()
            saved, count = again, int(last[-1].split()[1]) if last else count + 150


def touched():
    """What one has written is there at once for the next; what is no such list is refused."""
    saved, nonce, count = one_saved("8", "1000")
    pages, monitor = tempfile.TemporaryFile(), Monitor()
    output, requests = configured(monitor, "1")
    result = ask(requests, TOUCHED, [pages.fileno()])
    need(f"one that was not restored has no such pages: {result}", result[0] == -errno.EOPNOTSUPP and b"it was not restored" in result[1])
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    output, requests, monitor = restore(saved)
    for _ in range(200):
        line(output)
    need("the pages are told", ask(requests, TOUCHED, [pages.fileno()])[0] == 0)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    own = []
    for some, flags in (None, 0), (pages, 0), (None, WHOLE):
        output, requests, monitor = restore(saved, STAYS_PAUSED | flags, pages=some)
        with open(f"/proc/{monitor.process.pid}/smaps_rollup", encoding="ascii") as text:
            own.append(int(next(line.split()[1] for line in text if line.startswith("Anonymous"))))
        need("RESUME is answered", ask(requests, RESUME)[0] == 0)
        counts_on(output, requests, nonce, count)
        need("KILL is answered", ask(requests, KILL)[0] == 0)
    need(f"it has more of its own before it runs: {own} KiB", own[1] > own[0] + 4096)
    need(f"and all of it, if that is asked for: {own} KiB", own[2] > own[0] + 4096)
    sent = records(machine(image=0), (STATE, struct.pack("<iiII", 1, 2, 0, 0)), (PAGES, struct.pack("<iI", 3, 0)))

    def refused():
        pages.flush()
        fds = [os.open(image, os.O_RDONLY), *saved.opened(), os.open(f"/proc/self/fd/{pages.fileno()}", os.O_RDONLY)]
        return "the file with the pages that it writes first is none, or is damaged" in refusal(saved, fds=fds, sent=sent)
    pages.seek(20)
    pages.write(b"\0\0\0\7")
    need("a list that is damaged is told", refused())
    twice = b"PAGE" + struct.pack("<IIIIIII", 1, 20, 2, 512, 512, 512, 512)
    pages.seek(0)
    pages.truncate()
    pages.write(twice + struct.pack("<I", crc32c(twice)))
    need("one with the same pages again and again, too", refused())


def refusal(saved, flags=0, memory=64 << 20, fds=None, sent=None, monitor=None):
    """Why it is not restored; nothing of it ran, or was left behind."""
    monitor = monitor or Monitor()
    places = fds or [os.open(image, os.O_RDONLY), *saved.opened()]
    sent = sent or records(machine(memory, image=0), (STATE, struct.pack("<iiII", 1, 2, flags, 0)))
    socket.send_fds(monitor.socket, [struct.pack("<IHHq", MAGIC, CONFIGURE, 0, 0)], [sent, *places])
    status, words = monitor.ended()
    need(f"the monitor ends, and not with {status}", status == 125)
    return words.strip()


def altered(saved, change):
    """The same with another state."""
    other = Saved()
    other.memory = saved.memory
    other.state.write(change(content(saved)[0]))
    other.state.flush()
    return other


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def with_field(tag, offset, new):
    """A change of a state: other bytes in the record of that tag, with a checksum that is right, as who writes hostile ones has it."""
    def change(was):
        at = 0
        while was[at:at + 4] != tag:
            at += 16 + struct.unpack_from("<I", was, at + 8)[0]
        size = struct.unpack_from("<I", was, at + 8)[0]
        record = bytearray(was[at:at + 12 + size])
        record[12 + offset:12 + offset + len(new)] = new
        return was[:at] + bytes(record) + struct.pack("<I", crc32c(record)) + was[at + 16 + size:]
    return change


def records_of(stream):
    """Its records, each as a whole, by tag: the first of each, in their order."""
    found, at = {}, 0
    while at < len(stream):
        size = struct.unpack_from("<I", stream, at + 8)[0]
        found.setdefault(stream[at:at + 4], stream[at:at + 16 + size])
        at += 16 + size
    return found


def keep_state():
    """Writes down a state as data of the tests: what those of a later version have to read. Once for each version (vmm/state/vm_saved.c), with the monitor that had it."""
    stream = content(one_saved("1", "1000")[0])[0]
    version = struct.unpack_from("<I", stream, 4)[0]
    with open(os.path.join(OLD_STATES, f"state-v{version}"), "w", encoding="ascii") as file:
        file.write(base64.encodebytes(lzma.compress(stream, preset=9)).decode())


def old_states():
    """States of every version that there was are read to their end, each record of them: on the processor where one was made, with what names build and image put right, it becomes a VM, whose memory
    of zeroes then is not one that could run; on another processor it is refused by that, and not as something that is not understood."""
    saved, _, _ = one_saved("1", "1000")
    here = records_of(content(saved)[0])
    kept = sorted(name for name in os.listdir(OLD_STATES) if name.startswith("state-v"))
    need(f"there is one of each version: {kept}", [f"state-v{n}" for n in range(1, struct.unpack_from("<I", here[b"LVVM"], 4)[0] + 1)] == kept)
    for name in kept:
        with open(os.path.join(OLD_STATES, name), "rb") as file:
            stream = lzma.decompress(base64.decodebytes(file.read()))
        old = records_of(stream)
        same = old[b"HOST"] == here[b"HOST"]
        other = Saved()
        other.state.write(with_field(b"LIBO", 0, here[b"LIBO"][12:12 + 32])(stream))  # ABI, build, size of the image
        other.state.flush()
        other.memory.truncate(struct.unpack_from("<Q", old[b"LVVM"], 12 + 16)[0])
        monitor = Monitor()
        sent = records(machine(64 << 20, image=0), (STATE, struct.pack("<iiII", 1, 2, 0, 0)))
        socket.send_fds(monitor.socket, [struct.pack("<IHHq", MAGIC, CONFIGURE, 0, 0)], [sent, os.open(image, os.O_RDONLY), *other.opened()])
        _, words = monitor.ended()
        refused = "the saved VM cannot be restored: " in words
        need(f"{name} is not refused: {words}", not (same and refused))
        need(f"{name} is refused by its processor: {words}", same or (refused and "what cannot be" not in words and "damaged" not in words))


def other_machines():
    """What was saved on another machine, or with another library OS, is refused by what differs."""
    saved, _, _ = one_saved("1", "1000")
    start = "lightvm-vmm: the saved VM cannot be restored: "
    cases = [
        (b"LVVM", 0, struct.pack("<I", 1), "it is of another kind of guest than the configuration (library OS)"),
        (b"LVVM", 4, struct.pack("<I", 2), "it has 2 vCPUs, and the configuration has 1"),
        (b"LVVM", 28, struct.pack("<I", 1), "its device 0 is a net, and the configuration has a console there"),
        (b"LVVM", 32, struct.pack("<I", 2), "its device 0 (console) has 2 queues, and the configuration's has 3"),
        (b"LVVM", 36, struct.pack("<Q", 1 << 62), "its device 0 (console) uses what the host's does not have: features 0x4000000000000000"),
        (b"HOST", 4, b"ABCDEFGHIJKL", "it was saved on a processor of ABCDEFGHIJKL, and this one is of "),
        (b"HOST", 4, b"\x1b[2JEFGHIJKL", "the state says what cannot be, in its record HOST, before byte 44 of it"),
        (b"HOST", 16, struct.pack("<Q", 1 << 40), "its vector registers are 0x10000000000 in "),
        (b"HOST", 32, b"\xff\xff\xff\xff", "its processor had features that this one lacks: CPUID 1.ECX, bits 0x"),
        (b"LIBO", 0, struct.pack("<I", 99), "its library OS speaks version 99 of the guest ABI, and this one "),
        (b"LIBO", 4, bytes(20), "it was saved with another library OS: build " + "0" * 40 + ", and this one is "),
        (b"LIBO", 32, struct.pack("<Q", 1 << 50), "what it says of its memory cannot be"),
        (b"DEVI", 0, struct.pack("<I", 2), "its device 0 (console) is not what the configuration has there"),
        (b"VCPU", 4, struct.pack("<I", 3), "the state says what cannot be, in its record VCPU, before byte 20 of it"),
    ]
    for tag, offset, new, text in cases:
        given = refusal(altered(saved, with_field(tag, offset, new)))
        need(f"{text!r} is the reason, and not {given!r}", given.startswith(start + text))


def refused_restores():
    """What is not what it was is refused by name, before anything runs."""
    saved, _, _ = one_saved("1", "1000", options=("--mem", "64M"))
    bytes_of = content(saved)[0]
    start = "lightvm-vmm: the saved VM cannot be restored: "

    def why(text, given):
        need(f"{text!r} is the reason, and not {given!r}", given == start + text)

    for size in (0, 1, 7, 8, 40, len(bytes_of) // 2, len(bytes_of) - 1):
        why("the file with the state is none" if size < 8 else "the state is damaged: it is not whole", refusal(altered(saved, lambda was: was[:size])))
    for at in range(100, len(bytes_of), len(bytes_of) // 7):
        text = refusal(altered(saved, lambda was: was[:at] + bytes([was[at] ^ 0x10]) + was[at + 1:]))
        need(f"byte {at} is the reason, and not {text!r}", text.startswith(start + "the state is damaged: "))
    why("the state is of version 2, and this monitor knows 1", refusal(altered(saved, lambda was: was[:4] + b"\2" + was[5:])))
    why("it has 6 MiB of memory, and may have 4", refusal(saved, memory=4 << 20))
    why("it shall have up to 128 MiB of memory, and was made for 64", refusal(saved, memory=128 << 20))
    other = Saved()
    other.state = saved.state
    other.memory.truncate(4096)
    why(f"the file with its memory has 4096 bytes instead of {os.fstat(saved.fds()[1]).st_size}", refusal(other))
    other = tempfile.TemporaryFile()
    other.write(open(image, "rb").read() + bytes(4096))
    other.flush()
    size = os.stat(image).st_size
    why(f"its image has {size} bytes, and the configuration's {size + 4096}", refusal(saved, fds=[os.open(f"/proc/self/fd/{other.fileno()}", os.O_RDONLY), *saved.opened()]))
    disk = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR, 0o600)
    os.truncate(disk, 1 << 20)
    sent = records(machine(image=0), (STATE, struct.pack("<iiII", 1, 2, 0, 0)), (10, struct.pack("<iiI20s", 3, 4, 0, b"")))
    why("it has 1 devices, and the configuration has 2", refusal(saved, sent=sent, fds=[os.open(image, os.O_RDONLY), *saved.opened(), disk, os.dup(disk)]))
    need("the files are what they were", content(saved)[0] == bytes_of)


if __name__ == "__main__":
    globals()[sys.argv[5]]()
