# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the benchmarks share; sourced after scripts/lib.sh.

results=$build/bench/results
mkdir -p "$results"
runs=$build/bench/runs
boots=$build/bench/boots
vmm=$build/vmm/lightvm-vmm
libos=$build/libos/libos.elf

# Real-time priority, where it is allowed: what else the machine does is not measured with it.
calm=()
! chrt -r 10 true 2>/dev/null || calm=(chrt -r 10)

# One row of the table: figure FILE NAME VALUE BOUND, where BOUND is "<= NUMBER", ">= NUMBER" or "" (no promise), then UNIT.
figure() {
	local file=$1 name=$2 value=$3 bound=$4 unit=$5 met=''
	[ -z "$bound" ] || met=$(awk -v v="$value" -v b="${bound#?= }" -v op="${bound%% *}" 'BEGIN { print (op == "<=" ? v <= b : v >= b) ? "true" : "false" }')
	jq -nc --arg name "$name" --argjson value "$value" --arg unit "$unit" --arg bound "$bound" --argjson met "${met:-null}" \
		'{$name, $value, $unit, $bound, $met}' >>"$results/$file.json"
	printf '  %-74s %10s %-6s %-9s %s\n' "$name" "$value" "$unit" "$bound" "$(case $met in true) echo met ;; false) echo MISSED ;; esac)"
}
begin() { : >"$results/$1.json"; printf '\n%s\n' "$2"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
median() { jq -r .median_us; }

# prices: sets trap_ns and page_ns, what a system call that traps and the first touch of a page cost in a VM here (bench/prices.c), the least of three.
prices() {
	local trap page
	trap_ns='' page_ns=''
	for _ in 1 2 3; do
		read -r trap page <<<"$("${calm[@]}" "$lightvm" run --net none "$build/bench/prices")"
		[ -n "$page" ] || die "bench/prices did not print two prices in a VM"
		[ -n "$trap_ns" ] && [ "$trap_ns" -le "$trap" ] || trap_ns=$trap
		[ -n "$page_ns" ] && [ "$page_ns" -le "$page" ] || page_ns=$page
	done
}
# Whether one of the two is dear, after prices.
dear() { [ "$trap_ns" -ge 8000 ] || [ "$page_ns" -ge 12000 ]; }

# The libraries of a dynamic program, as they lie in the file system.
libraries() { ldd "$1" | grep -o '/[^ ]*'; }

# image FILE PATH...: an image, made as lightvm makes it, that holds these files at their own paths.
image() {
	local file=$1 tree
	shift
	tree=$(mktemp -d)
	tar -chf - "$@" 2>/dev/null | tar -xf - -C "$tree"
	mkdir -p "$tree/tmp" "$tree/dev" "$tree/proc"
	mkfs.erofs -Enoinline_data -T0 --all-root "$file" "$tree" >/dev/null
	rm -rf "$tree"
}

# State goes to /run, which is in memory on every machine that booted by itself; where it is not, both sides of a comparison get such a one.
with_run() {
	if [ "$(id -u)" = 0 ] && [ "$(stat -f -c %T /run)" != tmpfs ]; then unshare -m sh -c 'mount -t tmpfs none /run && exec "$@"' sh "$@"; else "$@"; fi
}

have_crun() { command -v crun >/dev/null && [ "$(id -u)" = 0 ] || { say "  (crun is not compared: it needs the package crun, and root)"; return 1; }; }
# crun_bundle DIR PROGRAM: a container of a static program, without networks. Limits are dropped from the configuration, because a machine may withhold that right.
crun_bundle() {
	mkdir -p "$1/bundle/rootfs"
	cp "$2" "$1/bundle/rootfs/"
	(cd "$1/bundle" && crun spec && jq --arg program "/${2##*/}" '.process.args = [$program] | .process.terminal = false | del(.process.rlimits)' config.json >c && mv c config.json)
}
# crun_us DIR RUNS: the empty program as such a container, its median, at normal priority, since crun's cgroup does not take real-time. crun refuses hybrid cgroups
# (v1 with v2 beside it), so the v2 hierarchy is unmounted in a mount namespace of its own.
crun_us() {
	crun_bundle "$1" "$build/apps/empty" && cd "$1/bundle" || return
	with_run unshare -m sh -c '! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified; exec "$@"' sh "$runs" -n "$2" crun run "lightvm-bench-$$" | median
}
# serve LEAST PRIORITY...: a lightvmd of so many ready shells, it and they with that priority; returns when they are there. Its pid is in $daemon, what it says in $work/log.
serve() {
	local least=$1
	shift
	"$@" "$build/daemon/lightvmd" 2>"$work/log" &
	daemon=$!
	await 60 "lightvmd, which says: $(tail -n 1 "$work/log")" "$lightvm" pool set default --min "$least" --max 64
	await_shells default "$least"
}
shells_are() { [ "$("$lightvm" pool ls --format json | jq --arg name "$1" '.pools[] | select(.name == $name).ready')" -ge "$2" ]; }
# await_shells POOL COUNT: until so many are ready.
await_shells() { await 120 "$2 shells in the pool $1" shells_are "$1" "$2"; }
