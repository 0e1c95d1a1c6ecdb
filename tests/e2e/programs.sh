#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The distribution's programs, unmodified, as a process and as a VM: the same output, the same exit status.
# timeout: 240
. "$(dirname "$0")/lib.sh"
data=$top/tests/data
here=(-v "$data:$data:ro")

cat >"$work/hello.c" <<'C'
#include <stdio.h>
int main(int argc, char **argv)
{
	printf("hello, world: %d arguments, %s\n", argc, argc > 1 ? argv[1] : "none");
	return argc;
}
C
gcc -static -o "$work/hello-static" "$work/hello.c"
gcc -static-pie -o "$work/hello-static-pie" "$work/hello.c"
gcc -o "$work/hello-dynamic" "$work/hello.c"
gcc -no-pie -o "$work/hello-no-pie" "$work/hello.c"
musl-gcc -static -o "$work/hello-musl" "$work/hello.c"
for kind in static static-pie dynamic no-pie musl; do
	same "hello: $kind" -- "$work/hello-$kind"
	same "hello: $kind, arguments" -- "$work/hello-$kind" one two
done

busybox=$(command -v busybox)
text=$data/text
same 'busybox cat' "${here[@]}" -- "$busybox" cat "$text"
same 'busybox cat, two files' "${here[@]}" -- "$busybox" cat "$text" "$data/script.lua" 
same 'busybox cat, missing file' "${here[@]}" -- "$busybox" cat /no/such/file
same 'busybox sha256sum' "${here[@]}" -- "$busybox" sha256sum "$text" "$data/people.json"
same 'busybox gzip' "${here[@]}" -- "$busybox" gzip -n -c "$text"
gzip -n -c "$text" >"$work/stdin"
same 'busybox gunzip' -- "$busybox" gunzip -c
cp "$text" "$work/stdin"
same 'busybox sha256sum of stdin' -- "$busybox" sha256sum
same 'busybox sort' -- "$busybox" sort
same 'busybox sort -u -r' -- "$busybox" sort -u -r
same 'busybox awk' -- "$busybox" awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) if (n[w] > 400) s += n[w]; print NR, s; printf "%.4f\n", sin(1) }'
same 'busybox wc' -- "$busybox" wc
same 'busybox grep' -- "$busybox" grep -c 'virtual.*ring'
same 'busybox sed' -- "$busybox" sed -n 's/\(ring\|guest\)/<\1>/gp'
same 'busybox tr' -- "$busybox" tr a-z A-Z
same 'busybox head' -- "$busybox" head -n 3
same 'busybox dd' -- "$busybox" dd bs=1000 count=5 status=none
rm "$work/stdin"
same 'busybox ls' "${here[@]}" -- "$busybox" ls "$data/image"
same 'busybox find' "${here[@]}" -- "$busybox" find "$data/image" -name '*n*'
export TZ=CET-1CEST,M3.5.0,M10.5.0/3
same 'busybox date, fixed TZ' -e "TZ=$TZ" -- "$busybox" date -d @1700000000 '+%Y-%m-%d %H:%M:%S %Z'
same 'busybox date, fixed TZ, summer' -e "TZ=$TZ" -- "$busybox" date -d @1720000000 '+%c %Z'
unset TZ
same 'busybox true' -- "$busybox" true
same 'busybox false' -- "$busybox" false
same 'busybox sh' -- "$busybox" sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo $i; exit 5'
same 'coreutils sort' "${here[@]}" -- /usr/bin/sort "$text"
same 'coreutils sha256sum' "${here[@]}" -- /usr/bin/sha256sum "$text"
same 'coreutils ls -l' "${here[@]}" -- /usr/bin/ls -1 "$data/image"
same 'coreutils seq' -- /usr/bin/seq 1 100000

same 'lua5.4 script' "${here[@]}" -- /usr/bin/lua5.4 "$data/script.lua" "$text"
same 'jq program' "${here[@]}" -- /usr/bin/jq -f "$data/program.jq" "$data/people.json"
cp "$data/people.json" "$work/stdin"
same 'jq from stdin' -- /usr/bin/jq -c '.[] | select(.age > 80) | {name, tags}'
same 'jq, wrong program' -- /usr/bin/jq '.['
cp "$data/database.sql" "$work/stdin"
same 'sqlite3: 100,000 rows in a file database' -m 128M -- /usr/bin/sqlite3 /tmp/lightvm-test-$$.db
rm -f /tmp/lightvm-test-$$.db "$work/stdin"
# /usr/bin/python3: what stands in PATH may be something else than the distribution's.
same 'python3 script' -m 256M -v /usr/lib/python3.11:/usr/lib/python3.11:ro "${here[@]}" -- /usr/bin/python3 "$data/script.py" "$text" "$data/people.json"
finish
