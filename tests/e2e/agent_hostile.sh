#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# exec and cp against an agent that lies: a process in the place of the VM, since the command line only sees a socket.
# timeout: 60
. "$(dirname "$0")/lib.sh"

id=0123456789ab
vm=$XDG_RUNTIME_DIR/lightvm/vms/$id
mkdir -p "$XDG_RUNTIME_DIR/lightvm/names" "$vm"
echo '{"id": "0123456789ab", "program": "/bin/x"}' >"$vm/config.json"
: >"$vm/status"
cat >"$work/agent.py" <<'PYTHON'
import fcntl, os, select, socket, struct, sys
vm = sys.argv[1]
lock = open(vm + "/status", "r+")
fcntl.flock(lock, fcntl.LOCK_EX)  # as a monitor does while it lives
server = socket.socket(socket.AF_UNIX)
os.chdir(vm)
server.bind("vsock")
server.listen(8)
def frame(kind, body=b"", size=None):
    return struct.pack("<II", kind, len(body) if size is None else size) + body
def entry(kind, name=b"", body=b"", size=None):
    return struct.pack("<BBHIQQ", kind, 0, len(name), 0o4755, len(body) if size is None else size, 1 << 63) + name + body
HELLO, OK, ERROR, STDOUT, CREDIT, EXIT = 1, 32, 33, 34, 36, 37
hello = frame(HELLO, struct.pack("<II", 0x4741564c, 1))
answers = {
    "not-hello": b"SSH-2.0-OpenSSH\r\n" * 9,
    "other-magic": frame(HELLO, struct.pack("<II", 7, 1)),
    "huge": hello + frame(STDOUT, b"", 0xffffffff),
    "credit": hello + frame(CREDIT, struct.pack("<I", 0x7fffffff)),
    "exit": hello + frame(EXIT, struct.pack("<I", 0x12345678)),
    "unknown": hello + frame(99),
    "error": hello + frame(ERROR, struct.pack("<i", 13) + b"no \x1b]0;evil\x07 way\n"),
    "error-code": hello + frame(ERROR, struct.pack("<i", -2147483648) + b"strange"),
    "cut": hello + frame(STDOUT, b"abc")[:-1],
    "output": hello + frame(STDOUT, b"out\n") + frame(EXIT, struct.pack("<I", 3 << 8)),
    "stall": hello + frame(STDOUT, b"started\n") + frame(STDOUT, b"x", 1000),
    "drip": b"",
    "up": hello + frame(OK) + entry(1) + entry(3, b"../evil", b"evil") + entry(6),
    "link": hello + frame(OK) + entry(1) + entry(4, b"l", b"..") + entry(1, b"l") + entry(3, b"evil", b"evil") + entry(2) + entry(2) + entry(6),
    "top-link": hello + frame(OK) + entry(4, b"", b"/etc/passwd") + entry(6),
    "suid": hello + frame(OK) + entry(3, b"", b"#!/bin/sh\n") + entry(6),
    "note": hello + frame(OK) + entry(1) + entry(5, b"", b"\x1b[31mred: left out") + entry(2) + entry(6),
    "many": hello + frame(8, struct.pack("<II", 1, 341) + bytes(96)),
    "large": hello + frame(OK) + entry(1) + entry(3, b"f", b"x" * 100, 1 << 50),
    "holes": hello + frame(OK) + entry(1) + entry(7, b"f", struct.pack("<QQ", 0, 0), 1 << 50),
    "names": hello + frame(OK) + entry(1),
    "notes": hello + frame(OK) + entry(1),
    "short": hello + frame(8, b"1234"),
    "processes": hello + frame(8, struct.pack("<II", 2, 1) + struct.pack("<iiIIQQ64s", 5, 1, 0x5b1b, 1, 1 << 63, 4096, b"\x1b]0;evil\x07 \xff")),
    "no-tree": hello + frame(OK) + frame(STDOUT, b"x" * 100),
}
def take(peer):  # a frame of the client; less if it goes
    head = peer.recv(8, socket.MSG_WAITALL)
    if len(head) == 8:
        peer.recv(struct.unpack("<II", head)[1], socket.MSG_WAITALL)
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    line = peer.makefile("rb", buffering=0).readline()
    assert line == b"CONNECT 19542\n", line
    peer.sendall(b"OK 1073741824\n")
    name = open(os.environ["CASE"]).read().strip()
    try:
        take(peer)
        if name == "drip":  # a frame of 32 KiB, a byte a second
            peer.sendall(hello + frame(OK, b"", 32768))
            while not select.select([peer], [], [], 1)[0] or peer.recv(65536):
                peer.sendall(b"x")
        peer.sendall(answers[name])
        take(peer)
        while name in ("names", "notes"):  # for ever
            peer.sendall((entry(1, b"d") + entry(2) if name == "names" else entry(5, b"", b"left out")) * 1000)
        while name == "stall" and peer.recv(65536):
            pass
    except OSError:
        pass
    peer.close()
PYTHON
start env CASE="$work/case" python3 "$work/agent.py" "$vm" >"$work/agent.out" 2>"$work/agent.err"
await 10 'the hostile agent' grep -q ready "$work/agent.out" || { cat "$work/agent.err"; not_ok 'the hostile agent' 'does not start'; finish; }

# tells CASE STATUS TEXT COMMAND...
tells() {
	local case=$1
	shift
	echo "$case" >"$work/case"
	says "exec: $case" "$1" "$2" timeout 20 "$lightvm" exec "$id" x
}
tells not-hello 125 'the agent: it sent a frame that is too long'
tells other-magic 125 "is not LightVM's agent"
tells huge 125 'sent a frame of 4294967295 bytes'
tells credit 125 'took more input than it was given'
tells exit 125 'an exit status that is none'
tells unknown 125 'of an unknown type (99)'
tells error 125 'no ?]0;evil? way'
tells error-code 125 strange
tells cut 125 'the VM ended, or its agent did'
echo output >"$work/case"
"$lightvm" exec "$id" x >"$work/out" 2>"$work/err"
check 'exec: an agent that keeps the rules' test "$? $(cat "$work/out")" = '3 out'

echo stall >"$work/case"
start env --default-signal=INT "$lightvm" exec "$id" x >"$work/out" 2>"$work/err"
check 'exec: a guest that stops in the middle of a frame (start)' await 10 'its output' grep -q started "$work/out"
taken() { ! [ -d "/proc/$pid" ] || grep -q '^ShdPnd:[[:space:]]*0*$' "/proc/$pid/status"; }
for _ in 1 2 3; do kill -INT "$pid"; await 5 'the signal to be taken' taken; done
wait "$pid"
check 'exec: it does not hold Ctrl-C up' test $? = 125

tops() { echo "$1" >"$work/case"; says "top: $1" 125 "$2" timeout 20 "$lightvm" top "$id"; }
tops many 'its list of processes makes no sense'
tops short 'its list of processes makes no sense'
tops output 'its list of processes makes no sense'
tops error 'no ?]0;evil? way'
echo processes >"$work/case"
timeout 20 "$lightvm" top "$id" >"$work/out" 2>"$work/err"
check 'top: what a guest says is shown as text' grep -qE '5 +1 +\? .*\?\]0;evil\? \?$' "$work/out"
check '  and that it has more' grep -q 'and 1 more' "$work/out"

# An agent that says a byte now and then: each verb has one deadline for the whole exchange.
echo drip >"$work/case"
says 'kill -s: an agent that drips' 125 'timed out' timeout 12 "$lightvm" kill -s TERM "$id"
check 'inspect: an agent that drips' timeout 18 "$lightvm" inspect "$id"

copies() { # CASE STATUS TEXT
	echo "$1" >"$work/case"
	rm -rf "$work/target"
	mkdir "$work/target"
	says "cp: $1" "$2" "$3" timeout 20 "$lightvm" cp "$id:/x" "$work/target/copy"
	check "cp: $1 leaves nothing outside" test ! -e "$work/evil" -a ! -e "$work/target/evil"
}
copies up 125 'would leave the directory'
copies link 125 'is no directory'
copies top-link 125 'a symbolic link where'
copies no-tree 125 'the other side sent'
copies note 125 '?[31mred: left out'

script -qec "'$lightvm' cp '$id:/x' -" "$work/terminal" </dev/null >/dev/null
check 'cp: no archive, a guest'"'"'s bytes, goes to a terminal' grep -q 'standard output is a terminal; give a path' "$work/terminal"

# The same agent behind lightvmd's API: what it sends has an end, though its reader would read on.
. "$(dirname "$0")/lib_daemon.sh"
start_daemon
archive() { curl -s -m $((40 * ${LV_TIME_FACTOR:-1})) -o "$work/archive" --unix-socket "$socket" "http://localhost/v1/vms/$id/archive?path=/x$1"; echo $?; }
endless() { # CASE QUERY WHY
	echo "$1" >"$work/case"
	check "archive: $1 is broken off" test "$(archive "$2")" = 18 # of curl: not all has come
	check "  for its reason" grep -qF -- "$3" "$work/daemon.log"
}
endless large '' 'with it more than 17179869184 bytes would be copied'
check '  before any of it came' test ! -s "$work/archive"
endless holes '' 'with it more than 17179869184 bytes would be copied'
endless names '&max_files=1000' 'with it more than 1000 files and directories would be copied'
endless notes '&max_files=1000' 'with what was left out there are more than 1000 files and directories'
answers 'archive: no number of files' 400 'max_files: ' GET "/v1/vms/$id/archive?path=/x&max_files=many"
kill "$daemon"
echo suid >"$work/case"
check 'cp: a set-user-ID file' "$lightvm" cp "$id:/x" "$work/suid"
check 'cp: is none here' test "$(stat -c %a "$work/suid")" = 755
finish
