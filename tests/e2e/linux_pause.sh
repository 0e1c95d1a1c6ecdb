#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A Linux guest that was paused: its clocks.
# timeout: 120
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_pause
busybox=$(command -v busybox)

# What the guest's clocks show, in seconds: monotonic, wall.
clocks() { "$lightvm" exec vm busybox sh -c 'read up rest </proc/uptime; echo ${up%.*} $(date +%s)'; }
# paused NAME LEAST MOST [RESUME-OPTION...]: by how much a pause of six seconds moves the monotonic clock; that the time passes is what is tested.
paused() {
	local name=$1 least=$2 most=$3 up wall up_after wall_after now took
	shift 3
	read -r up wall < <(clocks)
	took=$SECONDS
	"$lightvm" pause vm
	sleep 6
	"$lightvm" resume "$@" vm
	read -r up_after wall_after < <(clocks)
	took=$((SECONDS - took)) now=$(date +%s)
	check "$name" test $((up_after - up)) -ge "$least" -a $((up_after - up)) -le $((most + took - 6))
	check '  the wall clock is right' test $((now - wall_after)) -le $((2 + took - 6)) -a $((now - wall_after)) -ge -1
}

"$lightvm" run -d --kernel linux --net none --cpus 2 --name vm "$busybox" sh -c 'while :; do sleep 1; done' >/dev/null
check 'exec in it' clocks
paused 'resume: the monotonic clock goes on where it stood' 0 3
paused 'resume --advance: the time has passed' 6 9 --advance
check 'its kernel complains of nothing' test -z "$("$lightvm" exec vm busybox dmesg | grep -iE 'lockup|stall|WARNING')"
finish
