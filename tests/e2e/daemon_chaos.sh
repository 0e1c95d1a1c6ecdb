#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# 20 clients make and delete VMs at random while lightvmd is killed ten times: nothing is lost, and nothing is left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
export LIGHTVM_STATE=$work/state
bridge=''
if [ "$(id -u)" = 0 ] && ip link add "lvc$$" type bridge 2>/dev/null; then
	bridge=lvc$$
	ip link set "$bridge" up
	trap 'ip link del "$bridge" 2>/dev/null; cleanup' EXIT
fi
check "20 clients, 10 kills" python3 "$(dirname "$0")/chaos.py" "$lightvmd" "$lightvm" 20 10 $bridge
grep '^#' "$work/check.out"
finish
