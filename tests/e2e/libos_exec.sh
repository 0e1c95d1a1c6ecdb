#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# exec, cp and top of VMs on the library OS.
# timeout: 240
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox) || { skip 'exec of the library OS' 'there is no busybox'; finish; }
# gives NAME STATUS TEXT COMMAND...: this status, and this line on standard output.
gives() {
	local name=$1 want=$2 text=$3 status=0
	shift 3
	"$@" >"$work/gives.out" 2>"$work/gives.err" </dev/null || status=$?
	if [ $status = "$want" ] && grep -qxF -- "$text" "$work/gives.out"; then ok "$name"; return; fi
	cat "$work/gives.out" "$work/gives.err"
	not_ok "$name" "status $status (wanted $want), or no line '$text'"
}
"$lightvm" run -d --name vm --net none -e V=v "$busybox" sleep 100000 >/dev/null
# ---- exec
gives 'exec: output and status' 4 'started' "$lightvm" exec vm busybox sh -c 'echo started; exit 4'
gives 'exec: environment, directory and user' 0 'v w /tmp 5' "$lightvm" exec -e W=w -w /tmp -u 5 vm busybox sh -c 'echo $V $W $PWD $(id -u)'
head -c 1000000 /dev/urandom >"$work/random"
got=$("$lightvm" exec -i vm busybox sha256sum <"$work/random")
check 'exec -i: 1 MB of input' test "$got" = "$(sha256sum <"$work/random" | sed 's/-$/-/')"
check 'exec: the agent is gone with its request' jq -e 'map(.name) == ["'"$busybox"' sleep 100000"]' <("$lightvm" top --format json vm)
says 'exec: no such program' 127 'execute nothing-like-it: No such file or directory' "$lightvm" exec vm nothing-like-it
says 'exec: no such user' 126 'the image has no user nobody-here' "$lightvm" exec -u nobody-here vm busybox true
gives 'exec: dies of a signal' 137 'once' "$lightvm" exec vm busybox sh -c 'echo once; kill -9 $$'
check 'exec -it: a terminal, its size, Ctrl-C, job control' "$top/tests/e2e/terminal.py" "$lightvm" exec -it -e 'PS1=# ' vm busybox sh
start "$lightvm" exec vm busybox sh -c 'echo here; exec busybox sleep 54321'
sleeps() { "$lightvm" top --format json vm | jq -e 'any(.name | contains("sleep 54321"))' >/dev/null; }
ended() { ! sleeps; }
check 'exec: top has it' await 20 'sleep 54321' sleeps
kill -9 "$pid"
check '  and it gets SIGHUP when its client is killed' await 20 'its end' ended
# ---- cp
mkdir -p "$work/tree/sub"
cp "$work/random" "$work/tree/sub/file"
chmod 640 "$work/tree/sub/file"
touch -d '2001-02-03 04:05:06' "$work/tree/sub/file"
ln -s sub/file "$work/tree/link"
truncate -s 5M "$work/tree/hole"
check 'cp: a directory into it' "$lightvm" cp "$work/tree" vm:/tmp
gives '  modes and times are kept' 0 "640 $(date -d '2001-02-03 04:05:06' +%s) link" "$lightvm" exec vm busybox sh -c 'echo $(busybox stat -c "%a %Y" /tmp/tree/sub/file) $(test -L /tmp/tree/link && echo link)'
check 'cp: and out of it' "$lightvm" cp vm:/tmp/tree "$work/back"
check '  it is the same' diff -r "$work/tree" "$work/back"
check 'cp: one file, under another name' "$lightvm" cp vm:/tmp/tree/sub/file "$work/one"
check '  it is the same' cmp "$work/random" "$work/one"
archived() { "$lightvm" cp vm:/tmp/tree - | tar t >"$work/names" && grep -qx 'tree/sub/file' "$work/names"; }
check 'cp to -: an archive' archived
check 'cp from -: an archive' "$lightvm" cp - vm:/tmp/tree < <(tar c -C "$work/tree" sub)
echo old >"$work/more"
says 'cp: no more than was asked for' 125 'more: with it more than 4096 bytes would be copied' "$lightvm" cp --max-size 4K vm:/tmp/tree/sub/file "$work/more"
check '  and what was there stays as it was' test "$(cat "$work/more")" = old
check '  with nothing beside it' test "$(find "$work" -maxdepth 1 -name '.copied*')" = ''
says 'cp: no such file' 125 '/nothing: No such file or directory' "$lightvm" cp vm:/nothing "$work/x"
says 'cp: no such directory in the VM' 125 'No such file or directory' "$lightvm" cp "$work/one" vm:/no/where/
# ---- states
"$lightvm" pause vm
says 'exec in a paused VM' 125 'is paused' "$lightvm" exec vm busybox true
says 'cp of a paused VM' 125 'is paused' "$lightvm" cp vm:/etc/passwd "$work/x"
"$lightvm" resume vm
gives 'and after it' 0 'again' "$lightvm" exec vm busybox echo again
"$lightvm" save vm "$work/saved" >/dev/null && "$lightvm" restore -d "$work/saved" >/dev/null
gives 'exec in a VM that was restored' 0 'restored' "$lightvm" exec vm busybox echo restored
"$lightvm" rm -f vm >/dev/null
says 'exec in a VM that has ended' 125 'there is no VM' "$lightvm" exec vm busybox true
"$lightvm" run -d --name dropped --net none -u 1000:1000 "$busybox" sleep 100000 >/dev/null
gives 'exec has the user of the program' 0 '1000' "$lightvm" exec dropped busybox id -u
check 'cp is root, whoever the program is' "$lightvm" cp "$work/one" dropped:/etc/one
"$lightvm" run -d --name computes --net none "$busybox" sh -c 'while :; do :; done' >/dev/null
gives 'exec beside a program that computes' 0 'here' "$lightvm" exec computes busybox echo here
"$lightvm" rm -f dropped computes >/dev/null
finish
