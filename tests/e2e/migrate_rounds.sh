#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A VM moves while its program writes to its memory all the time, and checks each time that what it wrote before is there: in rounds of what was written meanwhile, told by
# the monitor or found by comparing.
# timeout: 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
. "$(dirname "$0")/lib_writer.sh"
check "it moves" to a b
told=true
reported '.compared == false' 2>/dev/null || told=false
check "and back" to b a
if $told || printf '6.7\n%s\n' "$(uname -r)" | sort -CV; then check "its monitor told what was written" reported '.compared == false and .rounds >= 2'; else skip "its monitor told what was written" "the kernel is older than 6.7"; fi
check "it moves by comparing" to a b --compare
check "that is what was done" reported '.compared'
check "and back, from where it was restored" to b a
check "in one go" to a b --stop-and-copy
check "and back, slower than it writes" to b a --bandwidth 4M
check "it is the last round that took what the link did not" reported '.rounds >= 3 and .rounds <= 16 and (.round | length) == .rounds'
if $told; then
	check "  it was held back, and more each time" reported '[.round[].throttle] | max >= 30 and max <= 90 and .[-1] == 0'
	check "held back, it is there and back without" eval 'to a b && to b a --bandwidth 4M --no-throttle'
	check "  it was not" reported '([.round[].throttle] | max) == 0 and .converged == false'
	says "  which is said" 0 "it wrote faster than the connection carries" within 100 "$work/as-a" "$lightvm" migrate --bandwidth 4M --no-throttle writer b
	check "  it is back" to b a
else
	skip "a program that writes is held back" "the kernel is older than 6.7"
	check "it is there" to a b
	check "and back" to b a
fi
check "to a host that takes it with a short stop" to a b --max-downtime 500ms
# A user's own pause, and the end of the command, in the middle.
slow() { start "$work/as-b" "$lightvm" migrate --bandwidth 1M writer a >"$work/slow.out" 2>&1; slow=$pid; await 20 "the other host" eval "[ \"\$(find \"$work/a/migrations\" -type f | wc -l)\" -gt $1 ]"; }
records() { find "$work/a/migrations" -type f 2>/dev/null | wc -l; }
had=$(records)
slow "$had"
check "it runs while it moves" await 20 "turns" writes_on b $(($(turns b) + 2))
kill -KILL $slow
wait $slow 2>/dev/null
check "and when the command is killed" await 20 "turns" writes_on b $(($(turns b) + 3))
check "nothing of it is left there" await 20 "nothing" nothing_at a
check "it moves afterwards" to b a
finish
