#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shells: VMs that have booted before anybody knows what they run. What is claimed is as good as new, belongs to who claimed it, and to nobody else.
# timeout: 240
# In a PID namespace of its own, where it can have one: it looks for shells by their command lines, kills some, and other tests have lightvmds, too.
if [ -z "${LV_OWN_PIDS:-}" ] && unshare -fp --mount-proc true 2>/dev/null; then LV_OWN_PIDS=1 exec unshare -fp --kill-child --mount-proc "$0"; fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
identity=$build/tests/guest/guest_identity
pool() { "$lightvm" pool ls --format json | jq -r ".pools[] | select(.name == \"$1\") | .$2"; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "$("${@:2}"), not $1"; false; }; }
ready() { [ "$(pool "$1" ready)" -ge "$2" ]; }
claim_of() { "$lightvm" inspect "$1" | jq -r '.[0].monitor.claim // .[0].record.claim // .[0].claim'; }
shells() { pgrep -f -- "lightvm-vmm --name ${1:-default} --control" || :; }

says 'without a daemon there are no pools' 125 'pools are lightvmd' "$lightvm" pool ls
check 'and a VM starts all the same' run --name alone "$build/apps/hello"
is_claim() { is "$2" claim_of "$1"; }
check 'nobody was asked' is_claim alone ''
check 'lightvmd starts' start_daemon
check 'shells are made' await 20 ready default 2
filtered() { for p in $(shells); do grep -q '^Seccomp:.*2' "/proc/$p/status" && grep -q '^CapEff:.*0000000000000000' "/proc/$p/status" || return 1; done; }
normal() { for p in $(shells); do [ "$(cut -d' ' -f19 "/proc/$p/task/"*/stat | sort -u)" = "$(cut -d' ' -f19 "/proc/$daemon/stat")" ] || return 1; done; }
check 'it is no less urgent than its daemon, in any of its threads' await 5 normal
check 'a shell that waits has a filter of its calls, and no rights' filtered
open_files() { for p in $(shells); do for fd in /proc/"$p"/fd/*; do readlink "$fd" || :; done; done; }
no_cpuid() { open_files | grep -q kvm-vm && ! open_files | grep cpuid; }
check 'nor what all VMs of a user share: the cache of CPUID' no_cpuid
check 'the first VM has one' run --name first "$build/apps/hello"
check 'and says so' is_claim first hit
check 'the ledger has no step before the command' sh -c '"$0" boot-time first --format json | jq -e ".steps[0].step == \"command\" and ([.steps[].step] | index(\"claimed\") and (index(\"booted\") | not))"' "$lightvm"

# Streams, status and signals, of a monitor that is nobody's child.
status() { "${@:2}"; local got=$?; [ $got = "$1" ] || { echo "status $got, not $1"; false; }; }
await 20 ready default 1
check 'its exit status' status 7 run sh -c 'exit 7'
await 20 ready default 1
check 'its streams' sh -c '[ "$(echo in | "$0" run cat)" = in ]' "$lightvm"
await 20 ready default 1
check 'a crash is a crash' status 139 run --name crashed sh -c 'kill -SEGV $$'
check 'of one that was claimed' is_claim crashed hit
await 20 ready default 1
start "$lightvm" run --name fore "$build/tests/guest/guest_identity" wait >"$work/fore"
check 'one in the foreground runs' await 10 grep -q seed "$work/fore"
check 'it was claimed' is_claim fore hit
kill -9 "$pid"
ended() { [ -z "$("$lightvm" ps -q)" ]; }
check 'its command is killed: it ends' await 10 ended

# What is wanted is got, or the start is a cold one.
await 20 ready default 1
check 'more memory than the pool has: cold' run -m 2G --name large "$build/apps/hello"
check 'and it says why' is_claim large 'miss: flavour'
cp "$build/libos/libos.elf" "$work/libos.elf"
check 'another library OS than the shells have: cold' env LIGHTVM_LIBOS="$work/libos.elf" "$lightvm" run --name other "$build/apps/hello"
check 'and it says why' is_claim other 'miss: stale'
check 'a pool that keeps nothing' "$lightvm" pool set default --min 0 --max 0
check 'has nothing' await 10 is 0 pool default ready
check 'its VMs start cold' run --name empty "$build/apps/hello"
check 'and say why' is_claim empty 'miss: empty'
check 'it is filled again' "$lightvm" pool set default --min 8 --max 64
check 'as far as it was said' await 30 ready default 8
kill -9 $(shells | head -n 3)
check 'shells that died are replaced' await 20 sh -c '[ "$("$0" pool ls --format json | jq ".pools[0].ended")" -ge 3 ]' "$lightvm"
await 20 ready default 8
hits=$(pool default hits)
kill -STOP "$daemon"
check 'a daemon that hangs holds nothing up' run --name late "$build/apps/hello"
check 'and the VM says so' is_claim late 'miss: late'
kill -CONT "$daemon"
check 'the shell that it did not wait for is no hit' is "$hits" pool default hits
check 'and is made anew' await 30 ready default 8

# A machine whose memory is short: what it says of that is ours here.
no_shells() { [ -z "$(shells "$1")" ]; }
calm='some avg10=9.99 avg60=0.00 avg300=0.00 total=1' short='some avg10=25.00 avg60=0.00 avg300=0.00 total=1'
echo "$calm" >"$work/pressure"
if [ -n "${LV_OWN_PIDS:-}" ] && [ -e /proc/pressure/memory ] && mount --bind "$work/pressure" /proc/pressure/memory 2>/dev/null; then
	echo "$short" >"$work/pressure"
	check 'under memory pressure all shells are given back' await 10 no_shells default
	check '  and the pool says so' is true pool default pressed
	check '  a VM starts cold' run --name pressed "$build/apps/hello"
	check '    and says why' is_claim pressed 'miss: empty'
	echo "$calm" >"$work/pressure"
	check '  when it is over they are made again' await 30 ready default 8
	umount /proc/pressure/memory
else
	skip 'memory pressure' 'the kernel does not tell of it, or no file can be mounted over that'
fi

# Many from one pool: no two are the same in anything.
count=2000
[ "${LV_TIME_FACTOR:-1}" -le 2 ] || count=$((count / 5))
"$lightvm" pool set default --min 32 --max 64
await 60 ready default 32
many() {
	for ((i = 0; i < count; i++)); do "$lightvm" run --rm --net passt "$identity" || return 1; done >"$work/many"
	is $count wc -l <"$work/many"
}
before=$(pool default hits)
check "$count VMs" many
for what in seed generation mac; do
	check "no two have one $what" is $count sh -c 'grep -o "$1=[0-9a-f:]*" "$0" | sort -u | wc -l' "$work/many" $what
done
check 'most were claimed' test $(($(pool default hits) - before)) -gt $((count / 4))

# One that was made before anybody asked has the place of who did: limits, and a control group (version 2).
limit_of() { awk '/^Max msgqueue size/ { print $4, $5 }' "/proc/$("$lightvm" inspect -f record.pid "$1")/limits"; }
await 20 ready default 1
if (((0x$(awk '/^CapEff/ { print $2 }' /proc/self/status) >> 24) & 1)) || [ "$(id -u)" != 0 ]; then
	check 'one with limits' prlimit --msgqueue=4096:8192 "$lightvm" run -d --net none --name bounded sleep 1000
	check '  was claimed' is_claim bounded hit
	check '  has them' is '4096 8192' limit_of bounded
	"$lightvm" rm -f bounded >"$work/out"
else
	skip 'limits' 'here root has no CAP_SYS_RESOURCE, and a monitor from the pool is another user'
fi
groups=$(findmnt -nt cgroup2 -o TARGET | head -n 1)
if [ -n "$groups" ] && mkdir "$groups/lightvm-pool-${work##*.}" 2>/dev/null; then
	await 20 ready default 1
	check 'one of a control group' sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$groups/lightvm-pool-${work##*.}" "$lightvm" run -d --net none --name grouped sleep 1000
	check '  was claimed' is_claim grouped hit
	check '  is in it' grep -q "^0::.*/lightvm-pool-${work##*.}\$" "/proc/$("$lightvm" inspect -f record.pid grouped)/cgroup"
	"$lightvm" rm -f grouped >"$work/out"
	rmdir "$groups/lightvm-pool-${work##*.}"
else
	skip 'control groups' 'none of version 2 can be made here'
fi

# Orders.
check 'another pool' "$lightvm" pool add big -m 4G --min 1
check 'has its shell' await 20 ready big 1
check 'VMs with more memory come from it' run -m 2G --name large2 "$build/apps/hello"
check 'and say so' is_claim large2 hit
says 'a pool twice' 125 'pool big: there is one of that name' "$lightvm" pool add big
says 'a pool that is not there' 125 'pool none: there is none of that name' "$lightvm" pool rm none
says 'nothing to change' 125 'pool big: nothing to change; give --min or --max' "$lightvm" pool set big
says 'bounds that cross' 125 'pool big: at least 9 and at most 2 is impossible' "$lightvm" pool set big --min 9 --max 2
says 'a name that is a path' 125 'is not of letters, digits' "$lightvm" pool add ../big
says 'too much memory' 125 'pool.memory' "$lightvm" pool add huge -m 65G
says 'less RAM than any has' 125 'pool.ram' "$lightvm" pool add huge --ram 1M
await 20 ready default 1
check 'a pool with room for large images' "$lightvm" pool add roomy --image-room 256M --ram 32M --min 1
check '  has its shell' await 20 ready roomy 1
has_room() { tr '\0' ' ' <"/proc/$(shells roomy | head -n 1)/cmdline" | grep -q -- '--image-room 268435456 --first-ram 33554432 '; }
check '  which has that room' has_room
check '  a VM that needs none leaves it alone' run "$build/apps/hello"
check '  as is told' is 0 pool roomy hits
await 20 ready default 1
check '  one that does takes it, though another pool has shells, too' run /usr/bin/python3 -V
check '  as is told' is 1 pool roomy hits
check '  and goes' "$lightvm" pool rm roomy
check 'a pool goes' "$lightvm" pool rm big
check 'with its shells' await 10 no_shells big

# The daemon is killed: what was claimed lives, what was not ends, and the next daemon has the pools again.
await 20 ready default 1
check 'one in the background' "$lightvm" run -d --name back "$identity" wait
check 'was claimed' is_claim back hit
kill -9 "$daemon"
only_back() { [ "$(shells | wc -l)" = 1 ]; }
check 'no shell outlives it' await 10 only_back
check 'the VM does' sh -c '"$0" ps | grep -q "back.*running"' "$lightvm"
check 'it answers' sh -c '"$0" inspect back | jq -e ".[0]" >/dev/null' "$lightvm"
check 'and is stopped' "$lightvm" rm -f back
check 'lightvmd starts again' start_daemon
check 'with the bounds that were set' is 32 pool default least
kill "$daemon"
wait "$daemon"
check 'and ends with its shells' await 10 no_shells default
finish
