#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 150
# lightvmd and clients that do not behave, and machines that have nothing left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
check "it starts" start_daemon
api POST /v1/vms '{"image": "/usr/bin/yes", "args": ["yes", "a line that never ends"], "name": "chatty", "net": {"kind": "none"}}' >"$work/out"
api POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "stopped", "net": {"kind": "none"}}' >"$work/out"
python3 "$(dirname "$0")/hostile_clients.py" "$daemon" "$socket" "$LIGHTVM_RUN/lightvm.sock" "$(field pid)" || failures=1
api DELETE '/v1/vms/chatty?force=true' >"$work/out"

# ---- the end, with requests under way
for i in 1 2 3 4 5 6 7 8; do
	(api POST /v1/vms "{\"image\": \"/usr/bin/sleep\", \"args\": [\"sleep\", \"1000\"], \"name\": \"end$i\", \"net\": {\"kind\": \"none\"}}" >"$work/end.$i" 2>&1
		echo $? >"$work/end.$i.status") &
	requests+=($!)
done
kill "$daemon"
wait "$daemon"
check "told to end with requests under way, it ends in order" test $? = 0
wait "${requests[@]}"
check "and each was answered, or did not reach it" bash -c 'for i in 1 2 3 4 5 6 7 8; do grep -qE "\"state\":\"(running|starting|created)\"|\"unavailable\"|curl: (7|52|56)" "$1/end.$i" || { cat "$1/end.$i"; exit 1; }; done' - "$work"
check "who was told that a VM runs has one" bash -c 'for i in 1 2 3 4 5 6 7 8; do [ "$(cat "$1/end.$i.status")" != 0 ] || "$2" inspect -f state "end$i" | grep -q running || exit 1; done' - "$work" "$lightvm"
"$lightvm" ps -aq | xargs "$lightvm" rm -f >"$work/out" 2>&1

# ---- no descriptors
start prlimit --nofile=40:40 "$lightvmd" 2>>"$work/daemon.log"
daemon=$pid
check "with 40 descriptors it starts" await 10 api GET /v1/health
check "100 connections" python3 - "$socket" <<'PY'
import socket, sys
held = []
for _ in range(100):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(sys.argv[1])
    held.append(client)
PY
check "and afterwards it answers" await 10 api GET /v1/vms
kill "$daemon"
wait "$daemon"

# ---- no room
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	mkdir "$work/small"
	export LIGHTVM_STATE=$work/small/state
	start unshare -m sh -c 'mount -t tmpfs -o size=4m,nr_inodes=24 small "$1" && chmod 700 "$1" && exec "$2"' - "$work/small" "$lightvmd" 2>>"$work/daemon.log"
	daemon=$pid
	await 10 api GET /v1/health >"$work/out"
	wish='{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "net": {"kind": "none"}}'
	for _ in 1 2 3 4; do api POST /v1/vms "$wish" >"$work/out"; done
	answers "no inodes: an error that says so" 503 'No space left on device' POST /v1/vms "$wish"
	check "others are served" api GET /v1/vms
	before=$(jq '.vms | length' "$work/body")
	check "and nothing half-made is left" bash -c '[ "$(ls -A "/proc/$1/root$2/vms" | wc -l)" = "$3" ]' - "$daemon" "$LIGHTVM_STATE" "$before"
	for id in $(jq -r '.vms[].id' "$work/body"); do api DELETE "/v1/vms/$id?force=true" >"$work/out"; done
	answers "with room again, one starts" 201 '"state"' POST /v1/vms "$wish"
	api DELETE "/v1/vms/$(field id)?force=true" >"$work/out"
	kill "$daemon"
	wait "$daemon"
	unset LIGHTVM_STATE
else
	skip "a disk without room" "needs root"
fi

# ---- no processes
if [ "$(id -u)" = 0 ]; then
	other=54322
	mkdir -m 755 "$work/other"
	chown $other "$work/other"
	chmod 755 "$work"
	export LIGHTVM_RUN=$work/other/run
	socket=$LIGHTVM_RUN/api.sock
	start setpriv --reuid=$other --regid=$other --clear-groups env LIGHTVM_STATE="$work/other/state" prlimit --nproc=1:1 "$lightvmd" 2>>"$work/daemon.log"
	daemon=$pid
	await 10 api GET /v1/health >"$work/out"
	answers "no processes: an error that says so" 503 'Resource temporarily unavailable' GET /v1/vms
	check "what needs none is served" api GET /v1/health
	kill "$daemon"
	wait "$daemon"
	check "and it ends in order" test $? = 0
fi
finish
