#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Verbs for VMs that live: pause, resume, restart, rename; what they say of VMs that are not there or not in the state for it.
# timeout: 120
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
states=$XDG_RUNTIME_DIR/lightvm
state_of() { "$lightvm" inspect -f state "$1"; }
is() { [ "$("${@:2}" 2>/dev/null)" = "$1" ]; }
long=$(printf 'n%.0s' {1..64})

# ---- a VM that is none, for each of them
"$lightvm" run -d --name ended /bin/true >/dev/null
await 10 'the end of "ended"' is exited state_of ended
for verb in pause resume unpause restart; do
	says "$verb of what is not there" 125 'there is no VM "nothere"' "$lightvm" $verb nothere
	says "$verb of a path" 125 'there is no VM "../vms"' "$lightvm" $verb ../vms
	says "$verb of an over-long name" 125 "there is no VM \"$long" "$lightvm" $verb "$long"
	says "$verb without one" 125 "usage: lightvm $verb" "$lightvm" $verb
done
says 'an option that it lacks' 125 'unknown option --colour' "$lightvm" pause --colour ended
says 'pause of a VM that has ended' 125 'has ended' "$lightvm" pause ended
says 'resume of a VM that has ended' 125 'has ended' "$lightvm" resume ended

# ---- pause, resume
"$lightvm" run -d --name one "${guest}waiter" up polite >/dev/null
"$lightvm" run -d --name two sleep 1000 >/dev/null
says 'resume of a VM that runs' 125 'is not paused' "$lightvm" resume one
check 'pause of two' "$lightvm" pause one two
check '  inspect says so' is paused state_of one
check '  ps too, of both' test "$("$lightvm" ps -q -f state=paused | wc -l)" = 2
says 'pause of a VM that is paused' 125 'is paused already' "$lightvm" pause one
says 'start of a VM that is paused' 125 'still runs' "$lightvm" start one
says 'rm of a VM that is paused' 125 'still runs' "$lightvm" rm one
check 'unpause' "$lightvm" unpause one
check '  it runs' is running state_of one
check 'one that is there, one that is not: the first is paused' bash -c '! "$1" pause one nothere 2>/dev/null && [ "$("$1" inspect -f state one)" = paused ]' - "$lightvm"
check 'a signal for a VM that is paused' "$lightvm" kill -s TERM one
check '  it is still there' is paused state_of one
check '  and taken when it goes on' "$lightvm" resume one
check '  its program ended by it' within 10 bash -c '[ "$("$1" wait one)" = 4 ]' - "$lightvm"
check 'rm -f of a VM that is paused' "$lightvm" rm -f two
"$lightvm" run -d --name three sleep 1000 >/dev/null
"$lightvm" pause three
check 'kill of a VM that is paused' within 5 "$lightvm" kill three
check '  ends it' is exited state_of three
start "$lightvm" run --name front sleep 1000
await 10 'a VM in the foreground' is running state_of front
check 'pause of a VM in the foreground' "$lightvm" pause front
check 'Ctrl-C, again and again, ends it all the same' await 10 'its end' bash -c '! kill -INT "$1" 2>/dev/null' - "$pid"

# ---- restart
"$lightvm" run -d --name again -p 127.0.0.1:$(free_port):80 "${guest}waiter" up polite >/dev/null
await 10 'the line "up"' grep -q up <("$lightvm" logs -f again)
first=$("$lightvm" inspect -f record.pid again)
id=$("$lightvm" inspect -f id again)
check 'restart of a VM that runs, with a port' is "$id" "$lightvm" restart again
check '  the program could say goodbye' bash -c '"$1" logs again | grep -q bye' - "$lightvm"
check '  it runs' is running state_of again
check '  in another monitor' test "$("$lightvm" inspect -f record.pid again)" != "$first"
"$lightvm" pause again
check 'restart of a VM that is paused' "$lightvm" restart again
check '  it runs' is running state_of again
"$lightvm" stop again
check 'restart of a VM that has ended' "$lightvm" restart again
check '  it runs' is running state_of again
"$lightvm" run -d --name deaf "${guest}waiter" up deaf >/dev/null
await 10 'the line "up"' grep -q up <("$lightvm" logs -f deaf)
check 'restart -t: killed after that time' within 8 "$lightvm" restart -t 1 deaf
check '  it runs' is running state_of deaf
says 'restart -t of no number' 125 'soon' "$lightvm" restart -t soon deaf
"$lightvm" run -d --rm --name gone sleep 1000 >/dev/null
id=$("$lightvm" inspect -f id gone)
check 'restart of a VM of --rm' is "$id" "$lightvm" restart -t 1 gone
check '  it runs' is running state_of gone
check '  it goes at its end as it would have' bash -c '"$1" stop gone && ! "$1" ps -a | grep -q gone && ! "$1" inspect gone' - "$lightvm"
start "$lightvm" run --rm --name gone sleep 1000
await 10 'the VM' is running state_of gone
says 'restart of a VM of --rm in the foreground' 125 'runs in the foreground with --rm' "$lightvm" restart gone
check '  it runs on' is running state_of gone
"$lightvm" rm -f gone deaf again ended three

# ---- rename
id=$("$lightvm" run -d sleep 1000)
check 'rename of a VM without a name' "$lightvm" rename "$id" red
check '  it is found by it' is "$id" "$lightvm" inspect -f id red
check '  ps shows it' is "$id" "$lightvm" ps -q -f name=red
check 'rename of a VM that runs' "$lightvm" rename red blue
check '  it is found by the new one' is "$id" "$lightvm" inspect -f id blue
says '  and not by the old one' 125 'there is no VM "red"' "$lightvm" inspect red
check '  nor is a link left' test ! -L "$states/names/red"
check "  the configuration has it" is blue jq -r .name "$XDG_RUNTIME_DIR/lightvm/vms/$("$lightvm" inspect -f id blue)/config.json"
check '  and ps' bash -c '"$1" ps | grep -q blue' - "$lightvm"
says 'rename to its own name' 125 'has the name "blue" already' "$lightvm" rename blue blue
other=$("$lightvm" run -d --name green sleep 1000)
says 'rename to the name of another' 125 "is taken by VM $other" "$lightvm" rename blue green
check '  both are what they were' test "$("$lightvm" inspect -f id blue) $("$lightvm" inspect -f id green)" = "$id $other"
says 'rename to a path' 125 '"../x" is not 1 to 63' "$lightvm" rename blue ../x
says 'rename to nothing' 125 '"" is not 1 to 63' "$lightvm" rename blue ''
says 'rename to a name that is too long' 125 'is not 1 to 63' "$lightvm" rename blue "$long"
check '  one of 63 characters is a name' "$lightvm" rename blue "${long:1}"
"$lightvm" rename "${long:1}" blue
says 'rename of what is not there' 125 'there is no VM "red"' "$lightvm" rename red white
"$lightvm" stop -t 1 blue
check 'rename of a VM that has ended' "$lightvm" rename blue red
check '  it starts under it' is "$id" "$lightvm" start red
check '  and has the name still' is red "$lightvm" inspect -f name "$id"
# Two who want the same: one gets it, the other keeps what it has. Two renames of one: it has one name.
lost=0
for _ in 1 2 3 4 5 6 7 8; do
	"$lightvm" rename red wanted 2>/dev/null & first=$!
	"$lightvm" rename green wanted 2>/dev/null & second=$!
	won=0
	wait $first && won=$((won + 1))
	wait $second && won=$((won + 1))
	[ $won = 1 ] || lost=$((lost + 1))
	for word in "$id" "$other"; do
		name=$("$lightvm" inspect -f name "$word")
		[ "$("$lightvm" inspect -f id "$name")" = "$word" ] || lost=$((lost + 1))
	done
	if [ "$("$lightvm" inspect -f id wanted)" = "$id" ]; then "$lightvm" rename wanted red; else "$lightvm" rename wanted green; fi
	"$lightvm" rename red x 2>/dev/null & first=$!
	"$lightvm" rename red y 2>/dev/null & second=$!
	wait $first $second
	[ "$(find "$states/names" -lname "*$id" | wc -l)" = 1 ] || lost=$((lost + 1))
	"$lightvm" rename "$id" red
done
check 'renames at the same time lose no VM and leave no name' test $lost = 0
# Of two that start under one name one runs.
won=0
"$lightvm" run -d --name same sleep 1000 >/dev/null 2>&1 & first=$!
"$lightvm" run -d --name same sleep 1000 >/dev/null 2>&1 & second=$!
wait $first && won=$((won + 1))
wait $second && won=$((won + 1))
check 'of two runs with one name one starts' test $won = 1
"$lightvm" rm -f red green same
"$lightvm" rm -e
check 'no name is left' test -z "$(ls "$states/names")"
# Completion, also of what is below a family of verbs, when the word so far is none of these.
"$lightvm" host init >/dev/null
"$lightvm" host add big 127.0.0.1:1 "$(printf %064d 1)"
"$lightvm" host add small 127.0.0.1:1 "$(printf %064d 2)"
completes() { # WANTED WORD...: the last word is what is there of it
	local wanted=$1
	shift
	# shellcheck disable=SC2016
	test "$(PATH=$build/cli:$PATH bash -c 'source <(lightvm completion); COMP_WORDS=(lightvm "$@"); COMP_CWORD=$#; _lightvm; echo "${COMPREPLY[@]}"' - "$@")" = "$wanted"
}
check 'completion of a verb' completes checkpoint chec
check '  of one below it' completes serve host se
check '  of a name' completes big host rm b
check '  of what an option takes' completes json host ls --format j
check '  of nothing, where an option takes no such thing' completes '' host ls --format b
finish
