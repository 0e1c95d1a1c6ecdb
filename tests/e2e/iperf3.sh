#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The distribution's iperf3 as a server in a VM, one stream each way.
# timeout: 120
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
port=$(free_port)
start "$lightvm" run --name iperf -p "$port:5201" /usr/bin/iperf3 -s --forceflush >"$work/vm.out" 2>"$work/vm.err"
listening() { grep -q 'Server listening' "$work/vm.out"; }
await 20 'iperf3 to listen' listening || { cat "$work/vm.err"; not_ok 'iperf3 listens' 'not within 20 s'; finish; }
ok 'iperf3 listens'

# The server closes its listener between two clients and opens it again: a client that comes in between is reset, of which
# iperf3 tells in its JSON only.
client() { within 20 iperf3 -c 127.0.0.1 -p "$port" -t 3 -J "$@" >"$work/json" 2>&1 && ! jq -e .error "$work/json" >/dev/null; }
# stream NAME [OPTION]: bytes must arrive, and be nearly as many at both ends.
stream() {
	local name=$1
	shift
	if ! client "$@" && ! client "$@"; then
		tail -n 20 "$work/json" "$work/vm.out" "$work/vm.err"
		kill -0 "$pid" && not_ok "$name" 'the client failed' || not_ok "$name" 'the server ended'
		return
	fi
	jq -r '.end | "\(.sum_sent.bytes) sent, \(.sum_received.bytes) received, \(.sum_received.bits_per_second / 1e6 | floor) Mbit/s"' "$work/json"
	check "$name" jq -e '.end.sum_received.bytes > 1e6 and .end.sum_sent.bytes >= .end.sum_received.bytes' "$work/json"
}
stream 'one stream to the VM'
stream 'one stream from the VM' -R
kill -TERM "$pid"
wait "$pid"
status=$?
if [ $status -ge 1 ]; then ok 'iperf3 ends by SIGTERM'; else not_ok 'iperf3 ends by SIGTERM' "status $status"; fi
finish
