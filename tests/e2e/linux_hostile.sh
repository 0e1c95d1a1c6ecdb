#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A guest that writes garbage to every register and ring of every device: the monitor lives, its memory stays bounded, and it
# tells which devices need a reset. LV_HOSTILE_SECONDS (60): how long.
# timeout: 160
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
linux_kernel=$build/tests/guest/guest_hostile_mmio
need_linux hostile
seconds=${LV_HOSTILE_SECONDS:-60}

mkdir "$work/vm"
truncate -s 1M "$work/disk"
printf 'before' >"$work/read-only"
truncate -s 64K "$work/read-only"
cp "$work/read-only" "$work/read-only.copy"
# Its network is a socket whose other end takes whatever comes, and now and then sends something.
cat >"$work/attach.py" <<'PYTHON'
import os, socket, sys
ours, theirs = socket.socketpair(socket.AF_UNIX)
if os.fork() == 0:
    ours.close()
    theirs.settimeout(0.1)
    while True:
        try:
            theirs.send(b"\0\0\0\x3c" + bytes(60), socket.MSG_DONTWAIT)
            if not theirs.recv(65536):
                os._exit(0)
        except (TimeoutError, BlockingIOError):
            pass
        except OSError:
            os._exit(0)
theirs.close()
os.set_inheritable(ours.fileno(), True)
os.execv(sys.argv[1], sys.argv[1:] + ["--net", "passt:fd:%d" % ours.fileno()])
PYTHON
start python3 "$work/attach.py" "$monitor" --kernel "$linux_kernel" --mem 32M --serial --append "seconds=$seconds" --jail full \
	--disk "$work/disk" --disk "$work/read-only,ro" --vsock "$work/vm" --status "$work/status" >"$work/out" 2>&1
await 20 'the guest to begin' grep -q 'hostile: begins' "$work/out"

# Meanwhile the host's side of the vsock is used too; what the guest answers is its own affair.
most=0
while kill -0 "$pid" 2>/dev/null && ! grep -q 'accesses' "$work/out"; do
	now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
	[ "${now:-0}" -le $most ] || most=$now
	printf 'CONNECT %d\nhello' $((RANDOM % 64)) | timeout 1 python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(0.5)
try:
    s.connect(sys.argv[1])
    s.sendall(sys.stdin.buffer.read())
    s.recv(100)
except OSError:
    pass' "$work/vm/vsock"
done
wait "$pid"
status=$?
tr -cd '\11\12\40-\176' <"$work/out" | tail -n 5
check 'the monitor ends as the guest wants it' test $status = 0
check 'the guest came to its end' grep -aq 'accesses' "$work/out"
echo "at most $most KiB of its own memory, that of the guest (32 MiB) included"
check 'its memory is bounded' test "$most" -lt $((48 << 10))
# The status record tells what was wrong.
check 'broken rings were found out' grep -aqE 'descriptor|available index' "$work/status"
check 'a read-only disk stays as it is' cmp "$work/read-only" "$work/read-only.copy"
check 'a disk keeps its size' test "$(stat -c %s "$work/disk")" = $((1 << 20))
finish
