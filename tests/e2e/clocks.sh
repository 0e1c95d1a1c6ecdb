#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A VM that was paused: its clocks, its timers, and how long it took to stand still.
# timeout: 300
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1}
pause_ms=$((1500 * LV_TIME_FACTOR)) # longer than the program needs to say what it finds
wait_for() { wait "$1" && grep -q 'all good' "$work/calls.out"; }

# paused NAME HOW [RESUME-OPTION...]: tests/guest/clocks.c through a pause of at least $pause_ms; that the time passes is what is tested.
paused() {
	local name=$1 how=$2
	shift 2
	mkfifo "$work/$how.in"
	run --name "$how" "${guest}clocks" "$how" $pause_ms <"$work/$how.in" >"$work/$how.out" 2>"$work/$how.err" &
	local vm=$! status=0
	exec {input}>"$work/$how.in"
	await 20 'the line "ready"' grep -q ready "$work/$how.out"
	"$lightvm" pause "$how"
	sleep $((pause_ms / 1000 + 1))
	"$lightvm" resume "$@" "$how"
	echo >&$input
	exec {input}>&-
	wait $vm || status=$?
	grep us: "$work/$how.err"
	if [ $status = 0 ] && grep -q 'all good' "$work/$how.out"; then ok "$name"; else
		cat "$work/$how.out" "$work/$how.err"
		not_ok "$name" "status $status"
	fi
}
paused 'resume: the monotonic clock goes on where it stood, the wall clock is right, what fell due happens once' keep
paused 'resume --advance: the time has passed by all clocks' advance --advance
says 'resume with a flag that nobody knows' 125 'unknown option --forward' "$lightvm" resume --forward keep

# Wherever a VM is stopped it goes on: most of these pauses find it in the middle of a system call.
run --name calls "${guest}clocks" calls >"$work/calls.out" 2>&1 &
calls=$!
await 20 'the line "ready"' grep -q ready "$work/calls.out"
check 'five hundred pauses in system calls' within 100 python3 "$(dirname "$0")/monitor_client.py" - - "$XDG_RUNTIME_DIR/lightvm/vms/$("$lightvm" inspect -f id calls)/control" 500 pauses
"$lightvm" stop calls >/dev/null
check '  of which none lost a register' wait_for $calls

# Eight threads compute, and the network brings all that it can.
port=$(free_port)
run -d --name busy -p 127.0.0.1:$port:80 "${guest}clocks" load >/dev/null
await 20 'its port' port_open $port
start bash -c "exec cat /dev/zero >/dev/tcp/127.0.0.1/$port"
control=$XDG_RUNTIME_DIR/lightvm/vms/$("$lightvm" inspect -f id busy)/control
received() { "$lightvm" inspect busy | jq '.[0].record.devices[] | select(.type == "net").queues[0].bytes'; }
got_more() { [ "$(received)" -gt $((${1:-0} + 1000000)) ]; }
await 20 'a megabyte that came in' got_more
if within 100 python3 "$(dirname "$0")/monitor_client.py" - - "$control" 100 pauses >"$work/pauses" 2>&1; then
	ok 'a hundred pauses while eight threads compute and the network is busy'
	cat "$work/pauses"
else not_ok 'a hundred pauses while eight threads compute and the network is busy' "$(cat "$work/pauses")"; fi
check '  after which it goes on' await 20 'a megabyte more' got_more "$(received)"
finish
