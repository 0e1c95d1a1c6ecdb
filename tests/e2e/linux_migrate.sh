#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux guests that move between two hosts (lib_migrate.sh): they go on with processors, memory, files and clocks, and with the other host's kernel, which is the same.
# timeout: 400
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
. "$(dirname "$0")/lib_migrate.sh"
need_linux linux_migrate
busybox=$(command -v busybox)
port=$(free_port) other=$((port + 1))

share_kernels
hosts_know_each_other "$port" "$other"
start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" 2>"$work/serve-b.log"
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$other" 2>"$work/serve-a.log"
listen() { port_open "$port" && port_open "$other"; }
check "both hosts listen" await 20 "both hosts" listen

inside() { host "$1" "$lightvm" exec vm busybox sh -c "$2"; } # HOST COMMAND
counts() { inside "$1" 'cat /tmp/count'; }
further() { [ "$(counts "$1")" -gt "$2" ]; }
# It counts in RAM and in a file, and looks through a file of random bytes: what began again would be seen.
a "$lightvm" run -d --kernel linux --net none --cpus 2 -m 256M --name vm "$busybox" sh -c '
	head -c 4000000 /dev/urandom >/tmp/random; sha256sum </tmp/random >/tmp/sum
	n=0; while :; do n=$((n + 1)); echo $n >/tmp/count; echo "line $n"; sleep 0.2; done' >/dev/null
await 60 'the first count' further a 2
id=$(a "$lightvm" ps -q)
nonce=$(inside a 'cat /proc/sys/kernel/random/boot_id')
# How long the question takes is not the clock's. It is told the time when the move is over.
right_time() { local asked=$EPOCHSECONDS wall; wall=$(inside "$1" 'date +%s') && [ "$wall" -ge $((asked - 5)) ] && [ "$wall" -le $((EPOCHSECONDS + 1)) ]; }
goes_on() { # HOST: with all that it had
	check "  it is gone from where it was" nothing_at "$([ "$1" = b ] && echo a || echo b)"
	check "  it runs there, under its id and name" test "$(states "$1") $(host "$1" "$lightvm" ps -q)" = "vm:running $id"
	check "  its count goes on" await 20 "a higher count" further "$1" "$before"
	check "  it has not started anew" test "$(inside "$1" 'cat /proc/sys/kernel/random/boot_id')" = "$nonce"
	check "  its files are whole" inside "$1" 'sha256sum </tmp/random | cmp - /tmp/sum'
	check "  both processors run" test "$(inside "$1" 'grep -c ^processor /proc/cpuinfo; taskset 1 true && taskset 2 true && echo both')" = $'2\nboth'
	check "  the wall clock is right" await 40 "that PID 1 has heard what time it is" right_time "$1"
	check "  its kernel complains of nothing" test -z "$(inside "$1" 'dmesg | grep -iE "lockup|stall|WARNING"')"
	check "  its kernel is this host's" jq -e --arg place "$work/cache-$1/kernel/" '.linux.kernel | startswith($place)' "$work/$1/vms/$id/config.json"
}
before=$(counts a)
check "--stop-and-copy" moves_to b --stop-and-copy
goes_on b
before=$(counts b)
check "and back, by pre-copy" moves_to a --pre-copy
goes_on a
[ -w /dev/userfaultfd ] || { skip "memory after the switch" "/dev/userfaultfd cannot be opened: it would be pre-copy"; finish; }
reported() { jq -e "$1" "$work/moved.json" >/dev/null || { cat "$work/moved.json"; return 1; }; }
later() { moves_to "$@" --format json >"$work/moved.json"; }
before=$(counts a)
check "--post-copy" later b --post-copy
check "  most of its memory came afterwards" reported '.instead == null and .pushed_bytes > .memory_bytes / 2'
goes_on b
before=$(counts b)
check "and back, by --hybrid" later a --hybrid
check "  of which most came before" reported '.instead == null and .memory_bytes - .pushed_bytes > .pushed_bytes'
goes_on a

# The connection is lost in the middle of what comes after the switch.
before=$(counts a)
begins_slowly() { start "$work/as-a" "$lightvm" migrate --post-copy --bandwidth 1M vm big 2>"$work/moved"; slow=$pid; }
switched() { grep -qs switched "$work/a/names/vm/migration"; }
switched_or_ended() { switched || ! kill -0 $slow; }
slowly() { begins_slowly; await 60 "the switch" switched_or_ended && switched; }
check "switched, and its memory comes slowly" asked_again slowly
kill -KILL $slow
wait $slow 2>/dev/null
says "  the source is killed: it does not go on here" 125 "may run at host big" a "$lightvm" resume vm
recovers() { within 100 "$work/as-a" "$lightvm" migrate --recover vm 2>"$work/moved"; }
check "  it gets the rest" asked_again recovers
goes_on b
finish
