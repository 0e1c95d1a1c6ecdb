#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The README's tour and what follows it, as a newcomer pastes it: line by line, literally but for the ports, which somebody may have.
# timeout: 180
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
cd "$top" || exit 1
PATH=$build/cli:$PATH

# The commands of a section's first or second block: its lines that are indented by four.
tour() { sed -n "/^## ${2:-A tour of more}\$/,/^## /p" README.md | awk '/^And where|^Instead of a port/ { second = 1 } /^    / && second + 1 == '"$1"' { sub(/^    /, ""); print }'; }
port=$(free_port)
first_clone=$((port + 1))
until ! port_open $first_clone && ! port_open $((first_clone + 1)); do first_clone=$(free_port); done
mapfile -t first < <(tour 1 | sed "s/\b8080\b/$port/g")
mapfile -t second < <(tour 2)
check 'the tour is there' test ${#first[@]} -ge 6 -a ${#second[@]} -ge 3
paste() { # LINE: runs it; its output is in $work/out
	local status=0
	eval "$1" >"$work/out" 2>&1 </dev/null || status=$?
	[ $status = 0 ] || { cat "$work/out"; not_ok "${1%% *#*}" "status $status"; return 1; }
	ok "$(sed 's/ *#.*//' <<<"$1")"
}
for line in "${first[@]}"; do
	paste "$line" || break
	case $line in
	*apps/hello*) check '  says hello' grep -q Hello "$work/out" ;;
	*curl*) check '  shows a file of docs/' grep -q testing.md "$work/out" ;;
	*'lightvm ps'*) check '  lists the server' grep -q web "$work/out" ;;
	*boot-time*) check '  has microseconds' grep -qE ' [0-9,]*[0-9]\.[0-9]{3} ' "$work/out" ;;
	esac
done
check 'the server is forgotten' test "$(lightvm ps -a | grep -cw web)" = 0

# A directory as the README supposes it.
own_project() {
	mkdir -p "$work/project/node_modules/greeting" "$work/project/node_modules/.bin"
	cd "$work/project" || exit 1
	/usr/bin/python3 -m venv --without-pip env
	echo 'import sys; print(sys.prefix)' >app.py
	echo 'console.log(require("greeting"))' >app.js
	echo 'module.exports = "hello"' >node_modules/greeting/index.js
	printf '#!/usr/bin/env node\nconsole.log(require("./index.js"))\n' >node_modules/greeting/cli.js
	chmod +x node_modules/greeting/cli.js
	ln -s ../greeting/cli.js node_modules/.bin/greet
	echo 'public class App { public static void main(String[] args) { System.out.println("hello"); } }' >App.java
	printf '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n' >server.c
	gcc -o server server.c
	! command -v javac >/dev/null || { javac App.java && jar cfe app.jar App App.class; }
}
mapfile -t languages < <(tour 1 'Programs of your language')
check 'languages are there' test ${#languages[@]} -ge 6
if [ -n "${LV_INNER:-}" ]; then # tens of thousands of files, through the rig's file system
	skip 'programs of languages' 'toolchains are not packed in the rig'
else (
	own_project
	for line in "${languages[@]}"; do
		case $line in
		*java*) need=javac said=hello ;;
		*node*) need=node said=hello ;;
		*python*) need=python3 said=$PWD/env ;;
		*gcc*) need=gcc said= ;;
		*) need=gcc said=hello ;;
		esac
		command -v $need >/dev/null || { skip "$(sed 's/ *#.*//' <<<"$line")" "$need is not installed"; continue; }
		paste "$line" && check "  says ${said:-nothing}" test "$(cat "$work/out")" = "$said"
	done
	exit $((failures > 0))
) || failures=$((failures + 1))
fi

mapfile -t saving < <(tour 1 'Saved, restored, cloned' | sed "s/\b8080\b/$port/g; s/\b8081\b/$first_clone/g; s/\b8082\b/$((first_clone + 1))/g")
check 'saving is there' test ${#saving[@]} -ge 6
for line in "${saving[@]}"; do
	paste "$line" || break
	case $line in
	*curl*) check '  a clone shows a file of docs/' grep -q testing.md "$work/out" ;;
	*'lightvm clone'*) check '  are two' test "$(wc -l <"$work/out")" = 2 ;;
	esac
done
check 'nothing of them is left' test -z "$(lightvm ps -aq)"

mapfile -t serving < <(tour 1 'Started by a connection: lightvmd' | sed "s/\b8080\b/$port/g")
check 'the daemon is there' test ${#serving[@]} -ge 5
export LIGHTVM_RUN=$work/daemon
mkdir -m 755 "$LIGHTVM_RUN"
start "$build/daemon/lightvmd" 2>"$work/daemon.log"
daemon=$pid
check 'lightvmd runs' await 10 'its socket' test -S "$LIGHTVM_RUN/api.sock"
for line in "${serving[@]:1}"; do # the first one starts the daemon
	paste "$line" || break
	case $line in
	*curl*) check '  a file of docs/' grep -q testing.md "$work/out" ;;
	*'service ls'*) check '  lists it' grep -q site "$work/out" ;;
	*'pool ls'*) check '  lists the pool' grep -q default "$work/out" ;;
	esac
done
kill "$daemon"
wait "$daemon" 2>/dev/null

need_linux 'the tour on Linux'
# The shell's end of the terminal is this test. Its prompt is not all that comes there: packing shows how far it is.
mkfifo "$work/keys"
exec 5<>"$work/keys"
for line in "${second[@]}"; do
	case $line in
	*' -it '*)
		start script -qfec "$line" "$work/terminal" <"$work/keys" >"$work/script" 2>&1
		session=$pid
		check "$(sed 's/ *#.*//' <<<"$line")" await 20 'a prompt' grep -q '[/~] [#$] ' "$work/terminal"
		;;
	*exec*) paste "$line" && check '  lists the shell' grep -q 'busybox sh' "$work/out" ;;
	*) paste "$line" ;;
	esac
done
echo 'exit 7' >&5
wait "$session"
check 'the shell ends with its status' test $? = 7
finish
