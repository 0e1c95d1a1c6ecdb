#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 90
# What services have from before lightvmd: their definitions on disk, damaged ones among them, and sockets that the service manager holds (LISTEN_FDS, LISTEN_FDNAMES,
# LISTEN_PID), by systemd's own starter and by one of ours.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

kept=$LIGHTVM_KEPT/services
one=$(free_port)
two=$((one + 1)) three=$((one + 2))
# Sends a line to a port of the loopback, and wants it back in capitals: "LINE".
asks() { local line; exec 7<>"/dev/tcp/127.0.0.1/$1" && echo line >&7 && read -rt $((30 * ${LV_TIME_FACTOR:-1})) line <&7; exec 7>&-; [ "${line:-}" = LINE ]; }
# The program says each line back as it comes, and ends with its input.
cat >"$work/upper.c" <<'C'
#include <ctype.h>
#include <unistd.h>
int main(void)
{
	char c;
	while (read(0, &c, 1) == 1) {
		c = toupper(c);
		if (write(1, &c, 1) != 1)
			return 1;
	}
	return 0;
}
C
gcc -static -O1 -o "$work/upper" "$work/upper.c"
named() { "$lightvm" service ls --format json | jq -r '[.[].name] | sort | join(" ")'; }
is() { local want=$1 got; shift; got=$("$@"); [ "$got" = "$want" ] || { echo "not $want: $got"; return 1; }; }
passed() { is "$2" bash -c '"$1" service inspect "$2" | jq .now.passed' - "$lightvm" "$1"; }
says_log() { tail -c "+$((from + 1))" "$work/daemon.log" | grep -qF -- "$1" || { tail -n 20 "$work/daemon.log"; return 1; }; }
mark() { from=$(stat -c %s "$work/daemon.log"); }
stop_daemon() { kill "$daemon"; wait "$daemon" 2>/dev/null; }

# ---- damaged definitions
check 'lightvmd starts' start_daemon
for name in good other; do
	check "a service, $name" "$lightvm" service add $name -p "127.0.0.1:$one" --per-connection "$work/upper"
	one=$((one + 10))
done
one=$((one - 20))
check 'they are kept' is 'good.json other.json' bash -c 'cd "$1" && ls | xargs' - "$kept"
stop_daemon
: >"$kept/empty.json"
echo '{"name": "half", "po' >"$kept/half.json"
echo '[1]' >"$kept/list.json"
echo '{"version": 2, "name": "later", "port": 1, "vm": {}}' >"$kept/later.json"
sed 's/"name": "good"/"name": "another"/' "$kept/good.json" >"$kept/renamed.json"
sed "s/\"port\": [0-9]*/\"port\": 70000/" "$kept/good.json" >"$kept/far.json"
sed 's/"name": "good"/"name": "twice", "name": "x"/' "$kept/good.json" >"$kept/twice.json"
head -c 5000000 /dev/zero >"$kept/huge.json"
printf '{"name": "noise\xff\xfe"}' >"$kept/noise.json"
mkdir "$kept/directory.json"
ln -s /nowhere "$kept/link.json"
: >"$kept/.unfinished.json.new"
mark
check 'with damaged definitions lightvmd starts' start_daemon
check '  the others are there' is 'good other' named
check '  and serve' asks "$one"
for line in 'service empty is not there: empty.json:' 'service half is not there: half.json: line' 'service list is not there: list.json: line 1: not an object' \
	'service later is not there: version: not 1' 'service renamed is not there: its name is another' 'service far is not there: port: 70000 is not between' \
	'service twice is not there: twice.json:' 'service huge is not there: huge.json:' 'service noise is not there: noise.json:' 'service directory is not there: directory.json:' \
	'service link is not there: link.json:'; do
	check "  it says: $line" says_log "$line"
done
check '  nothing of them is taken away' is 13 bash -c 'ls "$1" | wc -l' - "$kept"
check '  one is replaced' "$lightvm" service add half -p "127.0.0.1:$two" --per-connection "$work/upper"
check '    and serves' asks "$two"
"$lightvm" service rm half good other
stop_daemon
rm -rf "${kept:?}"
mark

# ---- systemd's own starter
definition() { printf '{"version": 1, "name": "%s", "address": "127.0.0.1", "port": %s, "per_connection": true, "vm": {"image": "%s", "net": {"kind": "none"}}}\n' "$1" "$2" "$work/upper"; }
mkdir -p "$kept"
definition first "$one" >"$kept/first.json"
definition second "$two" >"$kept/second.json"
if command -v systemd-socket-activate >/dev/null; then
	environment=()
	for name in LIGHTVM_RUN LIGHTVM_KEPT LIGHTVM_VMM LIGHTVM_LIBOS LIGHTVM_STATE XDG_RUNTIME_DIR XDG_CACHE_HOME HOME PATH; do [ -z "${!name:-}" ] || environment+=(-E "$name=${!name}"); done
	start systemd-socket-activate "${environment[@]}" -l "127.0.0.1:$one" -l "127.0.0.1:$three" --fdname=first:nobody "$lightvmd" 2>>"$work/daemon.log"
	daemon=$pid
	check 'systemd-socket-activate: who connects before lightvmd runs is served' await 20 asks "$one"
	check '  by the socket that was passed' passed first true
	check '  the other service has its own' passed second false
	check '    and serves' asks "$two"
	check '  a socket of no service is told' says_log 'socket "nobody" was passed, and there is no service of that name'
	check '  the service is removed' "$lightvm" service rm first
	check '  and added again, has it again' bash -c '"$1" service add first -p "127.0.0.1:$2" --per-connection "$3" && [ "$("$1" service inspect first | jq .now.passed)" = true ]' - "$lightvm" "$one" "$work/upper"
	check '    and serves' asks "$one"
	check '  one is added for the other socket' bash -c '"$1" service add nobody -p "127.0.0.1:$2" --per-connection "$3" && [ "$("$1" service inspect nobody | jq .now.passed)" = true ]' - "$lightvm" "$three" "$work/upper"
	check '    and serves' asks "$three"
	"$lightvm" service rm nobody
	stop_daemon
else
	skip 'sockets by systemd-socket-activate' 'it is not installed'
fi

# ---- one of ours: what is not said right
cat >"$work/pass.py" <<'PY'
# pass.py PORT NAMES PID COUNT PROGRAM: execs it with a socket that listens, and what the protocol says of it; PID: "own" or a number.
import os, socket, sys
port, names, pid, count, program = sys.argv[1:]
s = socket.create_server(("127.0.0.1", int(port)))
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()) if pid == "own" else pid, LISTEN_FDNAMES=names)
os.execv(program, [program])
PY
begin() { # NAMES PID COUNT
	start python3 "$work/pass.py" "$one" "$1" "$2" "$3" "$lightvmd" 2>>"$work/daemon.log"
	daemon=$pid
	await 10 test -S "$socket" && await 10 api GET /v1/health
}
mark
check 'one socket, ours' begin first own 1
check '  is the service'"'"'s' passed first true
check '  and serves' asks "$one"
stop_daemon
check 'with the number of another process' begin first 1 1
check '  it is not looked at, and its port is taken' says_log "service first is not there: port $one of 127.0.0.1: Address already in use"
check '  the other service is there' is second named
stop_daemon
check 'with a number that is none' begin first x 1
check '  neither' is second named
stop_daemon
for names in '' ':' 'x:first' "$(head -c 3000 /dev/zero | tr '\0' n)"; do
	mark
	check "names that do not fit (${names:0:8})" begin "$names" own 1
	check '  the other service serves' asks "$two"
	stop_daemon
done
for count in 0 -1 64 1x 99999999999999999999; do
	mark
	check "a count of $count is not looked at" begin first own "$count"
	check '  and the socket not taken for the service'"'"'s' says_log "service first is not there: port $one"
	stop_daemon
done
mark
check 'more descriptors than there are' bash -c '! timeout 20 python3 "$1" "$2" first:b own 3 "$3" 2>"$4"' - "$work/pass.py" "$one" "$lightvmd" "$work/many.err"
check '  are told' grep -q 'LISTEN_FDS: descriptor 4 is not a listening socket' "$work/many.err"
finish
