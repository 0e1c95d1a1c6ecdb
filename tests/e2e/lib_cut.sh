# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A migration that is cut at each of its messages: what has to be true afterwards. Sourced after lib_migrate.sh.

# The other host, on $port.
serve() { start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" 2>>"$work/serve.log"; server=$pid; await 10 "the other host" port_open "$port"; }
unserve() { kill "$server" && wait "$server"; }
# The VM is not there any more.
back() { [ "$(running b)" = 0 ] || b "$lightvm" rm -f one >/dev/null; }

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
	back
}
vm_options=()
ready() { [ "$(states a)" = one:running ] || start_vm one "${vm_options[@]}" || return 1; nonce=$(a "$lightvm" logs one | awk 'NR == 1 { print $1 }'); }

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
# source_hurt HOW WHICH: it happens to the source at that message, in a migration $way.
source_hurt() { within 40 strace -o "$work/traced" -e trace=sendmsg -e "inject=sendmsg:$1:when=$2" "$work/as-a" "$lightvm" migrate "$way" one big; }
source_counts() { ready && strace -qq -o "$work/source.count" -e trace=sendmsg -e signal=none "$work/as-a" "$lightvm" migrate "$way" one big && back; }

# The same, and what a killed destination has left is cleared by the next one that serves, or asked about by the source.
traced_and_decided() {
	local status=0
	traced "$@" || status=$?
	serve
	await 20 "what became of it" decided
	unserve
	return $status
}
destination_hurt() { traced_and_decided "$way" -o "$work/traced" -e trace=sendmsg -e "inject=sendmsg:$1:when=$2"; }
was_hurt() { grep -q -e 'killed by SIGKILL' -e INJECTED "$work/traced"; }

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

# each NAME FILE MIGRATE INJECT [MESSAGE...]: MIGRATE INJECT n for those messages, each of which has to come, or for the messages of which FILE tells, a line each: the first and the
# last ones, and one of those in the middle, which are memory; and for one that never comes, since how many there are differs from time to time: that one is not harmed.
messages_of() { seq 1 5; echo $(($1 / 2)); seq $(($1 > 11 ? $1 - 5 : 6)) "$1"; echo 60000; }
# Once more where it did not come to that, as when a handshake took too long.
until_hurt() { # NAME COUNT MIGRATE INJECT MESSAGE
	local try
	for try in 1 2 3 4 5; do
		: >"$work/traced"
		once "$@"
		! was_hurt || return
	done
	not_ok "$1, message $5 of $2" "it never came to that"
	failed=1
}
once() { # likewise
	ready >"$work/ready.out" 2>&1 || { cat "$work/ready.out"; not_ok "$1, message $5 of $2" "no VM"; failed=1; return; }
	if "$3" "$4" "$5" >"$work/try.out" 2>&1; then moved=$((moved + 1)); else stayed=$((stayed + 1)); fi
	settled >"$work/settled.out" 2>&1 && return
	tell
	not_ok "$1, message $5 of $2" "not exactly one VM goes on"
	failed=1
	end_all
	a "$lightvm" rm -f one >/dev/null 2>&1
	b "$lightvm" rm -f one >/dev/null 2>&1
}
each() {
	local n count how=once failed=0 moved=0 stayed=0 messages=("${@:5}")
	count=$(wc -l <"$2")
	if [ ${#messages[@]} -gt 0 ]; then how=until_hurt; else mapfile -t messages < <(messages_of "$count"); fi
	for n in "${messages[@]}"; do $how "$1" "$count" "$3" "$4" "$n"; done
	[ $failed = 0 ] || return
	if [ $how = until_hurt ] || { [ $moved -gt 0 ] && [ $stayed -gt 4 ]; }; then ok "$1 ($stayed times it stayed, $moved times it moved)"; else not_ok "$1" "of $count messages: stayed $stayed times, moved $moved times"; fi
}
