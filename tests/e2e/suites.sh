#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Some modules of tests/suites, as they are in docs/testing.md: programs' own tests find no difference between process and VM.
# timeout: 240
. "$(dirname "$0")/lib.sh"

# suite NAME MODULE...
suite() {
	local status=0
	"$top/tests/suites/run" -t $((60 * ${LV_TIME_FACTOR:-1})) "$@" >"$work/suite.out" 2>&1 || status=$?
	case $status in
	0) ok "$1: ${*:2}" ;;
	77) skip "$1" "$(tail -n 1 "$work/suite.out")" ;;
	*)
		cat "$work/suite.out"
		not_ok "$1: ${*:2}" "$(tail -n 1 "$work/suite.out")"
		;;
	esac
}

suite python test_posix test_mmap test_pty test_select test_wait4 test_fileio
finish
