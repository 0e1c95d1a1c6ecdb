#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# VMs in the background: -d, ps, logs, console, stop, kill, rm, inspect, boot-time, wait; names, id prefixes, formats.
# timeout: 180
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
guest=$build/tests/guest/guest_
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }
state_is() { "$lightvm" inspect "$1" | jq -e --arg s "$2" '[.. | strings] | index($s)' >/dev/null; }

id=$("$lightvm" run -d --name first "${guest}waiter" 'hello from the VM')
check '-d prints an id' test "$(printf %s "$id" | grep -cE '^[0-9a-f]{12}$')" = 1
check 'ps shows it' contains first "$lightvm" ps
check 'ps -q' test "$("$lightvm" ps -q)" = "$id"
check 'ps --format json' jq -e 'type == "array" and length == 1' <("$lightvm" ps --format json)
check 'logs' await 10 'the first line in the log' contains 'hello from the VM' "$lightvm" logs first
check 'logs by id' contains 'hello from the VM' "$lightvm" logs "$id"
check 'logs by prefix' contains 'hello from the VM' "$lightvm" logs "${id:0:4}"
check 'inspect is JSON' jq -e . <("$lightvm" inspect first)
check 'inspect says id and name once' test "$("$lightvm" inspect first | grep -cE '"(id|name)": "('"$id"'|first)"')" = 2
check 'inspect by prefix' contains "$id" "$lightvm" inspect "${id:0:6}"
says 'a taken name' 125 first "$lightvm" run -d --name first "$busybox" true
says 'rm of a running VM' 125 first "$lightvm" rm first
says 'no such VM' 125 nothere "$lightvm" inspect nothere
says 'a bad name' 125 'a/b' "$lightvm" run -d --name a/b "$busybox" true

# logs -f follows until the end.
"$lightvm" run -d --name talker "$busybox" sh -c 'echo one; read x; echo never' >/dev/null </dev/null
check 'logs -f ends with the VM' within 10 bash -c '[[ $("$1" logs -f talker) == one* ]]' - "$lightvm"

# A row of ps is a line of the terminal that it is printed to; its command has the arguments.
"$lightvm" run -d --name a-name-of-thirty-letters-and-more -p 127.0.0.1:$(free_port):80 "${guest}waiter" "$(printf 'long%.0s' {1..30})" >/dev/null
script -qec "stty cols 80; '$lightvm' ps -a" /dev/null >"$work/out" </dev/null
check 'ps keeps within 80 columns' test "$(tr -d '\r' <"$work/out" | awk '{ if (length($0) > n) n = length($0) } END { print n <= 80 }')" = 1
check '  and shows what is published' grep -q '127.0.0.1:' "$work/out"
check 'elsewhere names and arguments are whole' contains 'longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong' "$lightvm" ps
check '  as is the name' contains a-name-of-thirty-letters-and-more "$lightvm" ps
await 10 'the memory of a VM that waits' bash -c '[[ $("$1" ps | grep a-name) == *[1-9]K* ]]' - "$lightvm"
check 'ps has the memory without asking' contains K "$lightvm" ps
rm -f "$(readlink -f "/run/lightvm/names/first" 2>/dev/null || readlink -f "$XDG_RUNTIME_DIR/lightvm/names/first")/row"
check 'a VM without a row is listed all the same' contains first "$lightvm" ps
"$lightvm" rm -f a-name-of-thirty-letters-and-more

# inspect -f prints one member; a foreground VM that ended well and has no name leaves nothing, nor does a killed one of --rm.
check 'inspect -f' test "$("$lightvm" inspect -f state first)" = running
check 'inspect -f of a member of members' test "$("$lightvm" inspect -f config.memory first)" = 268435456
check 'inspect -f of an element' test "$("$lightvm" inspect -f record.boot.0.step first)" = command
says 'inspect -f of what is not there' 125 'has no "colour"' "$lightvm" inspect -f colour first
"$lightvm" ps -aq | sort >"$work/before"
"$lightvm" run "$busybox" true
"$lightvm" ps -aq | sort | cmp -s "$work/before" - && ok 'a run that ended well leaves nothing' || not_ok 'a run that ended well leaves nothing' "$("$lightvm" ps -a)"
"$lightvm" run "$busybox" sh -c 'exit 9' || :
check 'one that failed has its record' contains 'exited (9)' "$lightvm" ps -a
"$lightvm" run -d --rm --name shortlived "${guest}waiter" up >/dev/null
"$lightvm" kill shortlived
check 'kill of a --rm VM removes it' bash -c '! ls -d "$1"/lightvm/vms/*/remove 2>/dev/null' - "${XDG_RUNTIME_DIR:-/run}"
check 'boot-time groups digits' grep -qE 'program +[0-9]{1,3}(,[0-9]{3})*\.[0-9]{3} ' <("$lightvm" boot-time first)

# stop asks with SIGTERM, then kills; kill ends at once.
"$lightvm" run -d --name polite "${guest}waiter" up polite >/dev/null
await 10 'the line "up"' contains up "$lightvm" logs polite
check 'stop' within 15 "$lightvm" stop polite
check 'stop let it say goodbye' contains bye "$lightvm" logs polite
check 'its exit status' jq -e '[.. | numbers] | index(4)' <("$lightvm" inspect polite)
"$lightvm" run -d --name deaf "${guest}waiter" up deaf >/dev/null
await 10 'the line "up"' contains up "$lightvm" logs deaf
check 'stop kills after its time-out' within 15 "$lightvm" stop -t 1 deaf
check 'deaf is dead' await 5 'the end of "deaf"' bash -c '! "$1" ps -q | grep -q "$("$1" inspect deaf | jq -r "..|.id? // empty" | head -n 1)"' - "$lightvm"
"$lightvm" run -d --name spinner "${guest}hostile" never-end >/dev/null
check 'kill' within 5 "$lightvm" kill spinner
check 'kill: status 137' await 5 'status 137 of "spinner"' bash -c '"$1" inspect spinner | jq -e "[.. | numbers] | index(137) // index(9)"' - "$lightvm"
check 'stop of an ended VM' "$lightvm" stop spinner
check 'ps -a shows ended VMs' contains spinner "$lightvm" ps -a
check 'ps does not' bash -c '! "$1" ps | grep -q spinner' - "$lightvm"
check 'rm' "$lightvm" rm spinner deaf polite
check 'rm -f of a running VM' "$lightvm" rm -f first
check 'it is gone' bash -c '! "$1" ps -a | grep -q first' - "$lightvm"
# A VM that is removed while it starts: it runs no longer than its directory lives.
left=0
for i in 1 2 3 4 5; do
	start "$lightvm" run -d --name "early$i" "${guest}waiter" up >/dev/null 2>&1
	until "$lightvm" rm -f "early$i" 2>/dev/null; do kill -0 "$pid" 2>/dev/null || break; done
	wait "$pid"
	"$lightvm" rm -f "early$i" 2>/dev/null
	left=$((left + $(pgrep -cf -- "--name early$i --control")))
done
check 'rm -f of a starting VM leaves nothing that runs' test $left = 0
"$lightvm" run -d --rm --name brief "$busybox" true >/dev/null
check '--rm removes' await 10 'the end of "brief"' bash -c '! "$1" ps -a | grep -q brief' - "$lightvm"
"$lightvm" run --name foreground "$busybox" sh -c 'echo out; echo err >&2; exit 6' >/dev/null 2>&1
check 'a foreground VM with a name has logs' contains out "$lightvm" logs foreground
# Waiting: for a listener, with a time-out that is said, and for the end.
"$lightvm" run -d --wait --name listener "$busybox" nc -l -p 7 >"$work/out" 2>&1
check 'run -d --wait returns when the program listens' jq -e '.steps | map(.step) | index("listen")' <("$lightvm" boot-time --format json listener)
check '  its id is printed' grep -qE '^[0-9a-f]{12}$' "$work/out"
check 'wait --listen of a listener returns at once' within 5 "$lightvm" wait --listen listener
"$lightvm" kill listener
says 'wait --listen of a VM that has ended' 125 'before its program listened' "$lightvm" wait --listen listener
says '--wait of a program that ends' 125 'exited (3)' "$lightvm" run -d --rm --wait --name gone "$busybox" sh -c 'exit 3'
check '  nothing is left of it' bash -c '! "$1" ps -aq -f name=gone | grep -q .' - "$lightvm"
says '--wait of a program that does not listen' 125 'does not listen after 1 s' "$lightvm" run -d --wait --wait-time 1 --name quiet "${guest}waiter" up
check '  it runs on' contains quiet "$lightvm" ps
says 'wait with a time-out' 125 'has not ended after 1 s' "$lightvm" wait -t 1 quiet
(await 10 'a waiter' pgrep -f "wait --listen quiet" >/dev/null; "$lightvm" kill quiet) &
says 'wait --listen of a VM that is killed meanwhile' 125 'before its program listened' "$lightvm" wait --listen quiet
wait $!
got=0; "$lightvm" run -d --rm --wait=exit --name waited "$busybox" sh -c 'exit 4' >/dev/null || got=$?
check '--wait=exit has the status of the program' test $got = 4
check '  and --rm leaves nothing' bash -c '! "$1" ps -aq -f name=waited | grep -q .' - "$lightvm"
says '--wait=healthy' 125 'no health check' "$lightvm" run -d --wait=healthy "$busybox" true
says '--wait without -d' 125 'is for -d' "$lightvm" run --wait "$busybox" true
says '--wait for what is not known' 125 'dinner' "$lightvm" run -d --wait=dinner "$busybox" true

check 'wait prints the status' test "$("$lightvm" wait foreground)" = 6

# A VM that has ended starts again from what it left: arguments, environment, disks, ports, name; bytes that are no text too.
head -c 65536 /dev/zero >"$work/again.img"
odd=$(printf 'a\377b')
"$lightvm" run --name again -e "A=x  y" -m 64M --disk "$work/again.img",serial=again "$busybox" \
	sh -c 'echo "run $A $1"; exit 3' sh "$odd" >"$work/first" 2>&1
"$lightvm" inspect again | jq -S '.[0].config | del(.detached)' >"$work/config1"
printed=$("$lightvm" start again)
check 'start prints the id' test "$printed" = "$("$lightvm" inspect again | jq -r '.[0].id')"
check 'start: the exit status' test "$("$lightvm" wait again)" = 3
"$lightvm" inspect again | jq -S '.[0].config | del(.detached)' >"$work/config2"
check 'start changes nothing of the configuration' cmp "$work/config1" "$work/config2"
check 'start: the log goes on' test "$("$lightvm" logs again)" = "$(cat "$work/first" "$work/first")"
got=0; "$lightvm" start -a again >"$work/out" 2>&1 || got=$?
check 'start -a: the exit status' test $got = 3
check 'start -a: the output' cmp "$work/first" "$work/out"
says 'start of a VM that is not there' 125 nothere "$lightvm" start nothere
"$lightvm" run -d --name runs "${guest}waiter" here >/dev/null
says 'start of a running VM' 125 'still runs' "$lightvm" start runs
"$lightvm" rm -f runs
says 'start -a of two' 125 'for one VM' "$lightvm" start -a again again
rm "$work/again.img"
says 'start without its disk' 125 'again.img: No such file' "$lightvm" start again
check 'its record is still there' test "$("$lightvm" inspect again | jq '.[0].exit_status')" = 3
"$lightvm" inspect again | jq '.[0].id' | tr -d '"' >"$work/id"
sed -i 's/"version": 1/"version": 99/' "$XDG_RUNTIME_DIR/lightvm/vms/$(cat "$work/id")/config.json"
says 'start of another version' 125 'version: 99 is not known' "$lightvm" start again

# The boot ledger.
"$lightvm" run --name ledger --net none "${guest}empty"
check 'boot-time' contains program "$lightvm" boot-time ledger
"$lightvm" boot-time --format json ledger >"$work/ledger" 2>&1
check 'boot-time --format json' jq -e . "$work/ledger"
check 'boot-time: unaccounted' contains unaccounted "$lightvm" boot-time ledger
jq -c . "$work/ledger"
check 'boot-time: steps ascend' jq -e '[.. | objects | select(has("ns")) | .ns | numbers | select(. > 0)] | length >= 7 and . == sort' "$work/ledger"
check 'boot-time: 3 exits or fewer without I/O' jq -e '[.. | objects | .exits? | numbers] | length > 0 and max <= 3' "$work/ledger"

# A monitor that was killed leaves a directory; ps cleans up behind it.
"$lightvm" run -d --name victim "${guest}waiter" here >/dev/null
monitor=$("$lightvm" inspect victim | jq -r '[.. | .pid? | numbers] | first')
if [ "${monitor:-0}" -gt 1 ] && [[ $(tr '\0' ' ' <"/proc/$monitor/cmdline") == *lightvm* ]]; then
	kill -KILL "$monitor"
	check 'ps after a killed monitor' await 10 'the end of "victim"' bash -c '! "$1" ps | grep -q victim' - "$lightvm"
	check 'stop of a VM without monitor' "$lightvm" stop victim
	"$lightvm" ps -a >"$work/out"
	check 'its name can be used again' bash -c '"$1" rm victim 2>/dev/null; "$1" run --rm --name victim "$2" true' - "$lightvm" "$busybox"
else
	not_ok 'ps after a killed monitor' "inspect tells no pid"
fi

# Two ids may not be confused.
for i in {1..17}; do "$lightvm" run -d "${guest}waiter" here >>"$work/ids"; done
prefix=$(cut -c1 "$work/ids" | sort | uniq -d | head -n 1)
says 'an ambiguous prefix' 125 "$prefix" "$lightvm" inspect "$prefix"
check 'stop of many' within 30 xargs "$lightvm" kill <"$work/ids"
none() { [ -z "$("$lightvm" ps -q)" ]; }
check 'none is left' await 10 'an empty ps' none
# A machine that shuts down sends SIGTERM to the monitors: their programs end in order.
"$lightvm" run -d --name orderly "$busybox" sh -c 'trap "echo in order; exit 7" TERM; echo ready; while :; do :; done' >/dev/null
await 10 'the program' bash -c "'$lightvm' logs orderly | grep -q ready"
kill -TERM "$("$lightvm" inspect orderly | jq -r '[.. | .pid? | numbers] | first')"
check 'SIGTERM to a monitor is for its program' test "$(within 60 "$lightvm" wait orderly)" = 7
check 'which ends in order' bash -c "'$lightvm' logs orderly | grep -q 'in order'"

# What a guest prints does nothing with a terminal that reads its log, but for colours; elsewhere every byte is as it was.
"$lightvm" run -d --name words "$busybox" printf 'a\033]52;c;eA==\007b\302\2331mc\033[31mred\033[m\n' >/dev/null
"$lightvm" wait words >/dev/null
on_terminal() { script -qec "$(printf '%q ' "$@")" /dev/null </dev/null | tr -d '\r'; }
check 'logs on a terminal' test "$(on_terminal "$lightvm" logs words)" = "$(printf 'a?]52;c;eA==?b?1mc\033[31mred\033[m')"
check 'logs --raw' test "$(on_terminal "$lightvm" logs --raw words)" = "$(printf 'a\033]52;c;eA==\007b\302\2331mc\033[31mred\033[m')"
check 'logs into a pipe' test "$("$lightvm" logs words)" = "$(printf 'a\033]52;c;eA==\007b\302\2331mc\033[31mred\033[m')"


# A monitor that stands still is waited for as long as was asked, and a second.
"$lightvm" run -d --name stopped "${guest}waiter" up >/dev/null
kill -STOP "$("$lightvm" inspect -f record.pid stopped)"
check 'stop -t 1 of a monitor that does not answer' within 4 "$lightvm" stop -t 1 stopped
check 'it has ended' contains dead "$lightvm" ps -a
"$lightvm" rm stopped
finish
