# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A migration that is cut at each of its messages: what has to be true afterwards. Sourced after lib_migrate.sh.

# Where the source does not know, it asks; where the other host waits for memory, it gets it.
decided() {
	[ -e "$work/a/names/one/migration" ] || return 0
	if grep -q -e post-copy -e switched "$work/a/names/one/migration"; then a "$lightvm" migrate --recover one; else a "$lightvm" migrate --resolve ask one; fi
}

# The VM has to be where it can be: one of them, with the life that it had. Where the source does not know, it asks.
running() { states "$1" | grep -c one:running; }
# Its last whole line: the very last may be on its way.
one_life() {
	local line
	line=$(host "$1" "$lightvm" logs one | tail -n 2 | awk 'NR == 1 { print $1 }')
	[ "$line" = "$nonce" ] || { echo "it was $nonce, and is $line"; return 1; }
}
one_runs() { [ $(($(running a) + $(running b))) = 1 ]; }
settled() {
	local where
	decided || return 1
	# A monitor that was left goes on when it sees that.
	await 10 "one that runs" one_runs || { echo "here: $(states a); there: $(states b)"; return 1; }
	[ "$(running a)" = 1 ] && where=a || where=b
	if [ $where = a ]; then await 10 "nothing there" nothing_at b || return 1; else await 10 "nothing here" nothing_at a || return 1; fi
	local before=0
	[ $where = b ] || before=$(a "$lightvm" logs one | wc -l)
	await 10 "turns" said $where one "$before" && one_life $where || return 1
	[ $where = a ] || b "$lightvm" rm -f one >/dev/null
}
ready() { [ "$(states a)" = one:running ] || start_vm one || return 1; nonce=$(a "$lightvm" logs one | awk 'NR == 1 { print $1 }'); }

# traced HOW STRACE-OPTION...: migrates so, to a receiver that strace watches; whoever comes after it is served by $then (lightvm).
traced() {
	local how=$1 status listener
	shift
	start "$work/as-b" python3 "$(dirname "$0")/migrate_listen.py" "$port" "${then:-$lightvm}" strace "$@" "$lightvm" host receive >"$work/listen.out" 2>>"$work/serve.log"
	listener=$pid
	await 10 "who listens" grep -q listening "$work/listen.out"
	within 40 "$work/as-a" "$lightvm" migrate "$how" one big
	status=$?
	kill "$listener"; wait "$listener" 2>/dev/null
	return $status
}
# The same, and what a killed destination has left is cleared by the next one that serves, or asked about by the source.
traced_and_decided() {
	local status=0
	traced "$@" || status=$?
	serve
	await 20 "what became of it" decided
	unserve
	return $status
}

# What both sides know when it is not so: of what was tried and what was awaited, their VMs, records, directories, and who works on it still.
told_of() { [ ! -s "$2" ] || { echo "--- $1:"; tail -n 30 "$2"; }; }
tell() {
	local who file
	told_of "the migration" "$work/try.out"
	told_of "what was awaited" "$work/settled.out"
	told_of "who listened" "$work/listen.out"
	told_of "who served" "$work/serve.log"
	for who in a b; do
		echo "--- at $who: $(states $who)"
		for file in "$work/$who"/vms/{,.}*/migration "$work/$who"/migrations/*; do [ ! -f "$file" ] || grep -H -v "^done" "$file"; done
		find "$work/$who/vms" "$work/$who/names" -mindepth 1 -maxdepth 1 2>/dev/null
		host $who "$lightvm" logs one 2>&1 | tail -n 5
		host $who "$lightvm" inspect one 2>/dev/null | grep -A 30 '"record"'
	done
	for file in $(pgrep -f "lightvm(-vmm|-tls)? (--name one|migrate|host)|$work/as-"); do
		echo "$file: $(tr '\0' ' ' <"/proc/$file/cmdline" | cut -c 1-120): $(cat "/proc/$file"/task/*/wchan 2>/dev/null | sed 's/$/ /')"
	done
}

# each NAME FILE MIGRATE INJECT: MIGRATE n for the messages of which FILE tells, a line each: the first and the last ones, and one of those in the middle, which are memory;
# and for one that never comes, since how many there are differs from time to time: that one is not harmed.
each() {
	local n count failed=0 moved=0 stayed=0
	count=$(wc -l <"$2")
	for n in $(seq 1 5) $((count / 2)) $(seq $((count > 11 ? count - 5 : 6)) "$count") 60000; do
		ready >"$work/ready.out" 2>&1 || { cat "$work/ready.out"; not_ok "$1" "no VM at message $n"; return; }
		if "$3" "$4" "$n" >"$work/try.out" 2>&1; then moved=$((moved + 1)); else stayed=$((stayed + 1)); fi
		if ! settled >"$work/settled.out" 2>&1; then
			tell
			not_ok "$1, message $n of $count" "not exactly one VM goes on"
			failed=1
			end_all
			a "$lightvm" rm -f one >/dev/null 2>&1
			b "$lightvm" rm -f one >/dev/null 2>&1
		fi
	done
	[ $failed = 0 ] || return
	if [ $moved -gt 0 ] && [ $stayed -gt 4 ]; then ok "$1 ($stayed times it stayed, $moved times it moved)"; else not_ok "$1" "of $count messages: stayed $stayed times, moved $moved times"; fi
}

