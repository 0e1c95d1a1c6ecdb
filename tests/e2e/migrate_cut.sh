#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A migration in which either process is killed, or loses its connection, at each message that it sends: exactly one VM goes on, the one that there was, and nothing
# is left of another.
# timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
port=$(free_port) way=--stop-and-copy
strace -o /dev/null -e inject=getpid:signal=USR1:when=1000 true 2>/dev/null || { skip "migrations that are cut" "strace cannot trace here"; finish; }

fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
a "$lightvm" host add big "127.0.0.1:$port" "$fb"
b "$lightvm" host add small 127.0.0.1 "$fa"

. "$(dirname "$0")/lib_cut.sh"

# How many there are: the same each time, since all that is sent has room in the socket; but for the first time, when the image is sent.
image_first() { ready && "$work/as-a" "$lightvm" migrate --stop-and-copy one big && back && source_counts; }
serve
check "it moves" image_first
# The answer to its last piece is there before it looks: it is no word of giving up.
source_slow() { ready && within 20 strace -qq -o /dev/null -e trace=sendmsg -e inject=sendmsg:delay_exit=30000 "$work/as-a" "$lightvm" migrate --stop-and-copy one big && back; }
check "it moves when the source is slow to look" source_slow
each "the source is killed" "$work/source.count" source_hurt signal=KILL
each "the source loses its connection" "$work/source.count" source_hurt error=ECONNRESET

# Killed when it has written down that it does not know: at one of its last messages, COMMIT among them.
mark=$work/a/names/one/migration
unsure() {
	local n count
	count=$(wc -l <"$work/source.count")
	for n in $(seq $((count - 5)) "$count"); do source_hurt signal=KILL "$n"; [ ! -e "$mark" ] || return 0; done
	return 1
}
here() { await 10 "it, here, $1" is_here "$1" && await 10 "nothing there" nothing_at b; }
is_here() { [ "$(states a)" = "one:$1" ]; }
check "a VM that its user has paused" ready
a "$lightvm" pause one
check "  waits to hear what became of it" unsure
check "  decided to be here, it stays paused" a "$lightvm" migrate --resolve source one
check "  it does" here paused
check "  and waits again" unsure
# So late the other host may have forgotten that it had it.
touch -d '8 days ago' "$mark"
says "  a host that may have forgotten is not believed" 125 "host big knows of no such migration, but one of more than 7 days ago it may have forgotten" a "$lightvm" migrate --resolve ask one
says "  it waits on" 125 "VM $(a "$lightvm" ps -q) may run at host big" a "$lightvm" resume one
touch "$mark"
check "  asked in time, it is here, and paused" a "$lightvm" migrate --resolve ask one
check "  it is" here paused
a "$lightvm" resume one
check "  until its user resumes it" here running
check "one that runs waits, too" unsure
check "  decided to be gone, it is" a "$lightvm" migrate --resolve destination one
check "  nothing is left here" nothing_at a
unserve

seq 8 >"$work/destination.count" # HELLO, WANTED, the monitor's configuration, READY, two requests to the monitor, COMMITTED, and one more
each "the destination is killed" "$work/destination.count" destination_hurt signal=KILL

# Killed between its record, which says that it has committed, and the VM being shown: it is this host's all the same.
shows() { ready && traced_and_decided --stop-and-copy -qq -o "$work/renames" -e trace=renameat,renameat2 && back; }
check "it moves" shows
shown=$(grep -n '"vms/\.' "$work/renames" | tail -n 1 | cut -d : -f 1)
hidden() { traced --stop-and-copy -o "$work/killed" -e "inject=renameat,renameat2:signal=KILL:when=$shown"; }
was_killed() { grep -q 'killed by SIGKILL' "$work/killed"; }
killed_and_asked() { ready && hidden && was_killed && [ ! -e "$mark" ] && [ "$(running b)" = 1 ]; }
check "the destination is killed before the VM is shown: who is asked shows it, and it has moved" killed_and_asked
check "  and is the one that there was" settled
killed_and_left() { ready && ! then=false hidden && was_killed && grep -q '^committed' "$work"/b/migrations/* && [ "$(running b)" = 0 ] && serve && await 10 "it, there" has_come; }
has_come() { [ "$(states b)" = one:running ]; }
check "nobody is asked: it is shown by the next one that serves" killed_and_left
check "  and nothing else tells of it" eval '! grep -q "^committed" "$work"/b/migrations/*'
check "  the source hears of that, and it is the one that there was" settled
unserve
each "the destination loses its connection" "$work/destination.count" destination_hurt error=ECONNRESET

# One that has been there before, and left: what is still known of that says nothing of the time when it comes again, and the destination is killed at READY.
serve
back_port=$(free_port)
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$back_port" 2>>"$work/serve.log"
await 10 "the first host" port_open "$back_port"
b "$lightvm" host rm small
b "$lightvm" host add small "127.0.0.1:$back_port" "$fa"
check "a VM" ready
check "it moves" "$work/as-a" "$lightvm" migrate one big
check "  and back" "$work/as-b" "$lightvm" migrate one small
unserve
destination_hurt signal=KILL 4
check "when it would come again, and does not, it runs here alone" settled
# One that its user has paused there stays so when another one comes.
serve
check "it moves once more" "$work/as-a" "$lightvm" migrate one big
b "$lightvm" pause one
unserve
serve
check "paused there, it stays so whoever looks at what was" test "$(states b)" = one:paused
unserve
finish
