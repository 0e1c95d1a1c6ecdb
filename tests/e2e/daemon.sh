#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# lightvmd: its sockets and its life, VMs by its API, and who may do what.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

# ---- without one
says "status: none runs" 125 "no lightvmd runs" "$lightvm" daemon status
says "an operand is refused" 1 '"x": lightvmd takes options only' "$lightvmd" x

# ---- its life
check "it starts and answers" start_daemon
check "the command line sees it" "$lightvm" daemon status
check "as JSON" bash -c '[ "$("$1" daemon status --format json | jq -r .pid)" = "$2" ]' - "$lightvm" "$daemon"
says "a second one is refused" 1 "another lightvmd is running" "$lightvmd"
check "which does not take the first one's sockets" api GET /v1/health
answers "version" 200 '"api":"v1"' GET /v1/version

# ---- a VM's life
answers "no VMs" 200 '{"vms":[]}' GET /v1/vms
answers "create" 201 '"state":"running"' POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "one", "memory": 33554432}'
id=$(field id)
answers "create: its name is taken" 409 'name \"one\" is taken' POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "one"}'
check "the command line lists it" bash -c '"$1" ps | grep -q "one .* running"' - "$lightvm"
answers "list" 200 "\"id\":\"$id\"" GET /v1/vms
answers "get by name" 200 '"memory":33554432' GET /v1/vms/one
answers "get by the beginning of its id" 200 '"name":"one"' GET "/v1/vms/${id:0:6}"
answers "ledger" 200 '"step":"program"' GET /v1/vms/one/ledger
answers "pause" 200 '"state":"paused"' POST /v1/vms/one/pause
answers "pause again" 409 'is paused' POST /v1/vms/one/pause
answers "resume" 200 '"state":"running"' POST /v1/vms/one/resume
answers "rename" 200 '"name":"two"' POST /v1/vms/one/rename '{"name": "two"}'
answers "delete a running one" 409 'still runs' DELETE /v1/vms/two
answers "restart" 200 '"state":"running"' POST /v1/vms/two/restart '{"seconds": 0}'
answers "a key of a body that is not known" 400 'second: not known' POST /v1/vms/two/stop '{"second": 1}'
answers "a signal that is none" 400 'signal: \"TREM\" is not a signal' POST /v1/vms/two/kill '{"signal": "TREM"}'
answers "stop" 200 '"exit_status":143' POST /v1/vms/two/stop
answers "one that has ended is not listed" 200 '{"vms":[]}' GET /v1/vms
answers "but with all" 200 '"state":"exited"' GET '/v1/vms?all=true'
answers "kill one that has ended" 409 'has ended already' POST /v1/vms/two/kill
answers "start" 200 '"state":"running"' POST /v1/vms/two/start
answers "kill by a signal" 200 '"id"' POST /v1/vms/two/kill '{"signal": "TERM"}'
check "ends it" "$lightvm" wait two
api POST /v1/vms/two/start >"$work/out"
answers "kill" 200 '"exit_status":137' POST /v1/vms/two/kill
answers "delete" 204 '' DELETE /v1/vms/two
answers "it is gone" 404 'there is no VM \"two\"' GET /v1/vms/two
answers "a program of the command line's kind fails with its words" 400 'image: /nowhere: No such file or directory' POST /v1/vms '{"image": "/nowhere"}'

# ---- what one says, and its end
api POST /v1/vms '{"image": "/usr/bin/seq", "args": ["seq", "100000"], "name": "seq"}' >"$work/out"
check "wait" bash -c '"$@" | jq -e ".exit_status == 0 and .state == \"exited\""' - curl -s --unix-socket "$socket" http://localhost/v1/vms/seq/wait
answers "wait for one that has ended" 200 '"exit_status":0' GET /v1/vms/seq/wait
check "logs, all of them" bash -c 'cmp <(curl -s --unix-socket "$1" http://localhost/v1/vms/seq/logs) <(seq 100000)' - "$socket"
check "logs, the last lines" bash -c 'cmp <(curl -s --unix-socket "$1" http://localhost/v1/vms/seq/logs?tail=2) <(seq 99999 100000)' - "$socket"
answers "start it again" 200 '"id"' POST /v1/vms/seq/start
check "logs, until its end" bash -c 'cmp <(curl -s --unix-socket "$1" "http://localhost/v1/vms/seq/logs?follow=true") <(seq 100000; seq 100000)' - "$socket"
answers "logs of none" 404 'there is no VM' GET /v1/vms/none/logs
api DELETE /v1/vms/seq >"$work/out"
api POST /v1/vms '{"image": "/usr/bin/cat", "name": "cat", "keeps_stdin": true}' >"$work/out"
answers "wait with a limit" 504 'has not ended after 1 s' GET '/v1/vms/cat/wait?seconds=1'
answers "a console is a connection of its own" 426 'Upgrade: lightvm' GET /v1/vms/cat/console
cat >"$work/console.py" <<'PY'
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect(sys.argv[1])
client.sendall(b"GET /v1/vms/%s/console HTTP/1.1\r\nHost: l\r\nConnection: Upgrade\r\nUpgrade: lightvm\r\n\r\n" % sys.argv[2].encode())
head = b""
while b"\r\n\r\n" not in head:
    head += client.recv(1)
assert head.startswith(b"HTTP/1.1 101 "), head
client.sendall(b"hello\n")
said = b""
while b"hello\n" not in said:
    piece = client.recv(4096)
    assert piece, said
    said += piece
PY
check "console" python3 "$work/console.py" "$socket" cat
check "again, after the first one has left" python3 "$work/console.py" "$socket" cat
# What is not whole is known to be so by who reads it: curl ends with 18.
tasks() { local pid; for pid in $(pgrep -P "$daemon"); do [ "$(cat "/proc/$pid/comm")" != 'lightvmd: task' ] || echo "$pid"; done; }
broken_off() {
	curl -sN -m 30 --unix-socket "$socket" http://localhost/v1/vms/cat/logs?follow=true >"$work/log" &
	local reader=$!
	await 10 test -s "$work/log" || return 1
	kill -9 $(tasks)
	wait $reader
	[ $? = 18 ]
}
check "a stream whose process is killed is broken off" broken_off
check "who waits and goes leaves nothing" bash -c 'curl -s -m 1 --unix-socket "$1" http://localhost/v1/vms/cat/wait; curl -s -m 1 --unix-socket "$1" http://localhost/v1/vms/cat/logs?follow=true; true' - "$socket"
alone() { [ -z "$(ps -o comm= --ppid "$daemon" | grep -v lightvm-vmm)" ] && [ "$(curl -s --unix-socket "$socket" http://localhost/v1/health | jq .connections)" = 1 ]; }
check "no process and no connection" await 5 alone
answers "stats" 200 '"cpu_ns"' GET /v1/vms/cat/stats
answers "stats, of a stream that is neither true nor false" 400 'stream: \"2\" is neither true nor false' GET /v1/vms/cat/stats?stream=2
answers "a stream of stats of none" 404 'there is no VM' GET /v1/vms/none/stats?stream=1
start curl -sN --max-time 60 --unix-socket "$socket" "http://localhost/v1/vms/cat/stats?stream=1" >"$work/stats"
reader=$pid
readings() { [ "$(sed -n 's/^data: //p' "$work/stats" | jq -es '[.[] | select(.name == "cat" and .cpu_ns > 0)] | length')" -ge "$1" ]; }
check "a stream of stats: a reading each second" await 10 readings 2
check "of what a processor did since the last one" bash -c 'sed -n "s/^data: //p" "$1" | tail -n 1 | jq -e ".cpu_percent >= 0 and .cpu_percent <= 100"' - "$work/stats"
answers "delete one that is read" 204 '' DELETE '/v1/vms/cat?force=true'
check "a stream of stats ends with its VM, in order" wait "$reader"
answers "and there is none of it then" 404 'there is no VM' GET /v1/vms/cat/stats?stream=1

# ---- made first, started later
answers "create without a start" 201 '"state":"created"' POST '/v1/vms?start=false' '{"image": "/usr/bin/echo", "args": ["echo", "later"], "name": "later", "remove": true}'
answers "a start that is neither true nor false" 400 'start: \"maybe\" is neither true nor false' POST '/v1/vms?start=maybe' '{"image": "/usr/bin/true"}'
answers "it has not run" 409 'has not been started yet' POST /v1/vms/later/pause
answers "it is started" 200 '"id"' POST /v1/vms/later/start
check "and goes at its end" await 10 bash -c '[ "$(curl -s -o /dev/null -w "%{http_code}" --unix-socket "$1" http://localhost/v1/vms/later)" = 404 ] || ! curl -s --unix-socket "$1" "http://localhost/v1/vms?all=true" | grep -q later' - "$socket"

# ---- what takes long says how far it is
mkdir "$work/many"
for i in $(seq 300); do head -c 200000 /dev/zero >"$work/many/$i"; done
progress() { curl -sN --max-time 60 -H 'Content-Type: application/json' -d "$2" --unix-socket "$socket" "http://localhost$1?progress=true" >"$work/progress"; }
steps() { sed -n '/^event: progress/ { n; s/^data: //p }' "$work/progress" | jq -r .step | uniq | xargs; }
ends() { sed -n '/^event: end/ { n; s/^data: //p }' "$work/progress" | jq -e "$1" >"$work/out"; }
check "create, told as it goes on" progress /v1/vms "{\"image\": \"/usr/bin/sleep\", \"args\": [\"sleep\", \"1000\"], \"name\": \"told\", \"volumes\": [\"$work/many:/many:copy\"]}"
check "it is packed, and starts" bash -c '[[ "$1" =~ ^(packing )?starting$ ]]' - "$(steps)"
check "and ends with the answer" ends '.status == 201 and .answer.state == "running" and .answer.name == "told"'
check "stop" progress /v1/vms/told/stop '{"seconds": 5}'
check "says that it does" test "$(steps)" = stopping
check "and how it went" ends '.status == 200 and .answer.exit_status == 143'
check "what fails" progress /v1/vms '{"image": "/nowhere"}'
check "says why at the end" ends '.status == 400 and (.answer.error.message | test("/nowhere: No such file"))'
for i in $(seq 300); do head -c 200000 /dev/urandom >"$work/many/$i"; done
check "an image" progress /v1/images "{\"program\": \"/usr/bin/true\", \"volumes\": [\"$work/many:/many\"]}"
check "packed, with figures" bash -c 'sed -n "/^event: progress/ { n; s/^data: //p }" "$1" | jq -es "length > 0 and all(.step == \"packing\" and .files >= 0 and .bytes <= .bytes_total + 1048576)"' - "$work/progress"
check "is there" ends '.status == 201 and (.answer.sha256 | length == 64)'
answers "a progress that is neither true nor false" 400 'progress: \"2\" is neither true nor false' POST '/v1/vms/told/stop?progress=2'
api DELETE /v1/vms/told >"$work/out"

# ---- bad input
answers "no JSON" 400 'the body is no JSON: line 1' POST /v1/vms '{"image":'
answers "an unknown key" 400 'imag: there is no such key' POST /v1/vms '{"image": "/usr/bin/true", "imag": 1}'
answers "a wrong type" 400 'memory: not a whole number' POST /v1/vms '{"image": "/usr/bin/true", "memory": "64M"}'
answers "a size out of range" 400 '--memory 1T is not between 4M and 64G' POST /v1/vms '{"image": "/usr/bin/true", "memory": 1099511627776}'
answers "memory that the program does not fit in" 400 'not enough memory for /usr/bin/true' POST /v1/vms '{"image": "/usr/bin/true", "memory": 1024}'
answers "a name that is a path" 400 'name: \"../x\"' POST /v1/vms '{"image": "/usr/bin/true", "name": "../x"}'
answers "an id that is a path" 404 'there is no' GET '/v1/vms/%2e%2e%2f%2e%2e'
answers "an id of a request" 400 'id: is not for a request to say' POST /v1/vms '{"image": "/usr/bin/true", "id": "000000000000"}'
answers "a relative path" 400 'image: \"true\" is not an absolute path' POST /v1/vms '{"image": "true"}'
answers "no body" 400 'the body is missing' POST /v1/vms
answers "an unknown query" 400 'query \"al\": not known' GET '/v1/vms?al=1'
answers "an unknown path" 404 'there is no \"/v2/vms\"' GET /v2/vms
answers "an unknown method" 405 'PUT is not one of its methods: GET, POST' PUT /v1/vms
head -c 3000000 /dev/zero | tr '\0' ' ' >"$work/long"
check "a body that is too long" bash -c '[ "$(curl -s -o /dev/null -w "%{http_code}" -H "Content-Type: application/json" --data-binary @"$1" \
	--unix-socket "$2" http://localhost/v1/vms)" = 413 ]' - "$work/long" "$socket"
check "also where nobody says how long it is" bash -c '[ "$(curl -s -o /dev/null -w "%{http_code}" -H "Content-Type: application/json" -H "Transfer-Encoding: chunked" \
	--data-binary @"$1" --unix-socket "$2" http://localhost/v1/vms)" = 413 ]' - "$work/long" "$socket"

# ---- volumes
mkdir "$work/live"
busybox=$(command -v busybox)
answers "a VM with a volume" 201 '"id"' POST /v1/vms "{\"image\": \"$busybox\", \"args\": [\"busybox\", \"sh\", \"-c\", \"echo kept >/kept/file && echo live >/live/file\"],
	\"name\": \"writer\", \"net\": {\"kind\": \"none\"}, \"volumes\": [\"$work/live:/live\", \"of-api:/kept\"]}"
check "what it writes is on the host" await 20 grep -qx live "$work/live/file"
answers "a relative path as a volume" 400 'volumes: \"./x:/x\" is not an absolute path' POST /v1/vms '{"image": "/usr/bin/true", "volumes": ["./x:/x"]}'
answers "nor one in disguise" 400 'volumes: \"~x:/x\" is not an absolute path' POST /v1/vms '{"image": "/usr/bin/true", "volumes": ["~x:/x"]}'
answers "it goes" 204 '' DELETE '/v1/vms/writer?force=true'
check "a volume by its name stays" grep -qx kept "$("$lightvm" volume inspect of-api | jq -r '.. | .path? // empty')/file"
check "until it is removed" "$lightvm" volume rm of-api

# ---- killed and started again
api POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "kept"}' >"$work/out"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check "after a kill it starts again" start_daemon
answers "and finds the VM" 200 '"state":"running"' GET /v1/vms/kept
answers "which it can end" 204 '' DELETE '/v1/vms/kept?force=true'
kill "$daemon"
wait "$daemon"
check "TERM ends it in order" test $? = 0
check "and takes its sockets away" test ! -e "$socket"

# ---- systemd's protocols
cat >"$work/activate.py" <<'PY'
import json, os, socket, sys, urllib.parse
run = os.environ["LIGHTVM_RUN"]
stream, packets, notify = (socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM))
notify.bind(run + "/notify")
for sock, name in ((stream, "api.sock"), (packets, "lightvm.sock")):
    sock.bind(run + "/" + name)
    sock.listen(16)
client = socket.socket(socket.AF_UNIX)
client.connect(run + "/api.sock")  # before anybody serves it
client.sendall(b"GET /v1/health HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
pid = os.fork()
if not pid:
    os.dup2(os.dup(stream.fileno()), 3, inheritable=True) if stream.fileno() != 3 else os.set_inheritable(3, True)
    os.dup2(packets.fileno(), 4, inheritable=True) if packets.fileno() != 4 else os.set_inheritable(4, True)
    os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=run + "/notify")
    os.execv(sys.argv[1], [sys.argv[1]])
notify.settimeout(10)
client.settimeout(10)
assert notify.recv(100) == b"READY=1"
answer = b""
while piece := client.recv(4096):
    answer += piece
assert json.loads(answer.split(b"\r\n\r\n")[1])["pid"] == pid, answer
os.kill(pid, 15)
assert notify.recv(100) == b"STOPPING=1"
assert os.waitpid(pid, 0)[1] == 0
assert os.path.exists(run + "/api.sock")  # it is not ours
PY
check "sockets that systemd holds, and what it is told" python3 "$work/activate.py" "$lightvmd"
rm -f "$LIGHTVM_RUN"/*.sock
if command -v systemd-analyze >/dev/null; then
	mkdir "$work/units"
	for unit in lightvmd.service lightvmd.socket; do sed "s|^ExecStart=.*/lightvmd|ExecStart=$lightvmd|" "$build/daemon/$unit" >"$work/units/$unit"; done
	check "its units are what systemd takes" bash -c 'cd "$1" && said=$(systemd-analyze verify --man=no ./lightvmd.service ./lightvmd.socket 2>&1) && [ -z "$said" ] || { echo "$said"; false; }' - "$work/units"
else
	skip "units" "systemd-analyze is not installed"
fi
# In the journal what fails is an error, and what is only told is not.
start env JOURNAL_STREAM="$(: >"$work/journal" && stat -c %d:%i "$work/journal")" "$lightvmd" 2>"$work/journal"
daemon=$pid
check "in the journal lines have priorities" await 10 grep -q '^<6>lightvmd: ' "$work/journal"
JOURNAL_STREAM=$(: >"$work/error" && stat -c %d:%i "$work/error") "$lightvmd" 2>"$work/error"
check "  a failure another one" grep -q '^<3>lightvmd: .*another lightvmd is running' "$work/error"
JOURNAL_STREAM=$(stat -c %d:%i "$work/journal") "$lightvmd" 2>"$work/error"
check "what is not the journal has none" grep -q '^lightvmd: .*another lightvmd is running' "$work/error"
kill "$daemon"
wait "$daemon"

# ---- other users
if [ "$(id -u)" != 0 ]; then
	skip "other users" "root's daemon is what serves them"
	finish
fi
other=54321
rm -rf "/tmp/lightvm-$other" "/var/tmp/lightvm-$other" # of a run that was broken off
be_other=(setpriv --reuid="$other" --regid="$other" --groups "$(stat -c %g /dev/kvm)")
as=("${be_other[@]}")
if ! "${as[@]}" test -x "$build/vmm/lightvm-vmm"; then
	skip "other users" "they cannot read the build"
	finish
fi
chmod 755 "$work"
as=()
check "the daemon starts for all" start_daemon
api POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "roots"}' >"$work/out"
as=("${be_other[@]}")
answers "another user is served by a process of his" 200 "\"uid\":$other" GET /v1/health
check "which has no capability, and cannot get one" bash -c 'pid=$(jq -r .pid "$1"); grep -q "^CapPrm:.0*$" /proc/$pid/status && grep -q "^CapBnd" /proc/$pid/status &&
	grep -q "^NoNewPrivs:.1$" /proc/$pid/status && [ "$(awk "/^Uid/ { print \$2, \$3, \$4, \$5 }" /proc/$pid/status)" = "$2 $2 $2 $2" ] &&
	[ "$(awk "/^Groups/ { print \$2 }" /proc/$pid/status)" = $3 ]' - "$work/body" $other "$(stat -c %g /dev/kvm)"
groups_now() { awk '/^Groups/ { print $2 }' "/proc/$(field pid)/status"; }
as=(setpriv --reuid="$other" --regid="$other" --clear-groups)
api GET /v1/health >"$work/out"
check "one of his who has given up his groups gets none back" test -z "$(groups_now)"
as=("${be_other[@]}")
answers "he sees no VM of others" 200 '{"vms":[]}' GET '/v1/vms?all=true'
for verb in start pause resume stop kill restart; do answers "he cannot $verb one" 404 'there is no VM' POST "/v1/vms/roots/$verb"; done
answers "he cannot delete one" 404 'there is no VM' DELETE '/v1/vms/roots?force=true'
for what in '' /ledger /stats /top /wait /listens /logs /console '/archive?path=/etc'; do answers "he cannot see one (/vms/roots$what)" 404 'there is no VM' GET "/v1/vms/roots$what"; done
answers "nor run anything in one" 404 'there is no VM' POST /v1/vms/roots/exec '{"args": ["true"]}'
answers "nor save one" 404 'there is no VM' POST /v1/vms/roots/save '{}'
answers "nor clone one" 404 'there is no VM' POST /v1/vms/roots/clone '{}'
answers "he makes one of his own" 201 '"name":"his"' POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "his", "net": {"kind": "none"}}'
no_roots() { ! grep -q roots "$work/body"; } # in what answers has heard
answers "events of his come to him" 200 '"his"' GET '/v1/events?after=0&follow=false'
check "  and none of another's" no_roots
check "  but to root" bash -c 'curl -s --unix-socket "$1" "http://localhost/v1/events?after=0&follow=false" | grep -q roots' - "$socket"
answers "figures of his come to him" 200 'name="his"' GET /v1/metrics
check "  and none of another's" no_roots
answers "he deletes his" 204 '' DELETE '/v1/vms/his?force=true'

secret=$work/secret
mkdir -m 700 "$secret"
printf '#!/bin/sh\necho secret\n' >"$secret/program"
chmod 755 "$secret/program"
truncate -s 1M "$secret/disk"
"$lightvm" image build -o "$secret/image.lvm" /usr/bin/true >"$work/out" 2>&1
denied() { # NAME JSON [PATH]
	api POST "${3:-/v1/vms}" "$2" >"$work/answers.out"
	if [[ $(cat "$work/status") = 40[03] ]] && grep -q 'Permission denied' "$work/body"; then ok "$1"; else
		cat "$work/answers.out"
		not_ok "$1" "status $(cat "$work/status"), or no refusal"
	fi
}
denied "nor read another's program" "{\"image\": \"$secret/program\"}"
denied "nor an image" "{\"image\": \"$secret/image.lvm\"}"
denied "nor a disk" "{\"image\": \"/usr/bin/true\", \"disks\": [{\"path\": \"$secret/disk\"}]}"
denied "nor a volume" "{\"image\": \"/usr/bin/true\", \"volumes\": [\"$secret/disk:/disk\"]}"
denied "nor a kernel" "{\"image\": \"/usr/bin/true\", \"kernel\": \"$secret/disk\"}"
denied "nor an initial RAM disk" "{\"image\": \"/usr/bin/true\", \"kernel\": \"/boot/none\", \"linux\": {\"kernel\": \"$secret/disk\", \"initrd\": \"$secret/disk\"}}"
denied "nor a directory" "{\"image\": \"/usr/bin/true\", \"volumes\": [\"$secret:/all\"]}"
denied "nor have a program packed" "{\"program\": \"$secret/program\"}" /v1/images
denied "nor files" "{\"program\": \"/usr/bin/true\", \"volumes\": [\"$secret/disk:/disk\"]}" /v1/images
denied "nor a saved VM" "{\"from\": \"$secret/saved\"}" /v1/restore
denied "nor by way of /proc" "{\"image\": \"/proc/1/root$secret/program\"}"
check "the local socket leads to his process, too" bash -c 'setpriv --reuid=$2 --regid=$2 --clear-groups "$1" daemon status --format json | grep -q "\"uid\": $2"' - "$lightvm" $other
as=()
answers "root sees his own" 200 '"name":"roots"' GET /v1/vms
api DELETE '/v1/vms/roots?force=true' >"$work/out"

# ---- a VM has the place of who asks for it: limits, and a control group (version 2)
sleeper='{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "net": {"kind": "none"}}'
limit_of() { awk '/^Max msgqueue size/ { print $4, $5 }' "/proc/$(field pid)/limits"; }
as=(prlimit --msgqueue=4096:8192)
api POST /v1/vms "$sleeper" >"$work/out"
if (((0x$(awk '/^CapEff/ { print $2 }' /proc/self/status) >> 24) & 1)); then
	check "limits, of root" test "$(limit_of)" = "4096 8192"
else
	skip "limits, of root" "here it has no CAP_SYS_RESOURCE, and a monitor from the pool another user"
fi
api DELETE "/v1/vms/$(field id)?force=true"
as=(prlimit --msgqueue=4096:8192 "${be_other[@]}")
api POST /v1/vms "$sleeper" >"$work/out"
check "limits, of another user" test "$(limit_of)" = "4096 8192"
api DELETE "/v1/vms/$(field id)?force=true"
groups=$(findmnt -nt cgroup2 -o TARGET | head -n 1)
if [ -n "$groups" ] && mkdir "$groups/lightvm-test-$$" 2>/dev/null; then
	as=(sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$groups/lightvm-test-$$")
	api POST /v1/vms "$sleeper" >"$work/out"
	check "control group, of root" grep -q "^0::/lightvm-test-$$\$" "/proc/$(field pid)/cgroup"
	api DELETE "/v1/vms/$(field id)?force=true" >"$work/out"
	as+=("${be_other[@]}")
	api POST /v1/vms "$sleeper" >"$work/out"
	check "control group, of another user" grep -q "^0::/lightvm-test-$$\$" "/proc/$(field pid)/cgroup"
	api DELETE "/v1/vms/$(field id)?force=true" >"$work/out"
	as=()
else
	skip "control groups" "none of version 2 can be made here"
fi
as=()
kill "$daemon"
wait "$daemon"
no_worker() { ! ps -o stat= -u "$other" | grep -qv '^Z'; } # one that has ended is none, whoever takes it away
check "the end of the daemon is that of its workers" await 10 no_worker
[ -z "$groups" ] || rmdir "$groups/lightvm-test-$$" 2>/dev/null
rm -rf "/tmp/lightvm-$other" "/var/tmp/lightvm-$other"
finish
