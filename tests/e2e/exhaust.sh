#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A process that uses up the VM's memory with what system calls make is told so, and neither it nor the VM's first program has to end for it.
# timeout: 300
. "$(dirname "$0")/lib.sh"
exhaust=$build/tests/guest/guest_exhaust
for thing in $("$exhaust"); do
	status=0
	within 60 "$lightvm" run --rm --net none -m 32M "$exhaust" "$thing" >"$work/out" 2>"$work/err" </dev/null || status=$?
	if [ $status = 0 ] && grep -qxE 'Cannot allocate memory|No space left on device|No buffer space available|Resource temporarily unavailable' "$work/out"; then
		ok "$thing"
	else
		not_ok "$thing" "status $status: $(cat "$work/out" "$work/err")"
	fi
done
finish
