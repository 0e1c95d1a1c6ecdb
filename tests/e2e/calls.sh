#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# System calls that trap are counted, by number and place, and told: in stats, inspect, a crash report, and at a terminal; of those that are patched there is nothing to tell.
# timeout: 120
. "$(dirname "$0")/lib.sh"
# Code that can be written is never patched: what calls from there traps each time.
cat >"$work/calls.c" <<'C'
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
__attribute__((noinline, aligned(4096))) long slow_call(long nr)
{
	__asm__ volatile("syscall" : "+a"(nr) : : "rcx", "r11", "memory");
	return nr;
}
int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "patched"))
		mprotect((void *)((uintptr_t)slow_call & -4096ul), 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	for (int i = 0; i < 5000; i++)
		if (slow_call(i % 4 ? SYS_getppid : SYS_getuid) < 0)
			return 1;
	if (argc > 1 && !strcmp(argv[1], "crash"))
		*(volatile int *)16 = 1;
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		write(1, "up\n", 3);
		pause();
	}
	return 0;
}
C
gcc -g -O1 -o "$work/calls" "$work/calls.c"
calls() { "$lightvm" inspect "$1" | jq -e ".[0].record.system_calls | $2"; }

"$lightvm" run --name slow "$work/calls"
check 'all are counted' calls slow '.made > 5000 and .made < 5300'
check '  those that trapped' calls slow '.trapped >= 5000 and .trapped <= .made'
check '  how many in a second' calls slow '.most_in_a_second >= 1000 and .most_in_a_second <= .trapped'
check '  by number and place, most first' calls slow '.sites | .[0].name == "getppid" and .[0].count == 3750 and .[0].number == 110 and .[1].name == "getuid" and .[1].count == 1250 and .[0].address == .[1].address'
check '  with symbol and file' calls slow '.sites[0].where | test("^slow_call\\+0x[0-9a-f]+ \\(.*/calls\\)$")'
"$lightvm" run --name quick "$work/calls" patched
check 'patched ones do not trap' calls quick '.made > 5000 and .trapped < 200 and .most_in_a_second <= .trapped and ([.sites[].count] | add) == .trapped'

"$lightvm" run -d --name waits "$work/calls" wait >/dev/null
await 20 'its calls' grep -q up <("$lightvm" logs -f waits)
check 'while it runs: inspect' calls waits '.trapped >= 5000 and (.sites[0].where | test("^slow_call"))'
check '  stats' bash -c '"$1" stats --no-stream --format json waits | jq -e ".[0] | .system_calls > 5000 and .system_calls_trapped >= 5000"' - "$lightvm"
check '  as a table' grep -qE 'SYSTEM CALLS +TRAPPED$' <("$lightvm" stats --no-stream waits)

"$lightvm" run "$work/calls" crash >"$work/out" 2>"$work/err"
check 'a crash report has them' grep -qE '^system calls: 5[0-9]+, of which 5[0-9]+ trapped, up to [0-9]+ in a second$' "$work/err"
check '  with the place' grep -qE '^ +3750  getppid at slow_call\+0x[0-9a-f]+ \(.*/calls\)$' "$work/err"
grep -q 'getppid at slow_call' "$work/err" || cat "$work/err"

at_terminal() { script -qec "'$lightvm' run $1" /dev/null </dev/null; }
if "$lightvm" doctor 2>/dev/null | grep -q 'this KVM works by page tables'; then
	check 'at a terminal: one line' test "$(at_terminal "$work/calls" | grep -cE '5[0-9]+ of 5[0-9]+ system calls trapped, up to [0-9]+ in a second, .* most often getppid at slow_call\+0x[0-9a-f]+ \(')" = 1
else
	skip 'at a terminal: one line' 'a trap is cheap on this kind of KVM'
fi
check '  none when they are patched' bash -c '! grep -q trapped' <<<"$(at_terminal "$work/calls patched")"
check '  nor without a terminal' bash -c '! grep -q trapped <("$1" run "$2" 2>&1)' - "$lightvm" "$work/calls"
"$lightvm" rm -f slow quick waits >/dev/null
finish
