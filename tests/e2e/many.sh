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
check 'the VM between them is removed' bash -c '! "$1" ps -a | grep -q deaf' - "$lightvm"

check 'rm of all' within 60 xargs "$lightvm" rm < <("$lightvm" ps -aq)
check 'nothing is left behind' test "$("$lightvm" ps -a -q | wc -l)" = 0
finish
