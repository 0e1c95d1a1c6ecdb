#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The kernel "trace" tells which of its functions were called, and by whom: what a program did, and not what others did before and beside it.
# timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_evidence
[ -e "$cache/kernel/trace" ] || { skip linux_evidence 'its kernel is not built: lightvm kernel build --config trace'; finish; }
busybox=$(command -v busybox)
record() { # FILE PROGRAM...: stdout is the program's
	"$lightvm" run --rm --net none --kernel trace "${@:2}" 2>"$work/$1" </dev/null
}
called() { grep -qE "^program [0-9a-f]+ $2 $3 $4\$" "$work/$1"; } # FILE FUNCTION CALL PROCESS

check 'a program runs' test "$(record plain "$busybox" echo hello)" = hello
check '  what was called is told' grep -qx 'lightvm-evidence 1 lost 0' "$work/plain"
check '  to its end' test "$(tail -n 1 "$work/plain")" = end
check '  its write by itself' called plain ksys_write 1 busybox
check '  nobody but the program has called for it' test "$(awk '$1 == "program" { print $5 }' "$work/plain" | sort -u)" = busybox
check '  no pipe' bash -c '! grep -qE "^program [0-9a-f]+ do_pipe2 " "$1"' check "$work/plain"
check '  what happened before it' grep -qE '^boot [0-9a-f]+ unpack_to_rootfs -1 ' "$work/plain"
check '  and beside it' grep -q '^other ' "$work/plain"
check '  and what it tells fits the map of that kernel' "$lightvm" kernel specialise -q --evidence "$work/plain" -o "$work/plain.config"
awk '$1 == "program" { sub(/...$/, "fff", $2) } { print }' "$work/plain" >"$work/moved"
says '  where its functions are elsewhere it is refused' 125 'it is the evidence of another kernel' "$lightvm" kernel specialise -q --evidence "$work/moved" -o "$work/moved.config"
script -qec "'$lightvm' run --rm -t --net none --kernel trace '$busybox' echo hello" "$work/typed" >/dev/null 2>&1 </dev/null
check 'with a terminal it is not told' bash -c 'grep -q hello "$1" && ! grep -q evidence "$1"' check "$work/typed"
status=0
said=$(record children "$busybox" sh -c "printf x >&2; $busybox echo a | $busybox cat; exit 7") || status=$?
check 'a shell and its children' test "$said" = a
check '  are the program' called children do_pipe2 '(22|293)' busybox
check '  threads of the kernel are not' bash -c '! grep -qE "^program .* kworker" "$1"' check "$work/children"
check '  what a program prints last, without an end, is left alone' grep -qx 'xlightvm-evidence 1 lost 0' "$work/children"
check '  its status is its own' test $status = 7
"$lightvm" run --rm --net none --kernel linux "$busybox" true 2>"$work/none" </dev/null
check 'another kernel tells nothing' test "$(grep -c evidence "$work/none")" = 0
finish
