#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Events of lightvmd: what VMs do, whoever has them do it, for readers that come and go, that resume, filter, and do not read.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

says "without lightvmd" 125 "events are what lightvmd sees, and none runs" "$lightvm" events
"$lightvm" run -d --name old /usr/bin/sleep 1000 >"$work/out"
start_daemon || not_ok "lightvmd starts" "see above"

# ---- readers
start curl -sN --unix-socket "$socket" "http://localhost/v1/events" >"$work/stream"
start "$lightvm" events --format json >"$work/lines" 2>"$work/lines.err"
reader=$pid
await 10 grep -q retry "$work/stream"
# have TYPE NAME: the last event of that type and name, as JSON in $work/event.
have() { jq -c --arg type "$1" --arg name "$2" 'select(.type == $type and (.name // "") == $name)' "$work/lines" | tail -n 1 >"$work/event"; test -s "$work/event"; }
told() { check "$1" await 10 have "$2" "$3"; }
says_event() { check "$1" jq -e "$2" "$work/event"; }

# ---- a VM's life
"$lightvm" run -d --name one --label tier=web /usr/bin/sleep 1000 >"$work/out"
told "create" create one
says_event "with its labels" '.labels == ["tier=web"]'
told "start" start one
says_event "which says how long it took, and how many run" '.attributes.latency_ns > 10000 and .attributes.running == 2 and .attributes.kernel == "libos"'
"$lightvm" pause one >"$work/out"
told "pause" pause one
"$lightvm" resume one >"$work/out"
told "resume" resume one
"$lightvm" rename one two
told "rename" rename two
says_event "which says from what" '.attributes.from == "one"'
"$lightvm" stop two >"$work/out"
told "die" die two
says_event "with the status" '.attributes.exit_status == 143 and .attributes.signal == "SIGTERM" and .attributes.ran_ns > 0'
"$lightvm" start two >"$work/out"
told "start again" start two
"$lightvm" kill two >"$work/out"
died_by_kill() { have die two && jq -e '.attributes.exit_status == 137' "$work/event"; }
check "die by a signal" await 10 died_by_kill
"$lightvm" rm two >"$work/out"
told "destroy" destroy two
"$lightvm" run --rm --name short /bin/sh -c 'exit 7'
told "one that is removed at its end" destroy short
have die short
says_event "has an exit status all the same" '.attributes.exit_status == 7'
have start short
says_event "and a start" '.attributes.latency_ns > 10000'
# Of a shell that was made before anybody asked for it only what it ran for this VM counts.
ready() { [ "$("$lightvm" pool ls --format json | jq '.pools[0].ready')" -gt 0 ]; }
check "a shell is ready" await 20 ready
"$lightvm" run --rm --name ahead /bin/true
told "one that was a shell" die ahead
ran=$(jq .attributes.ran_ns "$work/event") died=$(jq .time_ns "$work/event")
have create ahead
check "ran for less time than since it was asked for" test "$ran" -le $((died - $(jq .time_ns "$work/event")))
"$lightvm" run --rm --name crash /usr/bin/python3 -c 'import ctypes; ctypes.string_at(0)' >"$work/out" 2>&1
told "crash" crash crash
says_event "which says by what" '.attributes.signal == "SIGSEGV"'
"$lightvm" run --name full -m 16M --net none /usr/bin/python3 -c 'import mmap
all = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
for at in range(0, 1 << 30, 4096): all[at] = 1' >"$work/out" 2>&1
told "one that uses up its memory" oom full
says_event "which says whose limit it was" '.attributes.limit == "memory of the VM"'
oomed=$(jq .id "$work/event")
told "its end" die full
says_event "which comes after that" ".id > $oomed and .attributes.signal == \"SIGKILL\""
"$lightvm" rm full >"$work/out"
"$lightvm" run --rm --name cramped -m 12M /bin/sh -c 'a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done' >"$work/out" 2>&1
told "one that is refused more, and ends by itself" die cramped
have_no_oom() { ! have oom cramped; }
check "has not been killed for it" have_no_oom
"$lightvm" run -d --rm --name server "$build/tests/guest/echo" 7777 >"$work/out" 2>&1 || "$lightvm" run -d --rm --name server /usr/bin/python3 -m http.server 7777 >"$work/out"
told "listen" listen server
"$lightvm" run -d --name victim /usr/bin/sleep 1000 >"$work/out"
told "one whose monitor is killed" start victim
kill -9 "$(jq .attributes.pid "$work/event")"
told "dies" die victim
says_event "and nobody knows with what status" '.attributes.exit_status == null and .attributes.state == "dead"'
"$lightvm" rm -f victim server >"$work/out"

# ---- what is not told
check "what was there before is not told as new" bash -c '! grep -q "\"name\":\"old\"" "$1"' - "$work/lines"
check "both ways tell the same" bash -c 'diff <(sed -n "s/^data: //p" "$1") <(head -n "$(grep -c ^data "$1")" "$2")' - "$work/stream" "$work/lines"
check "ids rise by one" bash -c 'jq .id "$1" | awk "NR > 1 && \$1 != last + 1 { exit 1 } { last = \$1 }"' - "$work/lines"

# ---- resuming
first=$(jq -n 'input.id' "$work/lines")
events() { curl -s --max-time 10 --unix-socket "$socket" "$@"; }
check "after an id" bash -c '[ "$(curl -s --unix-socket "$1" "http://localhost/v1/events?follow=false&after=$3" | sed -n "s/^data: //p" | head -n 5)" = "$(sed -n 2,6p "$2")" ]' - \
	"$socket" "$work/lines" "$first"
check "by Last-Event-ID, which is newer than the address" bash -c '[ "$(curl -s --unix-socket "$1" -H "Last-Event-ID: $3" "http://localhost/v1/events?follow=false&after=0" |
	sed -n "s/^data: //p" | head -n 1)" = "$(sed -n 2p "$2")" ]' - "$socket" "$work/lines" "$first"
events -H 'Last-Event-ID: 7' 'http://localhost/v1/events?follow=false' >"$work/lost"
check "after an id that is not kept: it is said" grep -q '"type":"lost","attributes":{"after":7,' "$work/lost"
answers "Last-Event-ID that is none" 400 'after: \"x7\" is not the id of an event' GET '/v1/events?after=x7'
check "as a header" bash -c 'curl -s --unix-socket "$1" -H "Last-Event-ID: -1" "http://localhost/v1/events" | grep -qF "Last-Event-ID: \\\"-1\\\" is not the id"' - "$socket"
answers "one that is too long" 400 'is not the id of an event' GET '/v1/events?after=99999999999999999999999'
answers "an unknown type" 400 'type: \"born\" is none of create, start' GET '/v1/events?type=born'
answers "an unknown query" 400 'query \"image\": not known' GET '/v1/events?image=x'
answers "filters" 200 '"type":"rename"' GET '/v1/events?follow=false&after=0&type=rename,die&vm=two'
check "let nothing else through" bash -c 'test "$(grep ^data "$1" | sed "s/^data: //" | jq -r "select(.name != \"two\" or (.type != \"rename\" and .type != \"die\")) | .id")" = ""' - "$work/body"
answers "a label" 200 '"labels":["tier=web"]' GET '/v1/events?follow=false&after=0&label=tier%3Dweb'
check "of others nothing comes" bash -c '! grep -q "\"name\":\"short\"" "$1"' - "$work/body"

# ---- the command line
check "a table of what there was" bash -c '"$1" events --no-stream --filter vm=short | grep -q "die .* short .*exit_status=7"' - "$lightvm"
check "since some time" bash -c '"$1" events --no-stream --since 5m --filter type=oom,die 2>&1 | grep -q "oom,die"' - "$lightvm"
check "since an id" bash -c '[ "$("$1" events --no-stream --since "$2" --format json | head -n 1)" = "$(sed -n 2p "$3")" ]' - "$lightvm" "$first" "$work/lines"
check "until some time ago: nothing, and it ends" test -z "$(within 10 "$lightvm" events --until 1d)"
check "until now, as Docker's users type it" bash -c '"$1" events --until 0s --filter event=die --filter container=short | grep -q "die .* short .*exit_status=7"' - "$lightvm"
check "  as JSON" bash -c '[ "$("$1" events --since 1h --until 0s --format json | jq -s length)" -ge 3 ]' - "$lightvm"
says "until what is no time" 125 '--until: "soon" is not a time like 0s' "$lightvm" events --until soon
says "since what is no time" 125 '--since: "soon" is neither a time like 90s' "$lightvm" events --since soon
says "a filter without a value" 125 'filter: "vm" is not KEY=VALUE' "$lightvm" events --filter vm
says "a filter that is none" 125 '"image" is none of vm, type, label' "$lightvm" events --filter image=x

# ---- many readers, and some that do not read
cat >"$work/readers.py" <<'PY'
import os, select, socket, subprocess, sys, time
path, lightvm, daemon = sys.argv[1:4]
limit = time.monotonic() + 60 * int(os.environ.get("LV_TIME_FACTOR", "1"))

def client():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: l\r\n\r\n")
    sock.setblocking(False)
    return sock

def memory():
    with open(f"/proc/{daemon}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def descriptors():
    return len(os.listdir(f"/proc/{daemon}/fd"))

def drain(socks, until):
    got = {sock: b"" for sock in socks}
    while any(until not in got[sock] for sock in socks):
        assert time.monotonic() < limit, "not all clients have had " + until.decode()
        for sock in select.select(socks, [], [], 1)[0]:
            piece = sock.recv(65536)
            assert piece, "a client that reads was let go"
            got[sock] += piece

before = descriptors()
clients = [client() for _ in range(100)]
drain(clients, b"retry")
slow = [client() for _ in range(10)]  # which never read again
drain(slow, b"retry")
base = memory()
state = os.environ["XDG_RUNTIME_DIR"] + "/lightvm/vms/"
# Directories as VMs have them, thousands: more than the ring keeps and a socket takes.
count = 0
def churn(rounds):
    global count
    for _ in range(rounds):
        name = "%012x" % (0xabc000000000 + count)
        count += 1
        os.mkdir(state + "." + name)
        open(state + "." + name + "/status", "w").close()
        os.rename(state + "." + name, state + name)
        os.unlink(state + name + "/status")
        os.rmdir(state + name)
gone = set()
while len(gone) < len(slow):
    assert time.monotonic() < limit, f"only {len(gone)} of the slow readers were let go"
    churn(200)
    drain(clients, b"%012x\"}" % (0xabc000000000 + count - 1))
    poll = select.poll()
    for sock in slow:
        poll.register(sock, select.POLLHUP)
    gone |= {fd for fd, events in poll.poll(0) if events & select.POLLHUP}
growth = memory() - base
assert growth < (16 << 20) * int(os.environ.get("LV_MEMORY_FACTOR", "1")), f"the daemon grew by {growth} bytes"
for sock in clients + slow:
    sock.close()
while descriptors() > before:
    assert time.monotonic() < limit, f"{descriptors()} descriptors are open, before {before}"
    select.select([], [], [], 0.05)
print(count, "events of each kind, growth", growth >> 10, "KiB")
PY
check "100 readers get all; 10 that do not read are let go, with bounded memory" python3 "$work/readers.py" "$socket" "$lightvm" "$daemon"
sed -n 1,3p "$work/check.out"
check "the command line's reader is still there" kill -0 "$reader"
kill -STOP "$reader"
python3 - "$XDG_RUNTIME_DIR/lightvm/vms/" <<'PY'
import os, sys
for i in range(6000):
    name = "%012x" % (0xdef000000000 + i)
    os.mkdir(sys.argv[1] + "." + name)
    open(sys.argv[1] + "." + name + "/status", "w").close()
    os.rename(sys.argv[1] + "." + name, sys.argv[1] + name)
    os.unlink(sys.argv[1] + name + "/status")
    os.rmdir(sys.argv[1] + name)
PY
api GET /v1/health >"$work/out"
kill -CONT "$reader"
wait "$reader"
check "one that sleeps too long ends with a word" grep -q "events were lost" "$work/lines.err"

# ---- killed and started again
last=$(events 'http://localhost/v1/events?follow=false&after=0' | sed -n 's/^id: //p' | tail -n 1)
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
"$lightvm" run --rm --name unseen /usr/bin/true
check "it starts again" start_daemon
events -H "Last-Event-ID: $last" 'http://localhost/v1/events?follow=false' >"$work/again"
check "whoever resumes is told that something is missing" grep -q "\"type\":\"lost\",\"attributes\":{\"after\":$last," "$work/again"
check "and ids go on rising" bash -c '[ "$(sed -n "s/^id: //p" "$1" | tail -n 1)" -gt "$2" ]' - "$work/again" "$last"
"$lightvm" stop old >"$work/out"
await 10 bash -c '"$1" events --no-stream --filter vm=old --filter type=die | grep -q exit_status=143' - "$lightvm" && ok "a VM of before is watched" || not_ok "a VM of before is watched" "no die"
"$lightvm" rm old >"$work/out"

# ---- the directory goes, and comes
rm -rf "$XDG_RUNTIME_DIR/lightvm"
"$lightvm" run -d --name anew /usr/bin/sleep 1000 >"$work/out"
anew() { "$lightvm" events --no-stream --filter vm=anew | grep -q create; }
check "a new directory of VMs is found" await 10 anew
"$lightvm" rm -f anew >"$work/out"
kill "$daemon"
wait "$daemon"
check "it ends in order" test $? = 0
finish
