#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux guests that move between two hosts (lib_migrate.sh): they go on with processors, memory, files and clocks, and with the other host's kernel, which is the same.
# timeout: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
. "$(dirname "$0")/lib_migrate.sh"
need_linux linux_migrate
busybox=$(command -v busybox)
port=$(free_port) other=$((port + 1))

# Both have the same kernels, each below a path of its own; what is built is never written to again.
for who in a b; do
	mkdir -p "$work/cache-$who"
	chmod 700 "$work/cache-$who"
	ln -s "$(readlink -f "$cache/kernel")" "$work/cache-$who/kernel"
done
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
goes_on() { # HOST: with all that it had
	check "  it is gone from where it was" nothing_at "$([ "$1" = b ] && echo a || echo b)"
	check "  it runs there, under its id and name" test "$(states "$1") $(host "$1" "$lightvm" ps -q)" = "vm:running $id"
	check "  its count goes on" await 20 "a higher count" further "$1" "$before"
	check "  it has not started anew" test "$(inside "$1" 'cat /proc/sys/kernel/random/boot_id')" = "$nonce"
	check "  its files are whole" inside "$1" 'sha256sum </tmp/random | cmp - /tmp/sum'
	check "  both processors run" test "$(inside "$1" 'grep -c ^processor /proc/cpuinfo; taskset 1 true && taskset 2 true && echo both')" = $'2\nboth'
	asked=$(date +%s) wall=$(inside "$1" 'date +%s') heard=$(date +%s) # how long the question takes is not the clock's
	check "  the wall clock is right" test "$wall" -ge $((asked - 5)) -a "$wall" -le $((heard + 1)) || echo "# $wall, asked at $asked, heard at $heard"
	check "  its kernel complains of nothing" test -z "$(inside "$1" 'dmesg | grep -iE "lockup|stall|WARNING"')"
	check "  its kernel is this host's" jq -e --arg place "$work/cache-$1/kernel/" '.linux.kernel | startswith($place)' "$work/$1/vms/$id/config.json"
}
before=$(counts a)
check "--stop-and-copy" moves_to b --stop-and-copy
goes_on b
before=$(counts b)
check "and back, by pre-copy" moves_to a --pre-copy
goes_on a
finish
