#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# lightvmd's API as docs/openapi.json describes it: every operation, with right and wrong input.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
start_daemon >"$work/out" || { not_ok "the daemon starts" "it does not answer"; finish; }
python3 "$(dirname "$0")/openapi.py" "$top/docs/openapi.json" "$lightvmd" "$socket" >"$work/lines"
status=$?
grep '^not ok' "$work/lines"
summary() { # a line for what went well: there are hundreds
	sed -n 's/^ok \([A-Za-z0-9]*\): .*/\1/p' "$work/lines" | sort | uniq -c | while read -r count name; do ok "$name: $count answers are as the file says"; done
	grep '^ok ' "$work/lines" | grep -vE '^ok [A-Za-z0-9]+: '
}
summary
[ $status = 0 ] || grep -q '^not ok' "$work/lines" || not_ok "the driver" "it ended with status $status"
failures=$((status > 0))
check "the daemon lives" kill -0 "$daemon"
check "nothing is left running" test "$("$lightvm" ps -q | wc -l)" = 0
finish
