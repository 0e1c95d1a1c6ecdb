# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A program that writes, and checks all that it has written (tests/data/writer.c), at host a, and both hosts listening. Sourced after lib_migrate.sh.
port=$(free_port)

gcc -O2 -o "$work/writer" "$top/tests/data/writer.c" || { not_ok "a program" "gcc failed"; finish; }

fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
a "$lightvm" host add b "127.0.0.1:$port" "$fb"
b "$lightvm" host add a "127.0.0.1:$((port + 1))" "$fa"
start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" 2>"$work/serve-b.log"
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$((port + 1))" 2>"$work/serve-a.log"
check "both listen" eval 'await 10 "a" port_open $port && await 10 "b" port_open $((port + 1))'

turns() { host "$1" "$lightvm" logs writer 2>/dev/null | grep -c turn; }
writes_on() { [ "$(turns "$1")" -gt "$2" ]; }
# to FROM TO OPTION...: it moves there, and makes three more turns; the report is in $work/report.
to() {
	within 100 "$work/as-$1" "$lightvm" migrate --format json "${@:3}" writer "$2" >"$work/report" || { cat "$work/report"; return 1; }
	local before
	before=$(turns "$2")
	await 30 "turns" writes_on "$2" $((before + 3)) || { host "$2" "$lightvm" logs writer | tail -n 2; return 1; }
}
reported() { jq -e "$1" "$work/report" >/dev/null || { cat "$work/report"; return 1; }; }

a "$lightvm" run -d --name writer -m 64M "$work/writer" 8 >/dev/null
check "a program that writes" await 20 "turns" writes_on a 3
