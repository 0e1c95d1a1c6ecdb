#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What VMs use: lightvm stats.
# timeout: 90
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
one() { "$lightvm" stats --no-stream --format json "$1" | jq -e ".[0] | $2"; }

says 'stats of what is not there' 125 'there is no VM "nothere"' "$lightvm" stats --no-stream nothere
says 'stats of a path' 125 'there is no VM "../vms/x"' "$lightvm" stats ../vms/x
says 'stats in a format that is none' 125 'yaml' "$lightvm" stats --format yaml
check 'without VMs the table is its head' test "$("$lightvm" stats --no-stream | wc -l)" = 1
check '  and the list is empty' jq -e '. == []' <("$lightvm" stats --no-stream --format json)

port=$(free_port)
"$lightvm" run -d --name idle -m 64M sleep 1000 >/dev/null
"$lightvm" run -d --name busy sh -c 'while :; do :; done' >/dev/null
"$lightvm" run -d --wait --name server -p "127.0.0.1:$port:7" "$build/apps/echo" 7 >/dev/null
check 'all that live, a row each' test "$("$lightvm" stats --no-stream | wc -l)" = 4
check 'those that are named' jq -e 'map(.name) == ["busy", "idle"]' <("$lightvm" stats --no-stream --format json busy idle)
check 'one that computes uses a processor' one busy '.cpu_percent > 10'
check '  and one that sleeps does not' one idle '.cpu_percent < 5'
check 'the limit is that of -m' one idle '.memory_limit == 67108864'
check 'its memory is more than nothing, less than the limit' one idle '.memory_used > 4096 and .memory_used < .memory_limit'
check 'two VMs of one library OS share some of it' one idle '.memory_shared > 0 and .memory_private > 0'
before=$(one server .net_received)
exec 7<>"/dev/tcp/127.0.0.1/$port"
head -c 100000 /dev/zero >&7
head -c 100000 <&7 >/dev/null
exec 7>&-
check 'what came over the network' test $(($(one server .net_received) - before)) -ge 100000
check '  and went' one server '.net_sent >= 100000'
check 'exits by kind' one server '.exits >= .exits_mmio + .exits_signal and .waits > 0 and .exits_mmio >= .waits'
head -c 65536 /dev/zero >"$work/disk"
"$lightvm" run -d -i --name disk --disk "$work/disk" busybox cat /dev/vda - >/dev/null
check 'what was read from a disk' await 10 '64 KiB' one disk '.block_bytes >= 65536'
"$lightvm" pause idle
check 'a paused VM is shown, and uses nothing' one idle '.state == "paused" and .cpu_percent < 1'
"$lightvm" kill busy
says 'stats of a VM that has ended' 125 'has ended' "$lightvm" stats --no-stream busy
# Live: a line a second; at a terminal until q.
check 'live as JSON: a list a line' test "$(timeout 10 "$lightvm" stats --format json server | head -n 2 | jq -c 'map(.name)' | sort -u)" = '["server"]'
cat >"$work/q.py" <<'P'
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "stats"])
seen = b""
while seen.count(b"CPU %") < 2:
    if not select.select([fd], [], [], 10)[0]:
        sys.exit("no second table: %r" % seen)
    seen += os.read(fd, 65536)
os.write(fd, b"q")
try:
    while os.read(fd, 65536):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
check 'at a terminal it goes on until q' within 15 python3 "$work/q.py" "$lightvm"
start "$lightvm" stats --format json >"$work/lines"
await 10 'its first line' test -s "$work/lines"
kill -TERM "$pid"
status=0; wait "$pid" || status=$?
check 'SIGTERM ends it in order' test $status = 0
"$lightvm" rm -f idle server disk busy
finish
