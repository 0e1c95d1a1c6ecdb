# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# VM "db" with guest_counter behind a published port, which is saved and comes back. Sourced after lib.sh; $id is that VM's, to be set when it runs.
guest=$build/tests/guest/guest_counter
saved=$LIGHTVM_KEPT/saved
is() { [ "$("$lightvm" inspect -f state "$1")" = "$2" ]; }
ask_once() { # LINE
	answer=
	exec 9<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf '%s\n' "$1" >&9
	read -rt 20 answer <&9
	exec 9>&-
	[ -n "$answer" ]
}
# passt takes a connection before the VM that comes back can be reached, and lets it go then.
ask() { # LINE
	local answer
	await 30 "an answer to $1" ask_once "$1" 2>/dev/null
	printf '%s\n' "$answer"
}
restore() { "$lightvm" restore "$@" >/dev/null && await 10 'its port' port_open "$port"; }
# It is known as ended a moment before its monitor is gone.
gone() { flock -ns "$XDG_RUNTIME_DIR/lightvm/vms/$id/status" true; }
kill_db() { "$lightvm" kill db && await 10 'its end' gone; }
# start_db MIB: it has so much memory, of which $sum is the digest.
start_db() {
	"$lightvm" run -d --wait --name db -m 256M -p "127.0.0.1:$port:7" "$guest" 7 >/dev/null
	id=$("$lightvm" inspect -f id db)
	ask "hold $1" >/dev/null
	sum=$(ask digest)
}
port=$(free_port)
