# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What end-to-end tests share. A test sources it, does its work in $work, and says "ok NAME", "not ok NAME - WHY" or
# "skip NAME - WHY" for each thing it checks; what else it prints is shown when something failed.
# In the head of a test: "# timeout: SECONDS" (60), and "# alone" if nothing may run beside it.

[ -z "${lv_lib:-}" ] || return 0 # a test that runs another one has it already
lv_lib=1
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
set -uo pipefail

work=$(mktemp -d)
background=()
# The VMs of a test live in its own directory: no test sees another's.
export XDG_RUNTIME_DIR=$work/run LIGHTVM_KEPT=$work/kept
mkdir -m 700 "$XDG_RUNTIME_DIR"
[ -n "${LV_CACHE:-}" ] || own_cache "$work/cache" # tests/run has one for all of its files
cleanup() {
	local pid id
	for pid in ${background[@]+"${background[@]}"}; do kill "$pid" 2>/dev/null; done
	[ ! -x "$lightvm" ] || for id in $("$lightvm" ps -q 2>/dev/null); do "$lightvm" kill "$id" >/dev/null 2>&1; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 143' TERM INT

failures=0
ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s - %s\n' "$1" "$2"; failures=$((failures + 1)); }
skip() { printf 'skip %s - %s\n' "$1" "$2"; }
finish() { exit $((failures > 0)); }

# check NAME COMMAND...: ok if the command succeeds.
check() {
	local name=$1 status=0 words
	shift
	"$@" >"$work/check.out" 2>&1 || status=$?
	if [ $status = 0 ]; then
		ok "$name"
	else
		cat "$work/check.out"
		words=$(tail -n 1 "$work/check.out" | cut -c 1-200)
		not_ok "$name" "status $status from: $*${words:+; last words: $words}"
	fi
}

# within SECONDS COMMAND...: with a limit, which follows the speed of the machine; status 124 if it was met.
within() { timeout $(($1 * ${LV_TIME_FACTOR:-1})) "${@:2}"; }

# Runs something in the background that ends with the test; its pid is in $pid.
start() { "$@" <&0 & pid=$!; background+=("$pid"); }

# LV_KERNEL_KIND: the kernel on which every VM of a test runs, instead of the one that lightvm chooses.
run() { "$lightvm" run ${LV_KERNEL_KIND:+--kernel "$LV_KERNEL_KIND"} "$@"; }

# A guest test program as a process: what it leaves behind goes with the test.
as_process() { mkdir -p "$work/scratch" && TMPDIR=$work/scratch "$@"; }

# same NAME [RUN-OPTION...] -- PROGRAM [ARG...]: stdout and exit status of the program as a VM are those as a process. Standard
# input for both is $work/stdin, if there is one.
same() {
	local name=$1 options=() native=0 vm=0 input=/dev/null
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	[ ! -f "$work/stdin" ] || input=$work/stdin
	as_process "$@" <"$input" >"$work/native.out" 2>"$work/native.err" || native=$?
	run ${options[@]+"${options[@]}"} "$@" <"$input" >"$work/vm.out" 2>"$work/vm.err" || vm=$?
	if [ $native = $vm ] && cmp -s "$work/native.out" "$work/vm.out"; then
		ok "$name"
		return
	fi
	echo "--- as a process, status $native; as a VM, status $vm:"
	diff -u --label process --label vm "$work/native.out" "$work/vm.out" | head -n 60
	tail -n 20 "$work/vm.err"
	if [ $native != $vm ]; then not_ok "$name" "exit status $vm, as a process $native"; else not_ok "$name" "the output differs"; fi
}

# says NAME STATUS TEXT COMMAND...: the command ends with this status and prints a line that holds TEXT on stderr.
says() {
	local name=$1 want=$2 text=$3 status=0
	shift 3
	"$@" >"$work/says.out" 2>"$work/says.err" </dev/null || status=$?
	if [ $status = "$want" ] && grep -qF -- "$text" "$work/says.err"; then
		ok "$name"
		return
	fi
	echo "--- status $status (wanted $want), stderr:"
	cat "$work/says.err"
	not_ok "$name" "no '$text' with status $want"
}

# prints NAME TEXT COMMAND...: standard output is exactly TEXT, with status 0.
prints() {
	local name=$1 want=$2 got
	shift 2
	if got=$("$@" 2>"$work/err" </dev/null) && [ "$got" = "$want" ]; then ok "$name"; else
		printf 'got: %s\n' "$got"
		cat "$work/err"
		not_ok "$name" "not '$want'"
	fi
}

# A TCP port that nothing listens on.
free_port() {
	local port
	while port=$((20000 + RANDOM % 12000)); do
		(: <>/dev/tcp/127.0.0.1/$port) 2>/dev/null || { echo $port; return; }
	done
}
port_open() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
