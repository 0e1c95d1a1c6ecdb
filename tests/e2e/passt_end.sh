#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# passt ends with its VM, also one that hears neither the end of its socket nor a request.
# timeout: 120
. "$(dirname "$0")/lib.sh"
passt=$(command -v passt) || { skip 'the end of passt' 'passt is not installed'; finish; }
unshare -m true 2>/dev/null || { skip 'the end of passt' 'no right to put another program in its place'; finish; }
cat >"$work/passt" <<END
#!/bin/bash
trap '' TERM HUP INT
for word; do case \$word in -P*) echo \$\$ >"\${word#-P}" ;; esac; done
echo \$\$ >>"$work/pids"
while :; do sleep 1; done
END
chmod 755 "$work" "$work/passt"
with_deaf_passt() { unshare -m bash -c 'mount --bind "$1" "$2" && shift 2 && "$@"' - "$work/passt" "$(readlink -f "$passt")" "$@"; }
deaf() { tail -n 1 "$work/pids" 2>/dev/null; }
has_started() { [ -s "$work/pids" ]; }
has_ended() { [ ! -e "/proc/$(deaf)" ]; }
waiter=$build/tests/guest/guest_waiter

for end in 'rm -f' kill 'stop -t 1'; do
	rm -f "$work/pids"
	with_deaf_passt "$lightvm" run -d --name held -p 127.0.0.1:18080:80 "$waiter" up >/dev/null
	check "$end: it serves" await 10 'the start of passt' has_started
	# shellcheck disable=SC2086
	"$lightvm" $end held >/dev/null
	check "$end: it is gone" await 15 "the end of passt $(deaf)" has_ended
	"$lightvm" rm -f held >/dev/null 2>&1
done
rm -f "$work/pids"
start with_deaf_passt "$lightvm" run --rm --name front -p 127.0.0.1:18080:80 "$waiter" up >/dev/null 2>&1
await 10 'the start of passt' has_started
await 10 'the VM' "$lightvm" kill front
check 'in the foreground: the command ends' await 15 'the end of lightvm' bash -c '! kill -0 "$1" 2>/dev/null' - "$pid"
check 'in the foreground: it is gone' has_ended
# Started late, by the first packet.
rm -f "$work/pids"
with_deaf_passt "$lightvm" run -d --name late "$(command -v busybox)" nc 10.0.2.2 9 >/dev/null
check 'late: it serves' await 10 'the start of passt' has_started
"$lightvm" rm -f late >/dev/null
check 'late: it is gone' await 15 "the end of passt $(deaf)" has_ended

# passt ends before its VM: said in the monitor's log, and by inspect.
"$lightvm" run -d --name left -p 127.0.0.1:18080:80 "$waiter" up >"$work/id"
await 10 'the start of passt' pgrep -nf '^passt.*127.0.0.1/18080' >/dev/null
kill -KILL "$(pgrep -nf '^passt.*127.0.0.1/18080')"
says_so() { grep -q 'passt ended, the network is gone' "${LIGHTVM_STATE:-${XDG_RUNTIME_DIR:-/run}/lightvm}/vms/$(cat "$work/id")/monitor.log"; }
check 'passt that ends first: the log says so' await 10 'the line' says_so
gone() { "$lightvm" inspect left | grep -q "host's end of the network has gone"; }
check 'and inspect does' await 10 'the word' gone
"$lightvm" rm -f left >/dev/null
finish
