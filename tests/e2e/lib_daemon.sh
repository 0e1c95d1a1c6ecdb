# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of lightvmd share. The daemon's sockets and VMs lie in the test's own directory.
lightvmd=$build/daemon/lightvmd
export LIGHTVM_RUN=$work/daemon
mkdir -m 755 "$LIGHTVM_RUN"
socket=$LIGHTVM_RUN/api.sock

# await SECONDS COMMAND...: until it succeeds.
await() {
	local end=$((SECONDS + $1 * ${LV_TIME_FACTOR:-1}))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || { echo "waited in vain for: $*"; return 1; }
		read -rt 0.02 <> <(:) || :
	done
}

# start_daemon: its pid is in $daemon; returns when it answers.
start_daemon() {
	start "$lightvmd" 2>>"$work/daemon.log"
	daemon=$pid
	await 10 test -S "$socket" && await 10 api GET /v1/health
}

# api METHOD PATH [JSON]: the answer's body on stdout and in $work/body, its status in $work/status; 0 if it is 2xx.
api() {
	local options=() status
	[ $# -lt 3 ] || options=(-H 'Content-Type: application/json' -d "$3")
	status=$(${as[@]+"${as[@]}"} curl -s --max-time $((30 * ${LV_TIME_FACTOR:-1})) -o - -w '\n%{http_code}' -X "$1" ${options[@]+"${options[@]}"} \
		--unix-socket "$socket" "http://localhost$2") || { echo "curl: $?"; return 1; }
	printf '%s\n' "${status%$'\n'*}" | tee "$work/body"
	echo "${status##*$'\n'}" >"$work/status"
	[ "${status##*$'\n'}" -lt 300 ]
}
status_is() { [ "$(cat "$work/status")" = "$1" ] || { echo "status $(cat "$work/status"), not $1"; false; }; }

# answers NAME STATUS TEXT METHOD PATH [JSON]: that status, and a body that holds TEXT.
answers() {
	local name=$1 status=$2 text=$3
	shift 3
	api "$@" >"$work/answers.out"
	if status_is "$status" >/dev/null && grep -qF -- "$text" "$work/body"; then
		ok "$name"
	else
		cat "$work/answers.out"
		not_ok "$name" "status $(cat "$work/status") (wanted $status), or no '$text' in it"
	fi
}
# field KEY: of the last answer, with jq.
field() { jq -r ".$1" "$work/body"; }
