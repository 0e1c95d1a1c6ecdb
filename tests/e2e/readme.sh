#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The README's tour, as a newcomer pastes it: line by line, literally but for the port, which somebody may have.
# timeout: 60
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
cd "$top" || exit 1
PATH=$build/cli:$PATH

# The commands of the tour's two blocks: its lines that are indented by four.
tour() { sed -n '/^## A tour of more$/,/^## /p' README.md | awk '/^And where/ { second = 1 } /^    / && second + 1 == '"$1"' { sub(/^    /, ""); print }'; }
port=$(free_port)
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

need_linux 'the tour on Linux'
# The shell's end of the terminal is this test.
mkfifo "$work/keys"
exec 5<>"$work/keys"
for line in "${second[@]}"; do
	case $line in
	*' -it '*)
		start script -qfec "$line" "$work/terminal" <"$work/keys" >"$work/script" 2>&1
		session=$pid
		check "$(sed 's/ *#.*//' <<<"$line")" await 20 'a prompt' grep -q '[#$] ' "$work/terminal"
		;;
	*exec*) paste "$line" && check '  lists the shell' grep -q 'busybox sh' "$work/out" ;;
	*) paste "$line" ;;
	esac
done
echo 'exit 7' >&5
wait "$session"
check 'the shell ends with its status' test $? = 7
finish
