#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A migration whose memory comes after the switch, in which either process is killed at messages that it sends: exactly one VM goes on, the one that there was; after the switch it stands
# still until it has its memory, and does not go on where it was.
# timeout: 400
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
. "$(dirname "$0")/lib_cut.sh"
port=$(free_port) way=--post-copy
strace -o /dev/null -e inject=getpid:signal=USR1:when=1000 true 2>/dev/null || { skip "migrations that are cut" "strace cannot trace here"; finish; }
[ -w /dev/userfaultfd ] || { skip "memory after the switch" "/dev/userfaultfd cannot be opened: it would be pre-copy"; finish; }

fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
a "$lightvm" host add big "127.0.0.1:$port" "$fb"
b "$lightvm" host add small 127.0.0.1 "$fa"

# ---- in the middle of what comes afterwards
serve
slowly() { start "$work/as-a" "$lightvm" migrate --post-copy --bandwidth 128K one big >"$work/slow.out" 2>&1; slow=$pid; await 30 "the switch" grep -qs switched "$work/a/names/one/migration"; }
receiver() { pgrep -P "$server" | tail -n 1; }
not_both() { [ $(($(running a) + $(running b))) -le 1 ]; }
check "a VM" ready
check "it is switched, and its memory comes slowly" slowly
kill -KILL $slow; wait $slow 2>/dev/null
check "the source is killed: it does not go on here" eval '[ "$(running a)" = 0 ]'
says "  nor does its user have it go on" 125 "may run at host big" a "$lightvm" resume one
says "  nor by decision" 125 "does not go on here: what is here is older than what it did there" a "$lightvm" migrate --resolve source one
says "  who asks is told what to do" 125 "lightvm migrate --recover" a "$lightvm" migrate --resolve ask one
says "  it cannot be saved there meanwhile" 125 "its memory is still on its way from another host" b "$lightvm" save one "$work/half"
check "it recovers, at the first try" a "$lightvm" migrate --recover one
check "  and is the one that there was" settled
says "one that waits for nothing" 125 "there is no VM" a "$lightvm" migrate --recover one
check "another VM" ready
says "one that was never switched" 125 "has no memory that another host waits for" a "$lightvm" migrate --recover one
check "it is switched, too" slowly
kill -KILL "$(receiver)"
check "the destination is killed: the source says what is to be done" eval '! wait $slow; grep -q "lightvm migrate --recover" "$work/slow.out"'
check "  it is not here, and there at most" not_both
check "it recovers, at the first try" a "$lightvm" migrate --recover one
check "  and is the one that there was" settled

# ---- the first whole copy of its memory is let go of before the rest is sent, not when all is over
drops_first() {
	ready && strace -qq -o "$work/copies" -e trace=memfd_create,close,sendmsg -e signal=none "$work/as-a" "$lightvm" migrate --hybrid --compare one big && back || return
	awk '/^memfd_create\("memory"/ { fd[++n] = $NF }
		/^close\(/ { split($0, word, /[()]/); for (i = 1; i <= n; i++) if (word[2] == fd[i] && !shut[i]) shut[i] = NR }
		/^sendmsg/ { sent += shut[1] && !shut[2] }
		END { exit !(n == 2 && sent) }' "$work/copies" || { grep -v ENOENT "$work/copies" | tail -n 40; return 1; }
}
check "its memory is not there twice while the rest is sent" drops_first

# ---- at every message
check "it moves" source_counts
each "the source is killed" "$work/source.count" source_hurt signal=KILL
unserve

seq 9 >"$work/destination.count"
each "the destination is killed" "$work/destination.count" destination_hurt signal=KILL
finish
