#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A monitor by hand: started before anything is known of its program, and told by message what to run (abi/control.h, abi/vm_records.h).

monitor_client.py VMM LIBOS IMAGE PROGRAM TEST: one of the functions below. Says what was awaited when it does not come."""
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

vmm, libos, image, program = sys.argv[1:5]
patience = 20 * int(os.environ.get("LV_TIME_FACTOR", "1"))
STATUS, KILL, CONFIGURE, PAUSE, RESUME, AGENT = 1, 3, 7, 11, 12, 20
RUNNING, EXITED, CREATED, CONFIGURED, PAUSED = 1, 2, 3, 4, 5
MAGIC = 0x6C74636C
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def need(what, true):
    if not true:
        sys.exit(f"not so: {what}")


def file_state(status):
    """State and exit status of a status record."""
    record = os.pread(status.fileno(), 4096, 0)
    state, _, wait_status = struct.unpack_from("<IIi", record, 16)
    return state, wait_status


def ask(on, op, fds=(), arg=0):
    """Sends a request and answers with result and payload."""
    socket.send_fds(on, [struct.pack("<IHHq", MAGIC, op, 0, arg)], fds)
    return reply_on(on)


def reply_on(on):
    reply = on.recv(8192)
    need("an answer comes", len(reply) >= 24)
    result, magic, _, _, size = struct.unpack_from("<qIHHI", reply)
    need(f"the answer is whole: {reply[:24]!r}", magic == MAGIC and len(reply) == 24 + size)
    return result, reply[24:]


class Monitor:
    """One that was started by hand, over a socket pair; its status record is in a file."""

    def __init__(self, *more, keep=()):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(patience)
        self.status = tempfile.TemporaryFile()
        fds = theirs.fileno(), self.status.fileno()
        self.process = subprocess.Popen([vmm, "--libos", libos, "--control", f"fd:{fds[0]}", "--status", f"fd:{fds[1]}", *more],
                                        pass_fds=(*fds, *keep), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        theirs.close()

    def ask(self, op, fds=()):
        return ask(self.socket, op, fds)

    def await_created(self):
        result, record = self.ask(STATUS)
        need("STATUS is answered", result == 0)
        need("the VM is CREATED", struct.unpack_from("<I", record, 16)[0] == CREATED)
        need("the file says so", file_state(self.status)[0] == CREATED)

    def ended(self):
        """Its exit status, and what it said."""
        words = self.process.communicate(timeout=patience)[1].decode()
        return self.process.returncode, words


def records(*some):
    """A sealed memory file with these (type, bytes)."""
    body = b"".join(struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 4) for kind, data in some)
    fd = os.memfd_create("configuration", os.MFD_ALLOW_SEALING)
    os.write(fd, struct.pack("<IIII", 0x4356564C, VERSION, 16 + len(body), len(some)) + body)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def version():
    """Of the records, as the header says: both come from one build."""
    header = os.path.join(os.path.dirname(__file__), "../../abi/vm_records.h")
    with open(header, encoding="ascii") as text:
        return int(next(line.split()[2] for line in text if line.startswith("#define LV_VM_RECORDS_VERSION")))


VERSION = version()


def machine(memory=64 << 20, **places):
    """The machine's record; of descriptors those that are given by place."""
    fds = [places.get(name, -1) for name in ("libos", "image", "kernel", "initrd", "control", "status", "log", "cpuid", "in_", "out", "err", "messages")]
    return 1, struct.pack("<QQQ12iIIIIII", memory, 0, 0, *fds, 1, 0, 0, 0, 0, 0)


def configuration(*arguments, memory=64 << 20):
    """Records and descriptors of the program with its output in a pipe, whose other end is answered too, and a control socket."""
    read_end, write_end = os.pipe()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0lightvm-test-%d" % os.getpid())
    listener.listen(4)
    strings = [(3, program), *((4, word) for word in (program, *arguments))]
    fds = [os.open(image, os.O_RDONLY), write_end, listener.fileno()]
    memory_file = records(machine(memory, image=0, out=1, control=2), *((kind, word.encode() + b"\0") for kind, word in strings))
    return memory_file, fds, read_end, write_end, listener


def configured(monitor, *arguments, memory=64 << 20):
    """The program runs: the pipe with what it prints, and a connection for requests."""
    memory_file, fds, output, theirs, listener = configuration(*arguments, memory=memory)
    result, why = monitor.ask(CONFIGURE, [memory_file, *fds])
    need(f"the configuration is taken: {why.decode()}", result == 0)
    os.close(theirs)
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requests.settimeout(patience)
    requests.connect(listener.getsockname())
    listener.close()
    return os.fdopen(output, "rb"), requests


def life():
    """CREATED, CONFIGURED, RUNNING, EXITED, with all of the program's output where the message says."""
    monitor = Monitor()
    monitor.await_created()
    output, _ = configured(monitor, "hello", "world")
    need("its output comes where the message says", output.read() == b"hello world\n")
    need("it ends as the program does", monitor.ended() == (0, ""))
    need("the record is final", file_state(monitor.status) == (EXITED, 0))


def room():
    """An image that has no room in the first slot gets another one; memory less than the first slot has is taken out of reach."""
    for size in "0", "2M", "64M":
        for memory in 4 << 20, 64 << 20:
            monitor = Monitor("--image-room", size)
            output, _ = configured(monitor, "hello", memory=memory)
            need(f"the program runs with a room of {size} and {memory} bytes", output.read() == b"hello\n")
            need("and ends", monitor.ended() == (0, ""))


def orphan():
    """Who made it goes before it was configured: it ends, and says nothing, since nobody is there."""
    monitor = Monitor()
    monitor.await_created()
    monitor.socket.close()
    need("it ends by itself", monitor.ended() == (125, ""))
    need("its record is final", file_state(monitor.status)[0] == EXITED)


def refusals():
    """What is wrong is refused with a reason; nothing is lost by it, and a sound configuration is taken afterwards."""
    monitor = Monitor("--mem", "64M")
    own = f"/proc/{monitor.process.pid}/fd"
    monitor.await_created()
    before = os.listdir(own)
    memory_file, fds, _, _, listener = configuration("x", memory=65 << 20)
    plain = tempfile.TemporaryFile()
    plain.write(b"no records")
    plain.flush()
    kernel = records(machine(image=0, kernel=1))
    wrong = [
        (CONFIGURE, [], "no configuration came with the request"),
        (KILL, [], "no configuration came with the request"),
        (CONFIGURE, [plain.fileno()], "its records are no sealed memory file"),
        (CONFIGURE, [records()], "it has no machine"),
        (CONFIGURE, [records((99, b""))], "record 1: a record is of an unknown type"),
        (CONFIGURE, [memory_file, *fds], "it wants more memory than the monitor was started with"),
        (CONFIGURE, [records(machine(libos=0)), fds[0]], "it has a file that the monitor was started with"),
        (CONFIGURE, [records(machine(image=0)), fds[0]], "no program"),
        (CONFIGURE, [kernel, *fds[:2]], "--kernel is for Linux guests"),
        (CONFIGURE, [records(machine(image=0), (10, struct.pack("<iiI20s", 1, -1, 0, b""))), fds[0], plain.fileno()], "a disk has no lock"),
    ]
    for op, given, text in wrong:
        result, why = monitor.ask(op, given)
        need(f"{text!r} is the reason, and not {why.decode()!r}", result < 0 and text in why.decode())
    monitor.socket.send(b"short")
    result, why = reply_on(monitor.socket)
    need("what is no request is refused", result < 0 and b"no request" in why)
    monitor.await_created()
    need("no descriptor stayed", os.listdir(own) == before)
    listener.close()
    output, _ = configured(monitor, "at", "last")
    need("a sound one is taken", output.read() == b"at last\n")
    need("and the program ends", monitor.ended()[0] == 0)


def state(requests):
    result, record = ask(requests, STATUS)
    need("STATUS is answered", result == 0)
    return struct.unpack_from("<I", record, 16)[0]


def exits(requests):
    """How often the vCPU has left to the monitor."""
    _, record = ask(requests, STATUS)
    return struct.unpack_from("<Q", record, 88)[0]


def pause():
    """Paused, a program that prints all the time prints nothing more; resumed, it goes on where it was. It ends while it stands still."""
    monitor = Monitor()
    monitor.await_created()
    output, requests = configured(monitor, "line")
    os.set_blocking(output.fileno(), True)
    for _ in range(20):
        need("the program prints", output.readline() == b"line\n")
        need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
        need("and once more", ask(requests, PAUSE)[0] == 0)
        need("it is PAUSED", state(requests) == PAUSED and file_state(monitor.status)[0] == PAUSED)
        before = exits(requests)
        os.set_blocking(output.fileno(), False)
        while output.read(65536):
            pass
        need("nothing runs", exits(requests) == before and not output.read(1))
        os.set_blocking(output.fileno(), True)
        need("RESUME is answered", ask(requests, RESUME)[0] == 0)
        need("it is RUNNING", state(requests) == RUNNING and file_state(monitor.status)[0] == RUNNING)
        output.readline()
    need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    need("it ends", monitor.ended()[0] == 137)
    need("the record is final", file_state(monitor.status) == (EXITED, 9))


def request():
    """A request on the socket of a VM that runs, in place of the image; PROGRAM is its name."""
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requests.settimeout(patience)
    requests.connect(image)
    need(f"{program} is answered", ask(requests, globals()[program])[0] == 0)


def pauses():
    """PROGRAM pauses of a VM that runs, its socket in place of the image; no sooner the next one than the VM has run again. Says how long each took."""
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requests.settimeout(patience)
    requests.connect(image)
    took = []
    for _ in range(int(program)):
        start = time.monotonic()
        need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
        took.append(time.monotonic() - start)
        before = exits(requests)
        need("RESUME is answered", ask(requests, RESUME)[0] == 0)
        until = time.monotonic() + patience
        while exits(requests) == before:
            need("it runs again", time.monotonic() < until)
    took.sort()
    print(f"until all stood still, of {len(took)}: median {took[len(took) // 2] * 1e3:.2f} ms, worst {took[-1] * 1e3:.2f} ms")
    need(f"half of the pauses take no more than {patience} ms", took[len(took) // 2] * 1e3 <= patience)


def lines():
    """Who goes before a guest that does not answer has taken the line leaves no trace, though it comes as often as it likes."""
    monitor = Monitor()
    monitor.await_created()
    output, requests = configured(monitor, "line")
    need("PAUSE is answered", ask(requests, PAUSE)[0] == 0)
    held = []
    while len(held) < 100:
        ours, theirs = socket.socketpair()
        result, _ = ask(requests, AGENT, [theirs.fileno()])
        theirs.close()
        if result:
            break
        held.append(ours)
    need(f"so many at once, and no more: {len(held)}", result == -errno.EBUSY and 0 < len(held) < 100)
    open_files = f"/proc/{monitor.process.pid}/fd"
    before = len(os.listdir(open_files))
    for i in range(4 * len(held)):
        held.pop(0).close()
        ours, theirs = socket.socketpair()
        need(f"line {i} is taken", ask(requests, AGENT, [theirs.fileno()])[0] == 0)
        theirs.close()
        held.append(ours)
    until = time.monotonic() + patience
    while len(os.listdir(open_files)) != before:  # of who went last it hears when it comes to that
        need("no descriptor stays", time.monotonic() < until)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    need("it ends", monitor.ended()[0] == 137)


if __name__ == "__main__":
    globals()[sys.argv[5]]()
