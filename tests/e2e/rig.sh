#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rig itself: it ends with its command, ends a machine that stands still, and says when its file server runs out of descriptors.
# timeout: 120
. "$(dirname "$0")/lib.sh"
if [ -n "${LV_RIG:-}" ] || ! command -v qemu-system-x86_64 >/dev/null || ! find_rig_kernel; then
	skip 'the rig' "no emulator or no kernel for it; scripts/setup --test fetches them"
	finish
fi
minute=$((60 * ${LV_TIME_FACTOR:-1}))
rig() { LV_RIG_WATCH=1 "$top/tests/rig/run" -m 512 "$@" >"$work/out" 2>"$work/err" </dev/null; }

rig -t $minute bash -c 'sleep 1000 & echo first; exit 3'
check 'a process that is left behind with the output open does not hold the machine' test "$? $(cat "$work/out")" = '3 first'

rig -t 150 -s 6 bash -c 'echo first; sleep 1000'
check 'a machine that says nothing is ended: status' test "$? $(cat "$work/out")" = '124 first'
check 'and the reason' grep -q 'nothing came out of the machine for 6 s: bash -c' "$work/err"

# The files that were looked up stay known in the machine, each with its descriptor outside.
limited() { # DESCRIPTORS WHAT-IS-SAID
	start bash -c 'ulimit -n "$1"; exec env LV_RIG_WATCH=1 "$2" -m 512 -t "$3" bash -c "set -- /usr/bin/*; stat -c %n \"\${@:1:800}\"; exec sleep 1000"' \
		- "$1" "$top/tests/rig/run" $minute >"$work/out" 2>"$work/err" </dev/null
	await 40 "the rig's word on descriptors" grep -qE "$2" "$work/err" || { cat "$work/err"; return 1; }
	kill "$pid"
	wait "$pid"
	test $? = 143
}
check 'descriptors that run short are told' limited 1000 'virtiofsd holds [0-9]+ of its 1000 descriptors: when they run out'
check 'descriptors that ran out are told' limited 600 'virtiofsd holds all of its 600 descriptors: no more files can be opened'

rig -t $minute bash -c 'find /var/lib/dpkg/info -name "*.list" | wc -l; env | grep ^LIGHTVM_CACHE; stat -f -c %T /var/lib/dpkg/info'
check "dpkg's lists come as one file; images are made in the machine's RAM" \
	test "$(xargs <"$work/out")" = "$(find /var/lib/dpkg/info -name '*.list' | wc -l) LIGHTVM_CACHE=/run/lightvm-cache tmpfs"

# A kernel that took the counter for a slower one would give its guests clocks that are too fast.
cc -o "$work/tsc_khz" "$top/tests/rig/tsc_khz.c"
rig -t $minute bash -c 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource; awk "/^cpu MHz/ { print int(\$4 * 1000) }" /proc/cpuinfo'
read -rd '' clock khz <"$work/out"
echo "the machine: $clock, $khz kHz; this one: $("$work/tsc_khz") kHz"
check 'its kernel knows how fast the time-stamp counter counts' test "$clock" = tsc -a $((khz * 1000 / $("$work/tsc_khz"))) -ge 999 -a $((khz * 1000 / $("$work/tsc_khz"))) -le 1001
finish
