#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a monitor has left once its guest runs: namespaces, root, user, descriptors, rights, limits; and where a machine refuses these.
# timeout: 120
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }
monitor_of() { "$lightvm" inspect "$1" | jq '[.. | .pid? // empty] | first'; }
status_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }

"$lightvm" run -d --name kept "${guest}waiter" up >/dev/null
await 10 'the line "up"' contains up "$lightvm" logs kept
pid=$(monitor_of kept)
check 'the record names the monitor' grep -qa lightvm-vmm "/proc/$pid/cmdline"
open=$(for fd in /proc/"$pid"/fd/*; do readlink "$fd"; done)
for done in /dev/kvm cpuid libos.elf '[.]lvm' cache/lightvm; do
	check "no descriptor of $done" bash -c '! grep -q -- "$1" <<<"$2"' - "$done" "$open"
done
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	check "$set is empty" test "$(status_of "$pid" $set)" = 0000000000000000
done
check 'no new privileges' test "$(status_of "$pid" NoNewPrivs)" = 1
check 'a filter' test "$(status_of "$pid" Seccomp)" = 2
check 'no environment' test ! -s "/proc/$pid/environ"
limit() { awk -v name="$1" 'index($0, name) == 1 { sub(name, ""); print $1 }' "/proc/$pid/limits"; }
check 'no core file' test "$(limit 'Max core file size')" = 0
check 'few descriptors' test "$(limit 'Max open files')" -le 160
mapped=$(($(awk '{ print $1 }' "/proc/$pid/statm") * $(getconf PAGESIZE)))
space=$(limit 'Max address space')
check 'address space: what is mapped, and less than 300 MiB besides' test "$space" -ge "$mapped" -a "$space" -le $((mapped + 300 * 1024 * 1024))
for kind in mnt ipc uts pid; do
	check "a $kind namespace of its own" test "$(readlink "/proc/$pid/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")"
done
check 'not a network namespace of its own' test "$(readlink "/proc/$pid/ns/net")" = "$(readlink "/proc/self/ns/net")"
# Physical frame numbers help who attacks memory or caches; whose descriptor was opened with root's rights reads them for ever.
frames() { "$(dirname "$0")/pagemap_frames.py" "$1" | cut -d' ' -f"$2"; }
check 'its descriptor of pagemap tells which pages are there' test "$(frames "$pid" 1)" -gt 0
check 'and no physical frame number' test "$(frames "$pid" 2)" = 0
[ "$(id -u)" != 0 ] || check 'as one that root opens does' test "$(frames 0 2)" -gt 0
check 'an empty root' test -z "$(ls -A "/proc/$pid/root/")"
check 'which nobody can write to' bash -c '! touch "$1" 2>/dev/null' - "/proc/$pid/root/file"
check 'process 1 of its own' test "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$pid/status")" = 1
check 'inspect says full' test "$("$lightvm" inspect kept | jq -r '[.. | .jail? // empty] | first')" = full
check 'ps says full' test "$("$lightvm" ps --format json | jq -r '.[0].jail')" = full
check 'doctor says full' contains 'full: monitors have' "$lightvm" doctor
if [ "$(id -u)" = 0 ]; then
	"$lightvm" run -d --name other "${guest}waiter" up >/dev/null
	first=$(status_of "$pid" Uid) second=$(status_of "$(monitor_of other)" Uid)
	check 'users of the range' test "$first" -ge 2130706432 -a "$first" -le 2139095039 -a "$second" -ge 2130706432 -a "$second" -le 2139095039
	check 'one for each VM' test "$first" != "$second"
	check 'group too' test "$(status_of "$pid" Gid)" = "$first"
	"$lightvm" rm -f other
	LIGHTVM_UIDS=70000-70000 "$lightvm" run -d --name given "${guest}waiter" up >/dev/null
	check 'a range that is given' test "$(status_of "$(monitor_of given)" Uid)" = 70000
	LIGHTVM_UIDS=70000-70000 "$lightvm" run -d --name short "${guest}waiter" up >/dev/null
	check 'a range that is used up' test "$(status_of "$(monitor_of short)" Uid)" = 0
	LIGHTVM_UIDS=off "$lightvm" run -d --name off "${guest}waiter" up >/dev/null
	check 'no range' test "$(status_of "$(monitor_of off)" Uid)" = 0
	"$lightvm" rm -f given short off
	says 'a range that is none' 125 'LIGHTVM_UIDS=5: neither' env LIGHTVM_UIDS=5 "$lightvm" run --rm "${guest}waiter" up
	says 'root is none' 125 'LIGHTVM_UIDS=0-5: neither' env LIGHTVM_UIDS=0-5 "$lightvm" run --rm "${guest}waiter" up
	# The kernel forgets at a change of users who dies with whom.
	start "$lightvm" run --name orphan "${guest}waiter" up >/dev/null
	await 10 'the line "up"' contains up "$lightvm" logs orphan
	orphan=$(monitor_of orphan)
	kill -KILL "$pid"
	check 'the monitor dies with a foreground command that is killed' await 10 "the end of monitor $orphan" test ! -e "/proc/$orphan"
	"$lightvm" rm -f orphan
fi
"$lightvm" rm -f kept

# A machine that refuses: VMs start all the same, and a terminal is told once.
refusing() { unshare -Ur bash -c 'for kind in user mnt pid ipc uts; do echo 0 >"/proc/sys/user/max_${kind}_namespaces"; done || exit 99; "$@"' - "$@"; }
if refusing true; then
	check 'a VM runs without namespaces' contains hello refusing "$lightvm" run --rm /bin/echo hello
	refusing "$lightvm" run -d --name plain "${guest}waiter" up >/dev/null
	check 'inspect says basic' test "$("$lightvm" inspect plain | jq -r '[.. | .jail? // empty] | first')" = basic
	check 'ps says basic' contains '(jail: basic)' "$lightvm" ps
	check 'its root is ours, its rights are none' test "$(status_of "$(monitor_of plain)" CapEff)" = 0000000000000000
	"$lightvm" rm -f plain
	check 'doctor says basic' contains 'run all the same. Refused: namespaces' refusing "$lightvm" doctor
	on_terminal() { script -qec "unshare -Ur bash -c 'for kind in user mnt pid ipc uts; do echo 0 >/proc/sys/user/max_\${kind}_namespaces; done; $lightvm run --rm /bin/true'" /dev/null; }
	check 'a terminal is told' contains 'refuses the monitor namespaces' on_terminal
	check 'once' bash -c '! grep -q refuses <<<"$1"' - "$(on_terminal)"
else
	skip 'without namespaces' 'this machine lets nobody refuse them'
fi
finish
