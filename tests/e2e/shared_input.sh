#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two VMs that read one pipe: what the one takes the other has seen coming, and must not wait for. Each answers at all times.
# timeout: 120
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
mkfifo "$work/shared"
exec {feed}<>"$work/shared"
for vm in one other; do
	start "$lightvm" run --name $vm "$busybox" cat <"$work/shared" >"$work/$vm.out" 2>"$work/$vm.err" {feed}>&-
done
runs() { [ "$("$lightvm" inspect -f state "$1" 2>/dev/null)" = running ]; }
for vm in one other; do check "$vm runs" await 20 "VM $vm" runs $vm; done
came() { [ "$(cat "$work/one.out" "$work/other.out" | wc -l)" = "$1" ]; }
late=0
for line in {1..30}; do
	echo "line $line" >&$feed
	await 10 "line $line" came $line || late=$((late + 1))
	for vm in one other; do within 3 "$lightvm" inspect $vm >/dev/null || late=$((late + 1)); done
done
check 'both answer while the other one reads' test $late = 0
check 'no line is lost, and none comes twice' cmp <(cat "$work/one.out" "$work/other.out" | sort) <(printf 'line %s\n' {1..30} | sort)
check 'kill of one' within 3 "$lightvm" kill one
echo 'one more' >&$feed
check 'the other goes on' await 10 'the line' came 31
exec {feed}>&-
ended() { [[ $("$lightvm" inspect -f status other) == exited* ]]; }
check 'it ends with its input' await 10 'the end' ended
finish
