#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What VMs use and what runs in them: lightvm stats, top, update.
# timeout: 120
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
# ---- top
cat >"$work/threads.py" <<'P'
import threading, time
for i in range(3):
    threading.Thread(target=time.sleep, args=(1000,)).start()
print("up", flush=True)
while True:
    pass
P
"$lightvm" run -d --name threads -v "$work/threads.py:/threads.py" /usr/bin/python3 /threads.py >/dev/null
await 20 'its threads' grep -q up <("$lightvm" logs -f threads)
check 'top: a process with its threads' jq -e 'length == 1 and .[0].id == 1 and .[0].threads == 4' <("$lightvm" top --format json threads)
check '  which computes' jq -e '.[0].state == "R"' <("$lightvm" top --format json threads)
check '  and has the processor time' jq -e '.[0].cpu_ns > 1000000' <("$lightvm" top --format json threads)
check 'top of one that sleeps' grep -qE '^ +1 +0 +S .*sleep' <("$lightvm" top idle)
check 'top of one that computes without a system call' grep -qE '^ +1 +0 +R ' <("$lightvm" top busy)
says 'top of what is not there' 125 'there is no VM "nothere"' "$lightvm" top nothere
says 'top of two' 125 'usage: lightvm top' "$lightvm" top idle busy
"$lightvm" rm -f threads

# ---- update
check 'update of a VM that runs' "$lightvm" update -m 32M idle
check '  stats have it' one idle '.memory_limit == 33554432'
check '  up again, to what it was made with' "$lightvm" update -m 64M idle
says 'more than it was made with' 125 '65M is more than VM' "$lightvm" update -m 65M idle
says 'update of nothing' 125 'Give --memory' "$lightvm" update idle
says 'a size that is none' 125 'lots' "$lightvm" update -m lots idle
says 'a size that is too small' 125 '1M' "$lightvm" update -m 1M idle
says 'update of what is not there' 125 'there is no VM "nothere"' "$lightvm" update -m 64M nothere
printf '%s\n' 'import sys' 'a = bytearray(100 << 20)' 'print("up", flush=True)' 'sys.stdin.read(1)' 'b = bytearray(60 << 20)' >"$work/large.py"
"$lightvm" run -d -i --name large -m 256M -v "$work/large.py:/large.py" /usr/bin/python3 /large.py >/dev/null
await 20 'its memory' grep -q up <("$lightvm" logs -f large)
says 'less than it has' 125 'already, and cannot be limited to 64M while it runs' "$lightvm" update -m 64M large
least=$("$lightvm" inspect -f record.memory.size large)
check 'to what it has' "$lightvm" update -m "$least" large
timeout 10 "$lightvm" console large <<<x >/dev/null 2>&1
check '  then it gets no more' test "$(within 20 "$lightvm" wait large)" != 0
check 'an ended VM gets any limit' "$lightvm" update -m 300M large
check '  with which it starts' bash -c '"$1" start large >/dev/null && [ "$("$1" inspect -f config.memory large)" = 314572800 ]' - "$lightvm"
"$lightvm" rm -f large
"$lightvm" pause idle
says 'top of a paused VM' 125 'is paused' "$lightvm" top idle
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
