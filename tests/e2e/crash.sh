#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The report of a program that dies of a fault: what, where with symbol and offset, stack, registers, last console lines.
# timeout: 60
. "$(dirname "$0")/lib.sh"
cat >"$work/crash.c" <<'C'
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) void inner(int *p) { *p = 42; __asm__ volatile(""); }
__attribute__((noinline)) void outer(int *p) { inner(p); __asm__ volatile(""); }
int main(int argc, char **argv)
{
	printf("the last line before\n");
	fflush(stdout);
	outer((int *)(argc > 1 ? 0xdead000ul : 0x10ul));
	return strlen((char *)0);
}
C
gcc -g -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls -static -o "$work/crash-static" "$work/crash.c"
gcc -g -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls -o "$work/crash-dynamic" "$work/crash.c"
for kind in static dynamic; do
	"$lightvm" run "$work/crash-$kind" >"$work/out" 2>"$work/err"
	status=$?
	[ $status = 139 ] || cat "$work/err"
	check "$kind: status 139" test $status = 139
	check "$kind: output came first" grep -q 'the last line before' "$work/out"
	check "$kind: names the signal" grep -qE 'SIGSEGV|[Ss]egmentation' "$work/err"
	check "$kind: the address" grep -qiE '0x0*10\b' "$work/err"
	check "$kind: the access" grep -qi 'writ' "$work/err"
	check "$kind: symbol+offset" grep -qE 'inner\+0x[0-9a-f]+' "$work/err"
	check "$kind: the callers" bash -c 'grep -qE "outer\+0x" "$1" && grep -qE "main\+0x" "$1"' - "$work/err"
	check "$kind: registers" grep -qiE 'rax|rsp' "$work/err"
	grep -q 'inner+0x' "$work/err" && grep -q 'main+0x' "$work/err" || cat "$work/err"
done
"$lightvm" run -d --name dies "$work/crash-static" x >/dev/null 2>&1
ended() { "$lightvm" inspect dies | grep -q '"exited"'; }
check 'in the background: ends' await 10 'the end of "dies"' ended
check 'in the background: inspect has the crash' bash -c '"$1" inspect dies | grep -qi dead000' - "$lightvm"
check 'in the background: inspect has the last lines' bash -c '"$1" inspect dies | grep -q "the last line before"' - "$lightvm"
finish
