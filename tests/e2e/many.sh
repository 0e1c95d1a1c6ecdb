#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# 100 VMs at once (50 in the rig): all start, all answer, all are listed, none disturbs another.
# timeout: 120
# alone
. "$(dirname "$0")/lib.sh"
count=100
[ -z "${LV_RIG:-}" ] || count=50

for ((i = 1; i <= count; i++)); do
	"$lightvm" run -d --name "vm$i" "$build/tests/guest/guest_waiter" "number $i" >>"$work/ids" 2>>"$work/err" || { not_ok "start of VM $i" "$(tail -n 1 "$work/err")"; break; }
done
listed() { [ "$("$lightvm" ps -q | wc -l)" = $count ]; }
check "$count VMs run at once" await 20 "$count lines of ps" listed
spoke() {
	local i
	for ((i = 1; i <= count; i++)); do [ "$("$lightvm" logs "vm$i")" = "number $i" ] || return 1; done
}
check 'each said its own line' await 20 'the first line of each' spoke
check 'ids are different' test "$(sort -u "$work/ids" | wc -l)" = $count
"$lightvm" kill vm1
others() { [ "$("$lightvm" ps -q | wc -l)" = $((count - 1)) ]; }
check 'the end of one leaves the others' await 10 "$((count - 1)) lines of ps" others
check 'kill of all' within 60 xargs "$lightvm" kill < <("$lightvm" ps -q)
none() { [ -z "$("$lightvm" ps -q)" ]; }
check 'none is left' await 20 'an empty ps' none
# One that does not listen holds nobody up.
"$lightvm" run -d --name deaf "$build/tests/guest/guest_waiter" up deaf >>"$work/ids"
"$lightvm" run -d --name polite "$build/tests/guest/guest_waiter" up polite >>"$work/ids"
await 20 'the line "up" of both' bash -c '"$1" logs deaf | grep -q up && "$1" logs polite | grep -q up' - "$lightvm"
start "$lightvm" stop -t 600 deaf polite
check 'stop of many asks all at once' await 20 'the end of "polite"' bash -c '"$1" ps -a --filter name=polite | grep -q exited' - "$lightvm"
check 'and goes on with the one that does not end' bash -c '"$1" ps -q --filter name=deaf | grep -q . && kill -0 "$2"' - "$lightvm" "$pid"
"$lightvm" kill deaf
check 'until that one ends, too' wait "$pid"

# What is wrong is told in the order of the words, when the rest is done.
"$lightvm" rm one deaf two 2>"$work/said"
check 'words without a VM: each is told, in their order' diff - "$work/said" <<END
lightvm: there is no VM "one"; "lightvm ps -a" lists them
lightvm: there is no VM "two"; "lightvm ps -a" lists them
END
check 'the VM between them is removed' test -z "$("$lightvm" ps -aq --filter name=deaf)" # "deaf" alone may stand in an id

check 'rm of all' within 60 xargs "$lightvm" rm < <("$lightvm" ps -aq)
# A machine that has no room: here a control group in which 40 threads may live, and each VM has three (two, where KVM has no worker for it).
group=/sys/fs/cgroup/pids/lightvm-test-$$ home=/sys/fs/cgroup/pids
[ -d "$home" ] || group=/sys/fs/cgroup/lightvm-test-$$ home=/sys/fs/cgroup
home+=$(sed -n 's/^[0-9]*:pids://p; s/^0:://p' /proc/self/cgroup | head -n 1)
if ! mkdir "$group" 2>/dev/null || ! echo 40 2>/dev/null >"$group/pids.max"; then
	rmdir "$group" 2>/dev/null || :
	skip 'what ends the number of VMs is named' 'no control group for processes can be made here'
else
	echo $BASHPID >"$group/cgroup.procs"
	room=$("$lightvm" doctor | sed -n 's/^note  *room  *for some \([0-9]*\) .*pids.max ends.*/\1/p')
	for ((i = 0; i < 40; i++)); do "$lightvm" run -d --net none "$build/tests/guest/guest_waiter" up >/dev/null 2>"$work/said" || break; done
	"$lightvm" ps -q >"$work/fit"
	xargs "$lightvm" rm -f <"$work/fit"
	echo $BASHPID >"$home/cgroup.procs"
	check 'doctor says what ends the number of VMs' test -n "$room"
	# The shell and the command that starts a VM need some, too.
	check "it said $room, and $i fit" test "$i" -le "$room" -a "$i" -ge $((room - 2))
	check 'the start that fails names it, and how to raise it' grep -q 'no VM more fits this machine: .*pids.max is used up (40, .*raise it with: ' "$work/said"
	await 10 'the end of what was in the group' rmdir "$group"
fi
check 'nothing is left behind' test "$("$lightvm" ps -a -q | wc -l)" = 0
finish
