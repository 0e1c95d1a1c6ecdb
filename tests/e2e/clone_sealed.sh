#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nobody writes to the memory that clones are made of, once they are.
# timeout: 60
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" != 0 ]; then
	skip 'clones of a VM whose monitor keeps their memory' 'it takes root to hold what is another process'\''s'
	finish
fi
cat >"$work/holds.c" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	uint64_t words = 24u << 20, *memory = malloc(words * 8);
	for (uint64_t i = 0; i < words; i++)
		memory[i] = i + 1;
	puts("up");
	fflush(stdout);
	pause();
	return (int)memory[1];
}
C
gcc -O2 -o "$work/holds" "$work/holds.c" || { not_ok "a program" "gcc failed"; finish; }
"$lightvm" run -d --name held "$work/holds" >/dev/null
up() { "$lightvm" logs held 2>/dev/null | grep -qx up; }
await 20 'the line "up"' up
monitor=$("$lightvm" inspect held | jq '[.. | .pid? // empty] | first')
says 'a mapping that its monitor keeps' 125 "a clone's memory cannot be sealed: " "$(dirname "$0")/clone_sealed.py" "$monitor" "$lightvm" clone held
check 'no clone was made' test "$("$lightvm" ps -q | wc -l)" = 1
check 'without one it is cloned' "$lightvm" clone held
"$lightvm" rm -f $("$lightvm" ps -q) >/dev/null
finish
