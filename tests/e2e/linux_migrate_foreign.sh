#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A kernel of somebody else's, with an initial RAM disk and nothing of ours inside, moves between two hosts (lib_migrate.sh): both files are found there by what is in them.
# timeout: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
. "$(dirname "$0")/lib_migrate.sh"
find_rig_kernel
linux_kernel=$rig_kernel need_linux linux_migrate_foreign
port=$(free_port) other=$((port + 1))
linux_initrd "$work/initrd" 'echo "life $(cat /proc/sys/kernel/random/boot_id)"; n=0; while :; do n=$((n + 1)); echo "turn $n"; sleep 0.2; done'
mkdir "$work/here" "$work/there"
cp "$rig_kernel" "$work/there/a-kernel"
cp "$work/initrd" "$work/there/a-disk"
cp "$rig_kernel" "$work/here/kernel"
cp "$work/initrd" "$work/here/initrd"

hosts_know_each_other "$port" "$other"
says "a directory that is not there" 125 "--kernels $work/none: No such file" b "$lightvm" host serve --kernels "$work/none"
says "no absolute path" 125 "--kernels there: no absolute path" b "$lightvm" host serve --kernels there
says "no directory" 125 "--kernels $work/initrd: no directory" b "$lightvm" host serve --kernels "$work/initrd"
start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" --kernels "$work/there" 2>"$work/serve-b.log"
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$other" --kernels "$work/here" 2>"$work/serve-a.log"
listen() { port_open "$port" && port_open "$other"; }
check "both hosts listen" await 20 "both hosts" listen

turns() { host "$1" "$lightvm" logs vm 2>/dev/null | grep -c '^turn '; }
more() { [ "$(turns "$1")" -gt "$2" ]; }
check "a VM" a "$lightvm" run -d --net none --name vm --cpus 2 -m 512M --kernel "$work/here/kernel" --initrd "$work/here/initrd" --append 'console=ttyS0 quiet nokaslr'
check "  counts" await 200 "its first turns" more a 3
id=$(a "$lightvm" ps -q)
last() { host "$1" "$lightvm" logs vm | sed -n 's/^turn \([0-9]*\)\r*$/\1/p' | tail -n 1; }
first() { host "$1" "$lightvm" logs vm | sed -n 's/^turn \([0-9]*\)\r*$/\1/p' | head -n 1; }
goes_on() { # HOST TURN FILE FILE: of that host; the log there begins with what it says there
	check "  it runs there, under its id and name" test "$(states "$1") $(host "$1" "$lightvm" ps -q)" = "vm:running $id"
	check "  it goes on" await 60 "more turns" more "$1" 2
	check "  where it was, or further: it ran on while it moved" test "$(first "$1")" -gt "$2"
	check "  it has not started anew" test -z "$(host "$1" "$lightvm" logs vm | grep '^life')"
	check "  its kernel and initial RAM disk are this host's" jq -e --arg kernel "$3" --arg initrd "$4" '.linux.kernel == $kernel and .linux.initrd == $initrd' "$work/$1/vms/$id/config.json"
}
at=$(last a)
check "--stop-and-copy" moves_to b --stop-and-copy
check "  it is gone from here" nothing_at a
goes_on b "$at" "$work/there/a-kernel" "$work/there/a-disk"
at=$(last b)
check "and back, by pre-copy" moves_to a --pre-copy
goes_on a "$at" "$work/here/kernel" "$work/here/initrd"
finish
