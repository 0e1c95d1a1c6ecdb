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
