# SPDX-License-Identifier: Apache-2.0
"""lightvm-tar with trees and archives of every kind. usage: tar_tree.py LIGHTVM-TAR WORK"""
import io
import os
import random
import struct
import subprocess
import sys
import tarfile
import traceback

TAR, WORK = sys.argv[1:]
DIR, UP, FILE, LINK, NOTE, END, PIECES = range(1, 8)
TIME = 1700000000


def entry(kind, name=b"", mode=0, size=0, data=b"", mtime=TIME * 10**9):
    return struct.pack("<BBHIQq", kind, 0, len(name), mode, size or len(data), mtime) + name + data


def piece(at, data):
    return struct.pack("<QQ", at, len(data)) + data


def call(arguments, given):
    done = subprocess.run([TAR, *arguments], input=given, capture_output=True, timeout=60)
    lines = done.stderr.decode().splitlines()
    return done.returncode, done.stdout, lines


def from_tree(*pieces, name="top", limit=0, most=0):
    return call(["from-tree", name, str(limit), str(most)], b"".join(pieces))


def to_tree(given):
    return call(["to-tree"], given)


def members(data):
    return {one.name: one for one in tarfile.open(fileobj=io.BytesIO(data))}


def parse(stream):
    """A tree as nested lists: (kind, name, mode, content)."""
    at, stack = 0, [[]]
    while True:
        kind, _, name_size, mode, size, mtime = struct.unpack_from("<BBHIQq", stream, at)
        at += 24
        name = stream[at:at + name_size].decode(errors="surrogateescape")
        at += name_size
        if kind == END:
            assert at == len(stream) and len(stack) == 1
            return stack[0]
        if kind == UP:
            stack.pop()
        elif kind == DIR:
            stack[-1].append((name, mode, []))
            stack.append(stack[-1][-1][2])
        elif kind == LINK:
            stack[-1].append((name, "->", stream[at:at + size].decode(errors="surrogateescape")))
            at += size
        else:
            assert kind == PIECES, kind
            data = bytearray(size)
            while True:
                where, n = struct.unpack_from("<QQ", stream, at)
                at += 16
                if not n:
                    assert where == size
                    break
                data[where:where + n] = stream[at:at + n]
                at += n
            stack[-1].append((name, mode, bytes(data)))


def archive(*wanted, form=tarfile.PAX_FORMAT, mode="w"):
    """Of (name, content) or TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as tar:
        for one in wanted:
            if isinstance(one, tarfile.TarInfo):
                tar.addfile(one)
                continue
            info = tarfile.TarInfo(one[0])
            info.size, info.mode, info.mtime = len(one[1]), 0o640, TIME
            tar.addfile(info, io.BytesIO(one[1]))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def fails(said, code, text):
    status, _, lines = said
    assert status == 1 and lines and lines[-1].startswith(f"fail {code} ") and text in lines[-1], said


# ---- a guest's files

def a_tree_becomes_an_archive():
    long = b"n" * 255
    status, out, lines = from_tree(
        entry(DIR, b"ignored", 0o755), entry(FILE, b"plain", 0o644, data=b"text\n"), entry(DIR, b"sub", 0o6700), entry(FILE, b"suid", 0o4755, data=b""),
        entry(LINK, b"link", data=b"../../etc/passwd"), entry(UP), entry(FILE, long, 0o600, data=b"x" * 100000), entry(FILE, b"\xff\xfe", 0o600, data=b"raw"),
        entry(NOTE, data=b"fifo: neither a file nor a directory; left out"), entry(UP), entry(END))
    assert status == 0, lines
    assert lines[0].startswith("note fifo: ") and lines[1].split()[:2] == ["done", "4"], lines
    found = members(out)
    assert sorted(found) == sorted(["top", "top/plain", "top/sub", "top/sub/suid", "top/sub/link", "top/" + long.decode(), "top/\udcff\udcfe"]), sorted(found)
    assert found["top/plain"].mtime == TIME and found["top/plain"].mode == 0o644 and found["top/plain"].uid == 0
    assert found["top/sub/suid"].mode == 0o755 and found["top/sub"].mode == 0o700
    assert found["top/sub/link"].linkname == "../../etc/passwd"
    assert tarfile.open(fileobj=io.BytesIO(out)).extractfile("top/plain").read() == b"text\n"


def a_file_alone():
    status, out, _ = from_tree(entry(FILE, b"x", 0o600, data=b"1"), entry(END), name="hosts")
    assert status == 0 and list(members(out)) == ["hosts"]


def holes_and_sizes():
    status, out, _ = from_tree(entry(DIR), entry(PIECES, b"holes", 0o600, size=200000), piece(100000, b"data"), piece(200000, b""),
                               entry(PIECES, b"proc", 0o444), piece(0, b"one "), piece(4, b"two"), piece(7, b""), entry(UP), entry(END), name=".")
    tar = tarfile.open(fileobj=io.BytesIO(out))
    assert status == 0 and tar.extractfile("./proc").read() == b"one two"
    assert tar.extractfile("./holes").read() == b"\0" * 100000 + b"data" + b"\0" * 99996


def hostile_trees():
    top = entry(DIR)
    for code, text, pieces in (
            (71, "ended in the middle", [top]), (71, "ended in the middle", []), (71, "would leave the directory", [top, entry(FILE, b"../x")]),
            (71, "would leave the directory", [top, entry(DIR, b"a/b")]), (71, "would leave the directory", [top, entry(FILE, b"a\0b")]),
            (71, "unknown type (9)", [entry(9)]), (71, "that it was not in", [entry(UP)]), (71, "more than one tree", [top, entry(UP), top]),
            (71, "deeper than 128", [entry(DIR, b"d") for _ in range(130)]), (71, "within a directory", [top, entry(END)]), (71, "sent nothing", [entry(END)]),
            (71, "symbolic link where", [entry(LINK, data=b"/etc")]), (71, "leads nowhere", [top, entry(LINK, b"l", data=b"a\0b")]),
            (71, "more than 2^63", [top, entry(FILE, b"f", size=2**63)]), (71, "more than 2^63", [top, entry(PIECES, b"f", size=2**64 - 1)]),
            (71, "behind the end of its file", [top, entry(PIECES, b"f", size=3), piece(0, b"four")]),
            (71, "before the last one", [top, entry(PIECES, b"f", size=9), piece(4, b"four"), piece(2, b"x")]),
            (27, "does not tell its size", [top, entry(PIECES, b"f"), piece(5, b"x")]),
            (27, "does not tell its size", [top, entry(PIECES, b"f"), struct.pack("<QQ", 0, 1 << 40)]),
            (71, "l: the other side sent it again", [top, entry(LINK, b"l", data=b"/etc"), entry(DIR, b"l"), entry(FILE, b"passwd", data=b"x")]),
            (71, "l: the other side sent it again", [top, entry(LINK, b"l", data=b"/etc/passwd"), entry(FILE, b"l", data=b"x")]),
            (71, "l: the other side sent it again", [top, entry(DIR, b"d"), entry(LINK, b"l", data=b".."), entry(UP), entry(DIR, b"d"), entry(PIECES, b"l", size=1)]),
            (71, "l77: the other side sent it again", [top, *[entry(LINK, b"l%d" % i, data=b"x") for i in range(500)], entry(DIR, b"l77")]),
            (71, "a text of", [top, entry(NOTE, size=1 << 40)])):
        fails(from_tree(*pieces), code, text)
    fails(from_tree(top, entry(FILE, b"f", size=1 << 50), limit=1000), 27, "more than 1000 bytes")
    fails(from_tree(top, *[entry(FILE, b"f%d" % i) for i in range(9)], most=9), 7, "with it more than 9 files and directories")
    fails(from_tree(top, *[entry(NOTE, data=b"left out") for _ in range(9)], most=9), 7, "with what was left out there are more than 9 files")
    fails(from_tree(top, entry(PIECES, b"f", size=1 << 50), piece(1 << 49, b"x"), limit=1 << 20), 27, "bytes would be copied")
    _, out, _ = from_tree(top, entry(FILE, b"good", data=b"x" * 20000), entry(FILE, b"bad", size=100, data=b""))
    assert not out.endswith(b"\0" * 1024), "an archive that is not whole looks whole"


def links_of_one_name_in_two_places():
    many = [entry(LINK, b"l%d" % i, data=b"x") for i in range(1000)]
    status, out, lines = from_tree(entry(DIR), *many, entry(DIR, b"d"), *many, entry(FILE, b"l", data=b"y"), entry(UP), entry(UP), entry(END))
    assert status == 0 and len(members(out)) == 2003, (status, lines)


def controls_in_what_is_said():
    _, _, lines = from_tree(entry(DIR), entry(NOTE, data=b"a\x1b[31m\nfail 0 b"), entry(UP), entry(END))
    assert len(lines) == 2 and "\x1b" not in lines[0], lines


# ---- a client's archive

def an_archive_becomes_a_tree():
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        for mode in ("w", "w:gz", "w:bz2", "w:xz"):
            directory = special("./a", tarfile.DIRTYPE)
            directory.mode, directory.mtime = 0o750, TIME
            status, out, lines = to_tree(archive(special(".", tarfile.DIRTYPE), directory, ("./a/x", b"text"), ("b/c/deep", b"y" * 70000), ("a/z", b""),
                                                 special("ln", tarfile.SYMTYPE, "/etc/passwd"), ("/abs", b"1"), form=form, mode=mode))
            assert status == 0, lines
            assert parse(out) == [("", 0o755, [("a", 0o750, [("x", 0o640, b"text")]), ("b", 0o755, [("c", 0o755, [("deep", 0o640, b"y" * 70000)])]),
                                               ("a", 0o755, [("z", 0o640, b"")]), ("ln", "->", "/etc/passwd"), ("abs", 0o640, b"1")])], parse(out)
            assert lines == ["done 4 70005"], lines


def long_names():
    name = "/".join(["d" * 200] * 10) + "/" + "f" * 255
    status, out, _ = to_tree(archive((name, b"x")))
    tree = parse(out)
    for _ in range(11):
        tree = tree[0][2]
    assert status == 0 and tree[0][0] == "f" * 255


def what_is_left_out():
    status, out, lines = to_tree(archive(("a", b"x"), special("hard", tarfile.LNKTYPE, "a"), special("pipe", tarfile.FIFOTYPE), special("null", tarfile.CHRTYPE)))
    assert status == 0 and [one[0] for one in parse(out)[0][2]] == ["a"]
    assert [line.split(":")[0] for line in lines[:3]] == ["note hard", "note pipe", "note null"], lines


def sparse():
    path = os.path.join(WORK, "sparse")
    with open(path, "wb") as file:
        file.truncate(10 << 20)
        file.seek(5 << 20)
        file.write(b"in the middle")
    given = subprocess.run(["tar", "-C", WORK, "-cSf", "-", "sparse"], capture_output=True, check=True).stdout
    status, out, _ = to_tree(given)
    assert status == 0 and len(out) < 1 << 20, len(out)
    assert parse(out)[0][2][0][2].rstrip(b"\0") == b"\0" * (5 << 20) + b"in the middle"


def hostile_archives():
    for code, text, given in ((22, "no whole tar", b""), (22, "no whole tar", b"no archive at all" * 100), (22, "leads out of", archive(("a/../../x", b""))),
                              (22, "leads out of", archive(("..", b""))), (22, "a name of 300 bytes", archive(("n" * 300, b""))),
                              (22, "deeper than", archive(("d/" * 200 + "f", b""))), (22, "leads nowhere", archive(special("l", tarfile.SYMTYPE, "t" * 5000))),
                              (22, "no whole tar", archive(("f", b"x" * 100000))[:50000]), (22, "no whole tar", archive(("f", b"x" * 10000), mode="w:gz")[:80])):
        fails(to_tree(given), code, text)


def any_bytes():
    """Neither a crash nor a tree that a receiver would not take, whatever comes."""
    luck = random.Random(1)
    good = archive(("a/x", b"text" * 1000), special("ln", tarfile.SYMTYPE, "there"), ("b/" + "n" * 150, b"y"), mode="w")
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(luck.randrange(1, 8)):
            bad[luck.randrange(len(bad))] = luck.randrange(256)
        status, out, lines = to_tree(bytes(bad))
        assert status in (0, 1), (status, lines)
        if status == 0:
            parse(out)
    tree = b"".join([entry(DIR), entry(FILE, b"f", data=b"x" * 100), entry(PIECES, b"p", size=50), piece(10, b"abc"), piece(50, b""), entry(UP), entry(END)])
    for _ in range(150):
        bad = bytearray(tree)
        for _ in range(luck.randrange(1, 4)):
            bad[luck.randrange(len(bad))] = luck.randrange(256)
        status, _, lines = from_tree(bytes(bad), limit=1 << 20)
        assert status in (0, 1) and lines, (status, lines)


for test in (a_tree_becomes_an_archive, a_file_alone, holes_and_sizes, hostile_trees, links_of_one_name_in_two_places, controls_in_what_is_said, an_archive_becomes_a_tree, long_names, what_is_left_out,
             sparse, hostile_archives, any_bytes):
    name = test.__name__.replace("_", " ")
    try:
        test()
        print(f"ok {name}")
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print(f"not ok {name} - see above")
