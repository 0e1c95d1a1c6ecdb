#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# PID 1 of Linux guests and its agent: run, run -t, exec, cp, stop, signals, and what goes wrong.
# timeout: 160
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_exec
busybox=$(command -v busybox)
linux() { "$lightvm" run --kernel linux --net none "$@"; }

# gives NAME STATUS STDOUT COMMAND...: exit status and standard output are these.
gives() {
	local name=$1 want=$2 text=$3 got status=0
	shift 3
	got=$("$@" 2>"$work/err" </dev/null) || status=$?
	if [ "$got" = "$text" ] && [ $status = "$want" ]; then ok "$name"; else
		printf 'status %s, got: %s\n' "$status" "$got"
		cat "$work/err"
		not_ok "$name" "not status $want with '$text'"
	fi
}

check 'PID 1 takes at most 150 KiB' test "$(stat -c %s "$build/guest/init")" -le 153600

# ---- streams and ends of the program
head -c 1000000 /dev/urandom >"$work/random"
linux "$busybox" sh -c 'cat; echo wrong >&2; exit 7' <"$work/random" >"$work/copy" 2>"$work/err"
check 'exit status 7' test $? = 7
check '1 MB through stdin and stdout' cmp "$work/random" "$work/copy"
check 'stderr is apart' test "$(cat "$work/err")" = wrong
linux "$busybox" sh -c 'for i in 1 2 3; do echo o$i; echo e$i >&2; done; kill -9 $$' >"$work/both" 2>&1
check 'exit status 137 of SIGKILL' test $? = 137
check 'the order of stdout and stderr in one file' test "$(head -n 6 "$work/both" | tr '\n' ' ')" = 'o1 e1 o2 e2 o3 e3 '
gives 'environment, directory, user, host name, overlay' 0 $'b /tmp 33:44 box\nnew' linux -e A=b -w /tmp -u 33:44 --hostname box \
	"$busybox" sh -c 'echo $A $PWD $(id -u):$(id -g) $(hostname); echo new >/tmp/x; cat /tmp/x'

# ---- a VM in the background
mkdir -p "$work/tree/sub"
echo content >"$work/tree/sub/file"
ln -s ../../../../etc/passwd "$work/tree/link"
linux -d --name vm "$busybox" sh -c 'trap "echo asked; exit 3" TERM; trap "echo usr1" USR1; echo up; while :; do sleep 1 & wait $!; done' >"$work/id" 2>"$work/err"
check 'run -d' test $? = 0
gives 'exec' 4 'VM started' "$lightvm" exec vm busybox sh -c 'echo VM started; exit 4'
gives 'exec: environment, directory and user' 0 'v /tmp 5' "$lightvm" exec -e W=v -w /tmp -u 5 vm busybox sh -c 'echo $W $PWD $(id -u)'
got=$("$lightvm" exec -i vm busybox sha256sum <"$work/random" 2>"$work/err")
check 'exec -i: 1 MB of input' test "$got" = "$(sha256sum <"$work/random")"
check 'inspect tells what the guest uses' jq -e '.[0].guest | .memory_total > .memory_free and .processes > 1' <("$lightvm" inspect vm)
check 'top tells its processes' jq -e 'map(select(.name | contains("sh -c trap"))) | length == 1' <("$lightvm" top --format json vm)
check '  as a table' grep -qE '^ *1 +0 ' <("$lightvm" top vm)
check 'update: the balloon takes what is above' "$lightvm" update -m 200M vm
check '  it is asked for so much' jq -e '.target == 56 * 1024 * 1024' <("$lightvm" balloon --format json vm)
says 'update: more than it was made with' 125 'more than VM' "$lightvm" update -m 512M vm
check 'update: all of it again' "$lightvm" update -m 256M vm
"$lightvm" pause vm
says 'exec in a paused VM' 125 'is paused' "$lightvm" exec vm busybox true
says 'top of a paused VM' 125 'is paused' "$lightvm" top vm
says 'kill -s of a paused VM' 125 'is paused' "$lightvm" kill -s USR1 vm
"$lightvm" resume vm
says 'exec: no such program' 127 'execute nothing-like-it: No such file or directory' "$lightvm" exec vm nothing-like-it
says 'exec: not executable' 126 'execute /etc/hosts: Permission denied' "$lightvm" exec vm /etc/hosts
says 'exec: no such user' 126 'the image has no user nobody-here' "$lightvm" exec -u nobody-here vm busybox true
says 'exec: no such directory' 126 'working directory /nowhere: No such file' "$lightvm" exec -w /nowhere vm busybox true
says 'exec -t without a terminal' 125 'standard input is not a terminal' "$lightvm" exec -it vm sh
says 'exec: no such VM' 125 'there is no VM "nobody"' "$lightvm" exec nobody true

check 'cp into the VM' "$lightvm" cp "$work/tree" vm:/tmp/there
gives 'cp: files and links arrive' 0 $'content\n../../../../etc/passwd' "$lightvm" exec vm busybox sh -c 'cat /tmp/there/sub/file; readlink /tmp/there/link'
check 'cp out of the VM' "$lightvm" cp vm:/tmp/there "$work/back"
check 'cp: the same tree comes back' diff -r --no-dereference "$work/tree" "$work/back"
check 'cp: a file into a directory' "$lightvm" cp vm:/etc/hosts "$work/back"
check 'cp: it has its name' test -f "$work/back/hosts"
says 'cp: no such file' 125 '/no/file: No such file or directory' "$lightvm" cp vm:/no/file "$work"
says 'cp: a device' 125 '/dev/null: neither a file nor a directory' "$lightvm" cp vm:/dev/null "$work"
says 'cp: no such directory in the VM' 125 '/no/dir/x: No such file or directory' "$lightvm" cp "$work/err" vm:/no/dir/x
says 'cp: no VM named' 125 'one of them is VM:/PATH' "$lightvm" cp /etc/hosts "$work"

# What cannot be copied is named, whichever way it goes; nothing else is missing.
mkdir -p "$work/odd" "$work/deep"
echo here >"$work/odd/file"
echo secret >"$work/odd/secret"
chmod 600 "$work/odd/secret"
chown 65534 "$work/odd/secret"
mkfifo "$work/odd/pipe"
truncate -s 64M "$work/odd/sparse"
echo end | dd of="$work/odd/sparse" bs=1M seek=63 conv=notrunc status=none
touch -d '1960-02-03 04:05:06 UTC' "$work/odd/file"
plain() { setpriv --bounding-set=-dac_override,-dac_read_search "$@"; } # root, but without root's right to read everything
says 'cp into the VM: a file that may not be read is named' 125 'secret' plain "$lightvm" cp "$work/odd" vm:/tmp/odd
check '  a pipe, too' grep -q 'pipe' "$work/says.err"
gives '  the rest is there' 0 'file sparse ' "$lightvm" exec vm busybox sh -c 'cd /tmp/odd; for i in *; do printf "%s " $i; done'
gives '  holes stay holes' 0 small "$lightvm" exec vm busybox sh -c '[ $(busybox du -k /tmp/odd/sparse | busybox cut -f 1) -lt 4096 ] && echo small'
gives '  times before 1970 stay what they are' 0 "$(stat -c %Y "$work/odd/file")" "$lightvm" exec vm busybox stat -c %Y /tmp/odd/file
says 'cp out of the VM: a pipe is named' 125 'pipe' sh -c '"$1" exec vm busybox mkfifo /tmp/odd/pipe2 && "$1" cp vm:/tmp/odd "$2"' - "$lightvm" "$work/odd.back"
check '  the rest is there' cmp "$work/odd/sparse" "$work/odd.back/sparse"
check '  with its time' test "$(stat -c %Y "$work/odd.back/file")" = "$(stat -c %Y "$work/odd/file")"
check 'cp: a file of /proc has what can be read from it' sh -c '"$1" cp vm:/proc/version "$2" && grep -q Linux "$2"' - "$lightvm" "$work/version"
levels=$work/deep
for i in $(seq 150); do levels=$levels/d; done
mkdir -p "$levels"
says 'cp: what lies too deep is named' 125 'd/d/d' "$lightvm" cp "$work/deep" vm:/tmp/deep

start "$lightvm" exec vm busybox sh -c 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 1 & wait $!; done' >"$work/out" 2>"$work/err"
check 'exec: signals (start)' await 20 'the line "ready"' grep -q ready "$work/out"
kill -INT "$pid"
wait "$pid"
check 'exec: a signal to the command reaches the program' test "$? $(tail -n 1 "$work/out")" = '9 caught'
check 'kill -s USR1' "$lightvm" kill -s USR1 vm
logged() { "$lightvm" logs vm 2>&1 | grep -qx "$1"; }
check 'the program caught it' await 20 'usr1 in the log' logged usr1
check 'stop' "$lightvm" stop vm
gives 'stop asked the program' 0 3 "$lightvm" wait vm
check 'the log has its last words' logged asked
says 'exec in a VM that has ended' 125 'has ended' "$lightvm" exec vm busybox true

# ---- all places taken
linux -d --name full "$busybox" sh -c 'trap "echo asked; exit 7" TERM; while :; do sleep 1 & wait $!; done' >"$work/id" 2>"$work/err"
here() { [ "$(grep -c here "$work/here")" = "$1" ]; }
for i in $(seq 64); do # one after the other: all at once, some would wait too long for their answer where everything is emulated
	start "$lightvm" exec full busybox sh -c 'echo here; exec sleep 1000' >>"$work/here" 2>>"$work/err" </dev/null
	await 20 "session $i" here "$i" || break
done
check '64 sessions at a time' here 64
says 'one more is told why not' 125 'has 64 sessions already' "$lightvm" exec full busybox true
check 'inspect still has its answer' jq -e '.[0].guest.processes > 64' <("$lightvm" inspect full)
check 'stop finds a place' "$lightvm" stop full
gives 'and asked the program' 0 7 "$lightvm" wait full

# ---- a machine that shuts down
linux -d --name down "$busybox" sh -c 'trap "echo asked; exit 8" TERM; echo up; while :; do sleep 1 & wait $!; done' >"$work/id" 2>"$work/err"
check 'its words' await 20 'the line "up"' sh -c '"$1" logs down | grep -q up' - "$lightvm"
kill -TERM "$("$lightvm" inspect down | jq -r '[.. | .pid? | numbers] | first')"
gives "SIGTERM to the monitor ends the program in order" 0 8 timeout 60 "$lightvm" wait down

# ---- terminals
check 'run -it: a terminal, its size, Ctrl-C, job control' "$top/tests/e2e/terminal.py" "$lightvm" run --kernel linux --net none --rm -it -e 'PS1=# ' "$busybox" sh
linux -d --name term "$busybox" sleep 1000 >"$work/id" 2>"$work/err"
check 'exec -it: a terminal, its size, Ctrl-C, job control' "$top/tests/e2e/terminal.py" "$lightvm" exec -it -e 'PS1=# ' term busybox sh
check 'the VM goes on after exec' "$lightvm" exec term busybox true
check 'kill ends it' "$lightvm" kill term
says 'run -t without a terminal' 125 'standard input is not a terminal' linux -it "$busybox" sh
finish
