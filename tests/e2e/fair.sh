#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thread that sleeps, or waits for another, runs on time beside threads that compute: at most three times as late as on one processor of
# Linux, which the same program shows, pinned to one. The machine may be busy, so the best of some tries counts, of either.
# alone
# timeout: 180
. "$(dirname "$0")/lib.sh"
fair=$build/tests/guest/guest_fair
margin=15000 # us: what a host that is busy adds to both
cpu=$(taskset -pc $$ | sed 's/.*[ :]\([0-9]*\).*/\1/')

as_process() { taskset -c "$cpu" "$fair" "$@"; }
as_vm() { run "$fair" "$@"; }

# least HOW KIND THREADS: microseconds of the best of three tries
least() {
	local how=$1 best='' late rest try
	shift
	for try in 1 2 3; do
		read -r late rest < <("$how" "$@" 500 2>"$work/err") || return 1
		if [ -z "$best" ] || [ "$late" -lt "$best" ]; then best=$late; fi
	done
	echo "$best"
}

for kind in free lock wake; do
	for threads in 1 2 4 8; do
		process=$(least as_process $kind $threads) || process=
		vm=$(least as_vm $kind $threads) || vm=
		limit=$((3 * ${process:-0} + margin))
		if [ -n "$process" ] && [ -n "$vm" ] && [ "$vm" -le $limit ]; then ok "$kind, $threads computing"; else
			cat "$work/err"
			not_ok "$kind, $threads computing" "$vm us late, a process $process, limit $limit"
		fi
	done
done

# Of those who compute nobody is left behind. (Time that the host takes away is counted to whoever had the processor: so not more exactly.)
shares() { # KIND THREADS
	local late uneven
	read -r late uneven < <(run "$fair" "$1" "$2" 2000 2>"$work/err") && echo "$uneven"
}
for try in 1 2 3; do
	uneven=$(shares free 4)
	[ "${uneven:-100}" -gt 50 ] || break
done
if [ "${uneven:-100}" -le 50 ]; then ok 'shares'; else not_ok 'shares' "the largest is ${uneven:-?} % above the mean"; fi
# With nice 10 a thread gets a tenth of what another one gets.
for try in 1 2 3; do
	uneven=$(shares nice 2)
	[ "${uneven:-0}" -lt 60 ] || break
done
if [ "${uneven:-0}" -ge 60 ]; then ok 'nice'; else not_ok 'nice' "the other one is only ${uneven:-?} % above the mean"; fi
finish
