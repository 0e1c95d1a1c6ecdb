#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# VMs that are killed for want of memory, by the limit of their control group (of version 1 or 2, whichever counts memory here): lightvmd tells it, and
# tells nothing of the kind of one that somebody kills. (Those whose own memory ends: events.sh.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
if [ "$(id -u)" != 0 ]; then
	skip "a limit of a control group" "needs root"
	finish
fi
if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
	group=/sys/fs/cgroup/memory$(awk -F: '$2 == "memory" { print $3 }' /proc/self/cgroup)/lightvm-oom-$$
	[ -d "${group%/*}" ] || group=/sys/fs/cgroup/memory/lightvm-oom-$$
	limit=memory.limit_in_bytes swap=memory.memsw.limit_in_bytes
else
	group=/sys/fs/cgroup/lightvm-oom-$$ limit=memory.max swap=memory.swap.max
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
fi
if ! mkdir "$group" 2>/dev/null || [ ! -w "$group/$limit" ]; then
	rmdir "$group" 2>/dev/null
	skip "a limit of a control group" "no group with memory can be made here"
	finish
fi
trap 'cleanup; rmdir "$group" 2>/dev/null' EXIT
echo 64M >"$group/$limit"
[ ! -w "$group/$swap" ] || echo "$([ "$swap" = memory.swap.max ] && echo 0 || echo 64M)" >"$group/$swap"
inside() { sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"; }
events() { curl -s --unix-socket "$socket" "http://localhost/v1/events?after=0&follow=false&vm=$1" | sed -n 's/^data: //p'; }
told() { events "$1" | jq -es --arg type "$2" 'map(select(.type == $type)) | length == 1' >/dev/null; }

check 'lightvmd starts' start_daemon
check 'VMs start in the place of who starts them' "$lightvm" pool set default --min 0 --max 0
check 'one that takes what its group does not have' inside "$lightvm" run -d --net none -m 512M --name greedy /usr/bin/python3 -c 'a = bytearray(300 << 20); print(len(a))'
check '  is killed, and that is told' await 30 told greedy oom
check '  with whose limit it was' bash -c '[ "$(jq -r "select(.type == \"oom\").attributes.limit" <<<"$1")" = "control group" ]' - "$(events greedy)"
check '  before its end' bash -c '[ "$(jq -r .type <<<"$1" | grep -E "oom|die" | xargs)" = "oom die" ]' - "$(events greedy)"
check 'another one of that group' inside "$lightvm" run -d --net none -m 16M --name modest /usr/bin/sleep 1000
check '  has started' await 20 told modest start
kill -9 "$("$lightvm" inspect -f record.pid modest)"
check '  that somebody kills' await 20 told modest die
check '  has not run out of memory' bash -c '! grep -q oom <<<"$1"' - "$(events modest)"
"$lightvm" rm -f greedy modest >"$work/out" 2>&1
finish
