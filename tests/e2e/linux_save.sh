#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A Linux guest that is saved and goes on: its memory, files, clocks, processors, devices.
# timeout: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_save
busybox=$(command -v busybox)
inside() { "$lightvm" exec vm busybox sh -c "$1"; }
uptime() { inside 'read up rest </proc/uptime; echo ${up%.*}'; }
counts() { inside 'cat /tmp/count'; }
further() { [ "$(counts)" -gt "$1" ]; }

# It counts, one in each half second, in RAM and in a file; what is in RAM only cannot come back by a new start.
"$lightvm" run -d --kernel linux --net none --cpus 2 --name vm "$busybox" sh -c '
	head -c 2000000 /dev/urandom >/tmp/random; sha256sum </tmp/random >/tmp/sum
	n=0; while :; do n=$((n + 1)); echo $n >/tmp/count; echo "line $n"; sleep 0.5; done' >/dev/null
await 30 'the first count' further 2
nonce=$(inside 'cat /proc/sys/kernel/random/boot_id')
# What it may use is lowered, here and for its next start; its machine stays as it is.
check 'update: less memory' "$lightvm" update -m 200M vm
lowered() { test "$("$lightvm" inspect -f config.memory vm) $("$lightvm" balloon --format json vm | jq .target)" = "$((200 << 20)) $((56 << 20))"; }
check '  it is' lowered
before=$(counts) up=$(uptime)
check 'save' "$lightvm" save vm
check '  it has ended' test "$("$lightvm" inspect -f state vm 2>/dev/null)" != running
sleep 6 # that the time passes while it is saved is what is tested
check 'restore' "$lightvm" restore -d vm
check '  its count goes on' test "$(counts)" -ge "$before" -a "$(counts)" -lt $((before + 60))
check '  and further' await 20 'a higher count' further "$(counts)"
check '  it has not started anew' test "$(inside 'cat /proc/sys/kernel/random/boot_id')" = "$nonce"
check '  it may use what it might, and no more' lowered
check '  both processors run' test "$(inside 'grep -c ^processor /proc/cpuinfo; taskset 1 true && taskset 2 true && echo both')" = $'2\nboth'
check '  its files are whole' inside 'sha256sum </tmp/random | cmp - /tmp/sum'
now=$(uptime)
check '  its monotonic clock goes on where it stood' test $((now - up)) -ge 0
wall=$(inside 'date +%s')
check '  the wall clock is right' test $(($(date +%s) - wall)) -le 5 -a $(($(date +%s) - wall)) -ge -1
check '  standard output goes on' await 20 'a line of it' grep -q "line $(($(counts) + 1))" <("$lightvm" logs vm; sleep 1; "$lightvm" logs vm)
check '  its kernel complains of nothing' test -z "$(inside 'dmesg | grep -iE "lockup|stall|WARNING"')"
check 'it is saved once more, and goes on' "$lightvm" save vm
says '  --prefetch has no list for it' 125 'is a Linux guest, of which only all pages can be there before it runs (--prefetch-all)' "$lightvm" restore --prefetch vm
check '  restore --prefetch-all' "$lightvm" restore --prefetch-all -d vm
check '  its files are whole' inside 'sha256sum </tmp/random | cmp - /tmp/sum'
before=$(counts)
check 'once more, and it comes page by page: after --prefetch-all all pages count as changed' "$lightvm" save vm
check '  restore' "$lightvm" restore -d vm
check 'only what changed is saved' "$lightvm" save --base vm --name part vm
taken() { "$lightvm" checkpoint inspect "$1" | jq '.[0].memory_taken'; }
check '  which is less' test $(($(taken part) * 2)) -lt "$(taken vm)"
check '  restore' "$lightvm" restore -d part
check '  its count goes on' test "$(counts)" -ge "$before"
check '  its files are whole' inside 'sha256sum </tmp/random | cmp - /tmp/sum'
check '  it has not started anew' test "$(inside 'cat /proc/sys/kernel/random/boot_id')" = "$nonce"
check '  its kernel complains of nothing' test -z "$(inside 'dmesg | grep -iE "lockup|stall|WARNING"')"
check 'clone' "$lightvm" clone --name two vm
inside_two() { "$lightvm" exec two busybox sh -c "$1"; }
check '  both have the files' inside_two 'sha256sum </tmp/random | cmp - /tmp/sum'
check '  it may use no more either' test "$("$lightvm" inspect -f config.memory two)" = $((200 << 20))
check '  it has a host name of its own' test "$(inside_two hostname)" != "$(inside hostname)"
check '  and random numbers' test "$(inside_two 'head -c 16 /dev/urandom | md5sum')" != "$(inside 'head -c 16 /dev/urandom | md5sum')"
says 'clones that stand still cannot be told who they are' 125 'is a Linux guest, whose clones PID 1 tells who they are' "$lightvm" clone --paused --name three vm
"$lightvm" rm -f two
check 'stop' "$lightvm" stop -t 5 vm
finish
