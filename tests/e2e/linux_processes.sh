#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What only a Linux guest can: several processes, several vCPUs, what the kernel shows of itself.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux processes
LV_KERNEL_KIND=linux
busybox=$(command -v busybox)
text=$top/tests/data/text
cp "$text" "$work/stdin"
same 'a pipeline of 5 processes' -- "$busybox" sh -c 'busybox cat | busybox tr a-z A-Z | busybox grep RING | busybox sort -u | busybox wc'
rm "$work/stdin"
same 'children and their statuses' -- "$busybox" sh -c '(exit 3); echo $?; sh -c "kill -9 \$\$"; echo $?; for i in 1 2 3 4 5; do (busybox echo $i; exit $i) & wait $!; echo $?; done; exit 7'
same 'orphans are reaped' -- "$busybox" sh -c '(busybox true & busybox true &); wait; exec busybox echo done'
same 'here documents and command substitution' -- "$busybox" sh -c 'x=$(busybox seq 1 100 | busybox tail -n 1); busybox cat <<END
$x
END'
got=$(run --cpus 3 "$busybox" nproc 2>"$work/err")
check '3 vCPUs' test "$got" = 3
got=$(run -m 96M "$busybox" awk '/MemTotal/ { print ($2 > 60000 && $2 < 98304) }' /proc/meminfo 2>>"$work/err")
check 'the memory that was asked for' test "$got" = 1
got=$(run --append 'lightvm.test=1' "$busybox" grep -c lightvm.test=1 /proc/cmdline 2>>"$work/err")
check '--append reaches the kernel' test "$got" = 1
got=$(run "$busybox" uname -r 2>>"$work/err")
check 'our kernel' grep -q -- -lightvm <<<"$got"
truncate -s 8M "$work/disk"
got=$(run --disk "$work/disk,serial=data" "$busybox" sh -c 'busybox cat /sys/block/vdb/serial; echo; echo written >/dev/vdb; busybox sync' 2>>"$work/err")
check 'a disk: its serial number' test "$got" = data
check 'a disk: what the guest wrote' grep -q '^written' "$work/disk"
run --disk "$work/disk,ro" "$busybox" sh -c 'echo no >/dev/vdb' >"$work/out" 2>&1
check 'a read-only disk' test $? != 0
check 'a read-only disk keeps its contents' grep -q '^written' "$work/disk"
cat "$work/err"

# ps and inspect tell the kernel.
id=$(run -d "$busybox" sleep 60)
check 'ps' grep -q " general " <("$lightvm" ps)
# A VM in the background is there before its guest has touched much.
holds() { "$lightvm" ps --format json | jq -e '.[0].memory_used > 16e6 and .[0].memory_used < 300e6'; }
check 'ps: the memory that it holds' await 20 'the memory of a guest that has booted' holds
check 'ps as JSON' test "$("$lightvm" ps --format json | jq -r '.[0].kernel')" = general
check 'inspect' test "$("$lightvm" inspect "$id" | jq -r '.[0].config.linux.cpus')" = 1
"$lightvm" kill "$id" >/dev/null

# A disk has one writer, and any number of readers.
id=$(run -d --disk "$work/disk" "$busybox" sleep 60)
says 'a disk that another VM writes to' 125 'is in use by another VM' run --disk "$work/disk" "$busybox" true
"$lightvm" kill "$id" >/dev/null
first=$(run -d --disk "$work/disk,ro" "$busybox" sleep 60)
got=$(run --disk "$work/disk,ro" "$busybox" head -c 7 /dev/vdb 2>&1)
check 'two readers of one disk' test "$got" = written
"$lightvm" kill "$first" >/dev/null
finish
