#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a guest that is nobody's friend sends to the server of its volume: messages of its own making, not those of a kernel.

volume_attacker.py SERVER DIRECTORY SECRET: DIRECTORY is served; SECRET is the content of a file beside it, and no answer may have it.
Prints "ok NAME" or "not ok NAME - WHY" a line."""
import errno
import fcntl
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import threading

HEADER = struct.Struct("<IIQQIIII")
OUT = struct.Struct("<IiQ")
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = range(1, 7)
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE = range(8, 19)
INIT, OPENDIR, READDIR, CREATE, BATCH_FORGET, RENAME2 = 26, 27, 28, 35, 42, 45
GETXATTR, SETXATTR, SETLK, SETLKW = 22, 21, 32, 33
ROOT = 1
LOCKERS, OWNERS = 1024, 64 # VOLUME_LOCKERS (volume/volume.h), OWNERS (volume/fuse_lock.c)


class Server:
    def __init__(self, program, directory, word="rw", before=None):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for each in (theirs.fileno(), fd):
            os.set_inheritable(each, True)
        subprocess.run([program, str(theirs.fileno()), str(fd), word, "0", "0"], close_fds=False, check=True, timeout=10, preexec_fn=before)
        theirs.close()
        os.close(fd)
        self.unique, self.seen = 0, b""
        error, _ = self.ask(INIT, 0, struct.pack("<IIII", 7, 38, 131072, 0) + bytes(48))
        assert error == 0, error

    def send(self, opcode, node, body=b"", length=None):
        self.unique += 1
        size = HEADER.size + len(body)
        self.socket.send(HEADER.pack(size if length is None else length, opcode, self.unique, node, 0, 0, 1, 0) + body)

    def ask(self, opcode, node, body=b"", length=None):
        self.send(opcode, node, body, length)
        answer = self.socket.recv(1 << 20)
        if not answer:
            raise EOFError("the server has gone")
        size, error, unique = OUT.unpack_from(answer)
        assert size == len(answer) and unique == self.unique, (size, len(answer), unique)
        self.seen += answer[OUT.size:]
        return -error, answer[OUT.size:]

    def lookup(self, node, name):
        error, body = self.ask(LOOKUP, node, name + b"\0")
        return error, struct.unpack_from("<Q", body)[0] if not error else 0

    def open(self, node, flags=0):
        error, body = self.ask(OPEN, node, struct.pack("<II", flags, 0))
        return error, struct.unpack_from("<Q", body)[0] if not error else 0

    def read(self, node, fh, n=4096):
        return self.ask(READ, node, struct.pack("<QQIIQII", fh, 0, n, 0, 0, 0, 0))

    def create(self, node, name, flags=os.O_RDWR):
        error, body = self.ask(CREATE, node, struct.pack("<IIII", flags, 0o100644, 0, 0) + name + b"\0")
        return (error, 0, 0) if error else (0, struct.unpack_from("<Q", body)[0], struct.unpack_from("<Q", body, 128)[0])


def setattr_words(valid, mode):
    return struct.pack("<IIQQQQQQIIIIIIII", valid, *[0] * 10, mode, 0, 0, 0, 0)


def names(server, secret):
    """A name is one name."""
    for name in (b"..", b".", b"", b"/", b"../secret", b"sub/../../secret", b"/etc/passwd", b"sub/file", b"a" * 256, b"a\0b"):
        error, _ = server.ask(LOOKUP, ROOT, name + b"\0")
        if error not in (errno.EINVAL, errno.ENAMETOOLONG):
            return f"a look-up of {name!r} answers {error}"
        for opcode, head in ((MKDIR, struct.pack("<II", 0o755, 0)), (UNLINK, b""), (RMDIR, b""), (MKNOD, struct.pack("<IIII", 0o100644, 0, 0, 0)),
                             (CREATE, struct.pack("<IIII", os.O_RDWR, 0o644, 0, 0))):
            error, _ = server.ask(opcode, ROOT, head + name + b"\0")
            if error not in (errno.EINVAL, errno.ENAMETOOLONG):
                return f"operation {opcode} of {name!r} answers {error}"
        for first, second in ((name, b"x"), (b"file", name)):
            error, _ = server.ask(RENAME2, ROOT, struct.pack("<QII", ROOT, 0, 0) + first + b"\0" + second + b"\0")
            if error not in (errno.EINVAL, errno.ENAMETOOLONG):
                return f"a rename of {first!r} to {second!r} answers {error}"
    error, _ = server.ask(LOOKUP, ROOT, b"unterminated")
    return None if error == errno.EINVAL else f"a name without an end answers {error}"


def links(server, secret):
    """Links lead nowhere: the server follows none."""
    for i, target in enumerate((b"../secret", b"/", secret, b"/proc/self/root", b"/proc/self/fd/0")):
        name = b"link%d" % i
        error, _ = server.ask(SYMLINK, ROOT, name + b"\0" + target + b"\0")
        if error:
            return f"a link to {target!r} cannot be made: {error}"
        error, node = server.lookup(ROOT, name)
        if error:
            return f"a link cannot be looked up: {error}"
        for wanted, got in ((errno.ENOTDIR, server.lookup(node, b"secret")[0]), (errno.ENXIO, server.open(node)[0]),
                            (errno.ENOTDIR, server.ask(OPENDIR, node, bytes(8))[0]), (errno.ENXIO, server.create(ROOT, name)[0])):
            if got != wanted:
                return f"a link to {target!r} is used: {got}, not {wanted}"
    return None


def devices(server, secret):
    """Neither made nor opened; FIFOs are not opened, where the server would hang."""
    for mode in (0o020666, 0o060666):
        error, _ = server.ask(MKNOD, ROOT, struct.pack("<IIII", mode, 0x103, 0, 0) + b"device\0")
        if error != errno.EPERM:
            return f"a device node is made: {error}"
    error, _ = server.ask(MKNOD, ROOT, struct.pack("<IIII", 0o010666, 0, 0, 0) + b"fifo\0")
    if error:
        return f"a FIFO cannot be made: {error}"
    error, node = server.lookup(ROOT, b"fifo")
    if error or server.open(node)[0] != errno.ENXIO or server.create(ROOT, b"fifo")[0] != errno.ENXIO:
        return "a FIFO is opened"
    error, node = server.lookup(ROOT, b"null")
    if not error and server.open(node)[0] != errno.ENXIO:
        return "a device of the host is opened"
    error, node, _ = server.create(ROOT, b"program")
    if error:
        return f"a file cannot be made: {error}"
    error, _ = server.ask(SETATTR, node, setattr_words(1, 0o104755))
    if error != errno.EPERM:
        return f"a set-user-ID program is made: {error}"
    # The host's mark for locks, S_ISGID without execution, gives no rights, and outlives a new owner.
    os.chmod(server.directory + "/program", 0o2644)
    error, _ = server.ask(SETATTR, node, setattr_words(1 | 4, 0o102755))
    return None if error == errno.EPERM else f"a set-group-ID program is made: {error}"


def sizes(server, secret):
    """A file that who started the server may not make so large is the guest's error."""
    small = Server(server.program, server.directory, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    error, node, fh = small.create(ROOT, b"sizes")
    for offset, wanted in ((0, 0), (8192, errno.EFBIG), (1 << 40, errno.EFBIG)):
        error, _ = small.ask(WRITE, node, struct.pack("<QQIIQII", fh, offset, 4, 0, 0, 0, 0) + b"data")
        if error != wanted:
            return f"a write at {offset:#x} answers {error}"
    return None if small.lookup(ROOT, b"sizes")[0] == 0 else "the server does not answer any more"


def numbers(server, secret):
    """Nodes and files that it was never told of, and those that are gone."""
    for node in (0, 2, 3, 1 << 32, 1 << 32 | 1, (1 << 64) - 1, 0x7fffffff):
        error, _ = server.ask(GETATTR, node, bytes(16))
        if error != errno.ESTALE:
            return f"node {node:#x} answers {error}"
    error, node = server.lookup(ROOT, b"file")
    error, fh = server.open(node)
    for wrong in (0, 1, fh + 1, fh ^ 1 << 40, (1 << 64) - 1):
        if server.read(node, wrong)[0] != errno.EBADF or server.ask(RELEASE, node, struct.pack("<QIIQ", wrong, 0, 0, 0))[0] != errno.EBADF:
            return f"file {wrong:#x} is one"
    if server.read(ROOT, fh)[0] != errno.EBADF:
        return "a file is another node's"
    if server.ask(READDIR, node, struct.pack("<QQIIQII", fh, 0, 4096, 0, 0, 0, 0))[0] != errno.EBADF:
        return "a file is listed"
    server.send(FORGET, node, struct.pack("<Q", (1 << 64) - 1))
    if server.ask(GETATTR, node, bytes(16))[0] != errno.ESTALE:
        return "a node outlives that it is forgotten"
    if server.ask(LINK, ROOT, struct.pack("<Q", node) + b"again\0")[0] != errno.ESTALE:
        return "a node that is forgotten is linked"
    server.ask(RELEASE, node, struct.pack("<QIIQ", fh, 0, 0, 0))
    return None


def lengths(server, secret):
    """What a message says of its length, and what it lacks."""
    for length in (0, 1, HEADER.size - 1, HEADER.size + 100, (1 << 32) - 1):
        if server.ask(GETATTR, ROOT, bytes(16), length)[0] != errno.EINVAL:
            return f"a length of {length} is taken"
    for opcode in (SETATTR, MKDIR, MKNOD, OPEN, READ, WRITE, RENAME, RENAME2, CREATE, SETLK, GETXATTR, SETXATTR):
        for n in (0, 1, 3):
            error, _ = server.ask(opcode, ROOT, bytes(n))
            if error != errno.EINVAL:
                return f"operation {opcode} with {n} bytes answers {error}"
    error, node, fh = server.create(ROOT, b"lengths")
    for claimed, sent in ((5, 4), (4, 5), (1 << 30, 10), (131073, 131073)):
        error, _ = server.ask(WRITE, node, struct.pack("<QQIIQII", fh, 0, claimed, 0, 0, 0, 0) + b"x" * sent)
        if error != errno.EINVAL:
            return f"{claimed} bytes of {sent} are written: {error}"
    for offset, n in ((1 << 63, 1), (0, 1 << 31), (0, 131073)):
        error, _ = server.ask(READ, node, struct.pack("<QQIIQII", fh, offset, n, 0, 0, 0, 0))
        if error != errno.EINVAL:
            return f"a read of {n} bytes at {offset:#x} answers {error}"
    if server.ask(999, ROOT)[0] != errno.ENOSYS:
        return "an operation that is none is known"
    server.socket.send(b"short")
    server.socket.send(HEADER.pack(HEADER.size, FORGET, 0, 5, 0, 0, 0, 0))
    server.socket.send(HEADER.pack(HEADER.size + 24, BATCH_FORGET, 0, 5, 0, 0, 0, 0) + struct.pack("<IIQQ", 1 << 31, 0, ROOT, 1))
    return None if server.ask(GETATTR, ROOT, bytes(16))[0] == 0 else "the root is forgotten"


def waits(server, secret):
    """Who waits for a lock gets it, also while others ask without a pause."""
    error, node, fh = server.create(ROOT, b"waits")

    def words(owner, kind):
        return struct.pack("<QQQQIIII", fh, owner, 0, 9, kind, 0, 0, 0)
    error, _ = server.ask(SETLK, node, words(1, fcntl.F_WRLCK))
    if error:
        return f"a lock cannot be had: {error}"
    server.send(SETLKW, node, words(2, fcntl.F_WRLCK))
    wanted = server.unique
    error, _ = server.ask(SETLK, node, words(1, fcntl.F_UNLCK))
    if error:
        return f"a lock is not let go: {error}"
    got = None
    for _ in range(1000):
        server.send(GETATTR, ROOT, bytes(16))
        unique = 0
        while unique != server.unique:
            _, error, unique = OUT.unpack_from(server.socket.recv(1 << 20))
            if unique == wanted:
                got = -error
        if got is not None:
            return f"who waited gets {got}" if got else None
    return "1000 messages came first"


def floods(server, secret):
    """As much of everything as it can get: bounded, and no harm to what is asked afterwards."""
    for i in range(20000):
        server.send(FORGET, i, struct.pack("<Q", i))
    error, node = server.lookup(ROOT, b"file")
    opened = []
    while True:
        error, fh = server.open(node)
        if error:
            break
        opened.append(fh)
        if len(opened) > 10000:
            return "more than 10000 open files"
    if error not in (errno.ENFILE, errno.EMFILE):
        return f"the last of {len(opened)} open files answers {error}"
    for fh in opened:
        server.ask(RELEASE, node, struct.pack("<QIIQ", fh, 0, 0, 0))
    error, fh = server.open(node)
    server.ask(RELEASE, node, struct.pack("<QIIQ", fh, 0, 0, 0))
    return f"nothing can be opened afterwards: {error}" if error else None


def lockers(server, secret):
    """Locks of more owners than there may be are refused, and take nothing from what others ask; those that are not got count for nothing."""
    def words(fh, owner):
        return struct.pack("<QQQQIIII", fh, owner, owner, owner, fcntl.F_WRLCK, 0, 0, 0)
    held = 0
    for i in range(200):
        error, node, fh = server.create(ROOT, b"lockers-%d" % i)
        if error:
            return f"after {held} locks a file cannot be made: {error}"
        for owner in range(60):
            error, _ = server.ask(SETLK, node, words(fh, owner))
            if error not in (0, errno.ENOLCK):
                return f"after {held} locks one more answers {error}"
            held += error == 0
        server.ask(RELEASE, node, struct.pack("<QIIQ", fh, 0, 0, 0))
    if held != LOCKERS: # this server is new: nobody had any before
        return f"{held} owners have locks"
    for i in range(2):
        server.send(FORGET, server.lookup(ROOT, b"lockers-%d" % i)[1], struct.pack("<Q", 10)) # with those of its 60 owners
    for name, room in (b"lockers-again", OWNERS), (b"lockers-more", 2 * 60 - OWNERS):
        error, node, fh = server.create(ROOT, name)
        answers = [server.ask(SETLK, node, words(fh, owner))[0] for owner in range(OWNERS + 6)]
        if answers != [0] * room + [errno.ENOLCK] * (OWNERS + 6 - room):
            return f"where {room} owners more may have locks, {answers.count(0)} get them, and others {set(answers)}"
    server.send(FORGET, node, struct.pack("<Q", 10))
    error, node, fh = server.create(ROOT, b"lockers-refused")
    with open(server.directory + "/lockers-refused", "r+", encoding="ascii") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        for owner in range(1000):
            error, _ = server.ask(SETLK, node, words(fh, owner))
            if error != errno.EAGAIN:
                return f"lock {owner} of those that the host has answers {error}"
    return None


def races(server, secret):
    """While the host (or another guest) swaps a directory for a link that leads out, as fast as it can."""
    top = server.directory
    over = threading.Event()

    def swap():
        while not over.is_set():
            try:
                os.rename(top + "/dir", top + "/kept")
                os.symlink("..", top + "/dir")
                os.unlink(top + "/dir")
                os.rename(top + "/kept", top + "/dir")
            except OSError:
                pass
    os.mkdir(top + "/dir")
    with open(top + "/dir/secret", "w", encoding="ascii") as file:
        file.write("harmless")
    thread = threading.Thread(target=swap)
    thread.start()
    got = set()
    try:
        for _ in range(3000):
            error, node = server.lookup(ROOT, b"dir")
            if not error:
                error, inner = server.lookup(node, b"secret")
            if not error:
                error, fh = server.open(inner)
                if not error:
                    got.add(server.read(inner, fh)[1])
                    server.ask(RELEASE, inner, struct.pack("<QIIQ", fh, 0, 0, 0))
    finally:
        over.set()
        thread.join()
    return f"it read {got - {b'harmless'}}" if got - {b"harmless"} else None


def noise(server, secret):
    """Anything, with lengths that are right: the server answers and lives."""
    rng = random.Random(1)
    for _ in range(20000):
        body = rng.randbytes(rng.choice((0, 8, 16, 24, 40, 64, 88, 100)))
        if rng.random() < 0.3:
            body += rng.choice((b"file\0", b"sub\0", b"..\0", b"x\0y\0"))
        opcode = rng.choice((3, 4, 5, 14, 15, 17, 20, 22, 23, 25, 27, 28, 30, 31, 33, 43, 44, 46, 47, 50, 51, rng.randrange(70)))
        if opcode in (FORGET, BATCH_FORGET, 33, 36): # without an answer, or with one that may be late
            continue
        server.ask(opcode, rng.choice((ROOT, 2, rng.randrange(1 << 34))), body)
    return None


def main():
    program, directory, secret = sys.argv[1], sys.argv[2], sys.argv[3].encode()
    failures = 0
    for test in (names, links, devices, numbers, lengths, sizes, waits, floods, lockers, races, noise):
        why = None
        try:
            server = Server(program, directory)
            server.program, server.directory = program, directory
            why = test(server, secret)
            if not why and server.ask(GETATTR, ROOT, bytes(16))[0]:
                why = "the server does not answer any more"
            if not why and secret in server.seen and test is not links:
                why = "an answer has the secret"
            server.socket.close()
        except (OSError, EOFError, AssertionError, subprocess.SubprocessError) as error:
            why = f"{type(error).__name__}: {error}"
        failures += why is not None
        print(f"ok {test.__name__}: {test.__doc__}" if why is None else f"not ok {test.__name__} - {why}")
    sys.exit(failures > 0)


main()
