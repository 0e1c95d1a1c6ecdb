#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm capacity: what it says of a machine that is made small is what then starts, within 5 %.
# timeout: 120
# alone
. "$(dirname "$0")/lib.sh"
pause=$build/apps/pause
json() { "$lightvm" capacity --net none --format json "$@" "$pause"; }

check 'a figure, and what ends first' jq -e '.fits > 0 and .first == .limits[0].name and .fits == .limits[0].room' <(json)
check '  measured of VMs that were started for it' jq -e '.measured == "probes" and .memory_each > 300000 and .memory_each < 20000000' <(json)
check '  which are gone' test -z "$("$lightvm" ps -aq)"
check 'limits stand in the order in which they end' jq -e '[.limits[].room] | . == sort' <(json)
check 'as a table' grep -q "more VMs of $pause fit; what ends first:" <("$lightvm" capacity --net none "$pause")
check 'a figure that is given' jq -e '.memory_each == 20971520 and .measured == "given"' <(json --each 20M)
check '  more for each, fewer fit' test "$(json --each 200M | jq .fits)" -lt "$(json --each 100M | jq .fits)"
"$lightvm" run -d --net none --name runs "$pause" >/dev/null
check 'one that runs is measured' jq -e '.measured == "running"' <(json)
"$lightvm" rm -f runs
says 'a program that ends' 125 'ended before it could be measured' "$lightvm" capacity /bin/true
check '  nothing is left of it' test -z "$("$lightvm" ps -aq)"
says 'a program that is not there' 127 'there is no program' "$lightvm" capacity nothing-of-this-name
says 'no program' 125 'usage: lightvm capacity' "$lightvm" capacity
says 'a size that is none' 125 'much' "$lightvm" capacity --each much "$pause"

# A machine with few processes: a control group (version 1 or 2) of our own.
group=
for mount in /sys/fs/cgroup/pids /sys/fs/cgroup; do
	own=$(awk -F: -v v1="$([ $mount = /sys/fs/cgroup ] || echo pids)" '$2 == v1 { print $3 }' /proc/self/cgroup | head -n 1)
	group=$mount${own%/}/lightvm-capacity-$$
	[ -n "$own" ] && [ "$(stat -fc %T $mount)" = "$([ $mount = /sys/fs/cgroup ] && echo cgroup2fs || echo cgroupfs)" ] && mkdir "$group" 2>/dev/null &&
		echo 250 2>/dev/null >"$group/pids.max" && break
	[ ! -d "$group" ] || rmdir "$group"
	group=
done
if [ -z "$group" ]; then
	skip 'as many start as it says' 'no control group for processes can be made here'
	finish
fi
# Prints what it says, then starts until one fails, and prints how many did.
cat >"$work/fill.sh" <<'S'
echo $$ >"$1/cgroup.procs" || exit 1
"$2" capacity --net none --format json "$3" | jq -r '"\(.fits) \(.first)"'
n=0
while "$2" run -d --net none "$3" >/dev/null 2>"$4"; do n=$((n + 1)); done
echo $n
S
{ read -r fits first; read -r started; } < <(bash "$work/fill.sh" "$group" "$lightvm" "$pause" "$work/last" 2>"$work/err")
echo "# it says $fits, by $first; $started started; the next one said: $(cat "$work/last")"
check 'the small control group is what ends first' grep -q pids.max <<<"$first"
check 'as many start as it says, within 5 %' test $((100 * (started > fits ? started - fits : fits - started))) -le $((5 * fits))
check '  of which there are many' test "$fits" -ge 50
check '  and who comes too late is told why' grep -q 'no VM more fits this machine: .*pids.max' "$work/last"
"$lightvm" ps -q | xargs -r "$lightvm" rm -f
for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$group" 2>/dev/null && break; await 5 'the group to be empty' bash -c '! grep -q . "$1/cgroup.procs"' - "$group"; done
finish
