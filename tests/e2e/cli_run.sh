#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# lightvm run in the foreground: streams, signals, exit status, environment, files, ports, memory.
# timeout: 180
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
guest=$build/tests/guest/guest_

# status NAME WANTED COMMAND...
status() {
	local name=$1 want=$2 got=0
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
	if [ $got = "$want" ]; then ok "$name"; else
		head -n 20 "$work/out" "$work/err"
		not_ok "$name" "exit status $got, not $want"
	fi
}

status 'exit status 0' 0 run "${guest}end" exit0
status 'exit status 3' 3 run "${guest}end" exit3
status 'exit status 139 of a segmentation fault' 139 run "${guest}end" segv
status 'exit status 143 of a signal to itself' 143 run "${guest}end" signal15

# 10 MB through standard input and output.
head -c 10000000 /dev/urandom >"$work/random"
run "$busybox" cat <"$work/random" >"$work/copy" 2>"$work/err"
check '10 MB through stdin and stdout' cmp "$work/random" "$work/copy"
want=$(sha256sum <"$work/random")
got=$(run "$busybox" cat <"$work/random" 2>"$work/err" | run "$busybox" sha256sum 2>>"$work/err")
if [ "$want" = "$got" ]; then ok 'a pipeline of two VMs'; else cat "$work/err"; not_ok 'a pipeline of two VMs' "$got"; fi
got=$(run "$busybox" seq 1 1000000 2>"$work/err" | head -n 2 | tr '\n' ' ')
if [ "$got" = '1 2 ' ]; then ok 'the reader of stdout goes away'; else cat "$work/err"; not_ok 'the reader of stdout goes away' "got '$got'"; fi
run "$busybox" sh -c 'echo to stdout; echo to stderr >&2' >"$work/out" 2>"$work/err"
check 'stdout and stderr are apart' test "$(cat "$work/out") $(cat "$work/err")" = 'to stdout to stderr'
run "$busybox" sh -c 'for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done' >"$work/both" 2>&1
check 'the order of stdout and stderr in one file' test "$(tr '\n' ' ' <"$work/both")" = 'o1 e1 o2 e2 o3 e3 o4 e4 o5 e5 '
status 'stdin from /dev/null' 0 run "$busybox" cat
"$lightvm" run "$busybox" cat <&- >"$work/out" 2>"$work/err"
got=$?
if [ $got -le 1 ]; then ok 'stdin closed'; else cat "$work/err"; not_ok 'stdin closed' "status $got"; fi

# Line by line: what was written is there before the program ends.
mkfifo "$work/in"
exec 7<>"$work/in"
start "$lightvm" run "$busybox" sh -c 'while read -r x; do echo "got $x"; done' <"$work/in" >"$work/out" 2>"$work/err" 7>&-
echo one >&7
check 'interactive: first answer' await 10 'the answer to "one"' grep -q 'got one' "$work/out"
echo two >&7
check 'interactive: second answer' await 10 'the answer to "two"' grep -q 'got two' "$work/out"
exec 7>&-
wait "$pid"
check 'interactive: ends at end of file' test $? = 0

# Signals to the command reach the program.
for signal in TERM INT HUP USR1; do
	start env --default-signal=$signal "$lightvm" run "$busybox" sh -c "trap 'echo caught; exit 9' $signal; echo ready; while :; do :; done" >"$work/out" 2>"$work/err"
	if await 10 'the line "ready"' grep -q ready "$work/out"; then
		kill -$signal "$pid"
		wait "$pid"
		got=$?
		if [ $got = 9 ] && grep -q caught "$work/out"; then ok "SIG$signal is caught"; else cat "$work/err"; not_ok "SIG$signal is caught" "status $got"; fi
	else
		cat "$work/err"
		not_ok "SIG$signal is caught" 'the program did not start'
	fi
	start env --default-signal=$signal "$lightvm" run "${guest}hostile" never-end >"$work/out" 2>"$work/err"
	await 10 'the line "attack"' grep -q attack "$work/out"
	kill -$signal "$pid"
	wait "$pid"
	got=$?
	want=$((128 + $(kill -l $signal)))
	if [ $got = $want ]; then ok "SIG$signal ends a computing program"; else cat "$work/err"; not_ok "SIG$signal ends a computing program" "status $got, not $want"; fi
done

# What cannot be told to the program is said; only who wants the end gets it.
start "$lightvm" run --name deaf "$busybox" sh -c "trap 'echo caught' USR1; echo ready; while :; do :; done" >"$work/out" 2>"$work/err"
await 10 'the line "ready"' grep -q ready "$work/out"
monitor=$("$lightvm" ps --format json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)
kill -STOP "$monitor"
await 10 "the monitor's threads to stand still" sh -c '! grep -h ^State: /proc/"$0"/task/*/status | grep -qv "T (stopped)"' "$monitor"
kill -USR1 "$pid"
check 'a signal that does not arrive is said' await 15 'the message' grep -q 'SIGUSR1 did not reach the program: no answer in time' "$work/err"
kill -CONT "$monitor"
kill -USR1 "$pid"
check 'the VM goes on, and the next one arrives' await 10 'the line "caught"' grep -q caught "$work/out"
kill -TERM "$pid"
wait "$pid"
check 'and ends by SIGTERM' test $? = 143

# Ctrl-C is the program's, as long as it is not pressed three times within two seconds.
start env --default-signal=INT "$lightvm" run "$busybox" sh -c "trap 'n=\$((n+1)); echo caught \$n' INT; echo ready; while :; do :; done" >"$work/out" 2>"$work/err"
await 10 'the line "ready"' grep -q ready "$work/out"
for n in 1 2; do
	kill -INT "$pid"
	check "Ctrl-C $n is caught" await 10 "the line \"caught $n\"" grep -q "caught $n" "$work/out"
done
"$busybox" sleep 2.2 # the time in which they count together is over
for n in 3 4; do
	kill -INT "$pid"
	check "Ctrl-C $n is caught" await 10 "the line \"caught $n\"" grep -q "caught $n" "$work/out"
done
kill -INT "$pid"
wait "$pid"
check 'the third one in two seconds ends the VM' test $? = 137
check 'with a word' grep -q 'killed after 3 interrupts' "$work/err"
start "$lightvm" run "$busybox" sleep 100 >"$work/out" 2>"$work/err"
running() { "$lightvm" ps -q | grep -q .; }
await 10 'the sleeping VM in ps' running
kill -TERM "$pid"
wait "$pid"
check 'SIGTERM ends a sleeping program' test $? = 143

# Environment, working directory, arguments, host name.
prints '-e NAME=VALUE' 'v=a b' run -e V='a b' "$busybox" sh -c 'echo v=$V'
export LIGHTVM_TEST_VALUE=inherited
prints '-e NAME' inherited run -e LIGHTVM_TEST_VALUE "$busybox" sh -c 'echo $LIGHTVM_TEST_VALUE'
prints 'the environment is not passed on unasked' none run "$busybox" sh -c 'echo ${LIGHTVM_TEST_VALUE:-none}'
prints '-w' /usr/lib run -v "$work:/usr/lib:ro" -w /usr/lib "$busybox" pwd
prints 'arguments' $'a b\n\n--help\n-x' run "$busybox" printf '%s\n' 'a b' '' --help -x
prints '--hostname' box run --hostname box "$busybox" hostname

# Files.
mkdir -p "$work/host/sub"
echo 'from the host' >"$work/host/file"
echo 'deeper' >"$work/host/sub/file"
prints '-v' $'from the host\ndeeper' run -v "$work/host:/data:ro" "$busybox" cat /data/file /data/sub/file
prints '-v, a single file' 'from the host' run -v "$work/host/file:/etc/one:ro" "$busybox" cat /etc/one
prints '-v twice' $'from the host\ndeeper' run -v "$work/host:/a:ro" -v "$work/host/sub:/b:ro" "$busybox" cat /a/file /b/file
echo changed >"$work/host/file"
prints '-v after a change of the file' changed run -v "$work/host:/data:ro" "$busybox" cat /data/file
prints 'writes stay in the VM' new run --copy "$work/host:/data" "$busybox" sh -c 'echo new >/data/file; read x </data/file; echo $x'
check 'the host file is unchanged' test "$(cat "$work/host/file")" = changed
prints 'a program by relative path' ok bash -c 'cd /bin && "$1" run ./busybox echo ok' - "$lightvm"
prints 'a program from PATH' ok run busybox echo ok

# A published port, both ways of writing it.
port=$(free_port)
mkdir -p "$work/www"
echo 'a page' >"$work/www/index.html"
start "$lightvm" run -p "127.0.0.1:$port:8000" -v "$work/www:/www:ro" "$busybox" httpd -f -p 8000 -h /www >"$work/out" 2>"$work/err"
fetched() { [ "$(curl -sf --max-time 5 "http://127.0.0.1:$port/index.html")" = 'a page' ]; }
# busybox httpd forks for each connection, so only the listening is looked at
check '-p: the port listens' await 20 "port $port" port_open "$port"
kill "$pid"; wait "$pid"

# A standard descriptor that is closed becomes nothing: neither what the program reads, nor a disk that it writes to.
head -c 65536 /dev/zero >"$work/disk.img"
cp "$work/disk.img" "$work/disk.was"
closed_output() { "$lightvm" run --rm --disk "$work/disk.img" "$busybox" echo HELLO <&- >&-; cmp "$work/disk.img" "$work/disk.was"; }
check 'closed output does not end up in a disk' closed_output
closed_all() { "$lightvm" run --rm --disk "$work/disk.img" "$busybox" echo HELLO <&- >&- 2>&-; cmp "$work/disk.img" "$work/disk.was"; }
check 'all three closed: neither' closed_all
closed_input() { "$lightvm" run --rm "$busybox" cat <&- >"$work/got"; [ ! -s "$work/got" ]; }
check 'closed input is not the image' closed_input

# Numbers as shells and container engines give them; a program's own 125 is not taken for ours.
status 'no such program in PATH: 127' 127 "$lightvm" run nosuchprogram
status 'no such program by path: 127' 127 "$lightvm" run "$work/nosuchprogram"
cp "$busybox" "$work/notexecutable" && chmod 644 "$work/notexecutable"
status 'not executable: 126' 126 "$lightvm" run "$work/notexecutable"
status 'a directory: 126' 126 "$lightvm" run "$work"
status 'our own failure: 125' 125 "$lightvm" run --net nosuch "$busybox" true
status 'a program that exits with 125' 125 "$lightvm" run --name own125 "$busybox" sh -c 'echo kept; exit 125'
prints 'its VM is kept' kept "$lightvm" logs own125
prints 'and its exit status' 125 bash -c '"$1" inspect own125 | jq .[0].exit_status' - "$lightvm"

status '-m too small says so' 125 run -m 1M "$busybox" true
prints '-m limits' limited run -m 32M "$busybox" awk '/MemTotal/ { if ($2 > 16000 && $2 <= 32768) print "limited" }' /proc/meminfo
# What could not be written is said, and is no success; a full disk, which is the VM's memory, is said at the end.
busybox=$(command -v busybox)
to_full() { "$lightvm" run --rm "$@" >/dev/full; }
says 'output to a full disk' 125 'output was lost: No space left on device' to_full "$busybox" echo hi
says '  the status of a program that failed stays' 3 'output was lost' to_full "$busybox" sh -c 'echo hi; exit 3'
says '  and who goes on writing is ended' 125 'output was lost' to_full "$busybox" yes
says 'a full file system' 1 'had no more room: ' "$lightvm" run --rm -m 32M "$busybox" dd if=/dev/zero of=/tmp/x bs=64k
check '  the program had memory left for its own words' grep -q 'No space left on device' "$work/says.err"

# Its command does not wait for what the kernel takes back of the VM; nobody else has to, either.
at_once() { for i in 1 2 3 4 5 6 7 8; do "$lightvm" run --name again "$build/apps/hello" && "$lightvm" start -a again && "$lightvm" rm again || return 1; done; }
check 'what has ended is started and removed at once' at_once
finish
