#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Streams between programs of the host and of a Linux guest, by the convention of Firecracker.
# timeout: 100
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux vsock
linux_initrd "$work/initrd" 'vsock call 52 "hello host"; vsock call 99 x; vsock serve; echo "served"' "$build/tests/guest/guest_vsock=bin/vsock"

# vsock.py WHAT: a program of the host, at $work/vm.
cat >"$work/vsock.py" <<'PYTHON'
import socket, sys, time
vm, what = sys.argv[1:3]

def call(port, line=None):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(vm + "/vsock")
    s.sendall(line or b"CONNECT %d\n" % port)
    answer = b""
    while not answer.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            return None
        answer += byte
    assert answer.startswith(b"OK ") and int(answer[3:]) >= 1024, answer
    return s

def read_all(s):
    parts = []
    while True:
        parts.append(s.recv(1 << 16))
        if not parts[-1]:
            return b"".join(parts)

if what == "server":
    s = socket.socket(socket.AF_UNIX)
    s.bind(vm + "/vsock_52")
    s.listen()
    c, _ = s.accept()
    c.sendall(b"you said " + read_all(c))
elif what == "echo":
    s = call(1001)
    start = time.time()
    for i in range(100):
        s.sendall(b"%064d" % i)
        assert s.recv(64, socket.MSG_WAITALL) == b"%064d" % i
    print("a round trip takes %d us" % ((time.time() - start) * 1e4))
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""
elif what == "to":
    s = call(1002)
    start = time.time()
    s.sendall(bytes(16 << 20))
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b"%d\n" % (16 << 20)
    print("%d MiB/s to the guest" % (16 / (time.time() - start)))
elif what == "from":
    s = call(1003)
    start = time.time()
    s.sendall(b"%d\n" % (16 << 20))
    data = read_all(s)
    print("%d MiB/s from the guest" % (16 / (time.time() - start)))
    block = bytes(i % 251 for i in range(65536))
    assert data == block * 256, len(data)
elif what == "slow": # a client that does not read holds up nobody
    slow = call(1003)
    slow.sendall(b"8000000\n")
    s = call(1001)
    s.sendall(b"still there?")
    assert s.recv(12, socket.MSG_WAITALL) == b"still there?"
    assert len(read_all(slow)) == 8000000
elif what == "many":
    all = [call(1001) for i in range(60)]
    for i, s in enumerate(all):
        s.sendall(b"%d\n" % i)
    for i, s in enumerate(all):
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"%d\n" % i
elif what == "nobody":
    assert call(4711) is None
elif what == "nonsense":
    assert call(0, b"GET / HTTP/1.1\n") is None
elif what == "quit":
    call(1004)
PYTHON
host() { within 60 python3 "$work/vsock.py" "$work/vm" "$1"; }

# session JAIL: everything once.
session() {
	rm -rf "$work/vm"
	mkdir "$work/vm"
	start python3 "$work/vsock.py" "$work/vm" server
	await 10 'a server of the host' test -S "$work/vm/vsock_52"
	start "$monitor" --kernel "$linux_kernel" --initrd "$work/initrd" --mem 128M --serial --append 'console=ttyS0' --jail "$1" \
		--vsock "$work/vm" >"$work/out" 2>&1
	await 40 'the guest' grep -q 'vsock: serving' "$work/out"
	check "$1 jail: the guest calls a socket of the host" grep -q 'port 52 answers: you said hello host' "$work/out"
	check "$1 jail: a port where nobody listens" grep -q 'port 99: Connection reset by peer' "$work/out"
	shift
	for what; do
		check "host and guest: $what" host "$what"
		cat "$work/check.out"
	done
	host quit
	wait "$pid"
	check 'the guest ended by itself' test $? = 0
	grep -q '^served' "$work/out" || { cat "$work/out"; not_ok 'the server ends when told' 'it did not say so'; }
}
session basic echo to from slow many nobody nonsense
session full echo
finish
