#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Every guest test program as a process and as a VM: the same lines, the same exit status.
# timeout: 240
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
export GUEST_ONE=1 GUEST_EMPTY='' GUEST_SPACE='two words, "quoted"'

# guest NAME [RUN-OPTION...] [-- ARG...]: one program; what is not "ok" in its output says which fact does not hold.
program() {
	local name=$1 options=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
	[ $# = 0 ] || shift
	same "guest $name" ${options[@]+"${options[@]}"} -- "${guest}$name" "$@"
}

program empty
program args -e GUEST_ONE=1 -e GUEST_EMPTY= -e "GUEST_SPACE=$GUEST_SPACE" -- one '' 'three words' $'tab\tnewline\n' -x --
program terminal
for name in callsites memory misc stale pipes polling signals sigthreads threads timers clocks futex floating processor sockets echo; do
	program $name
done
for name in attributes edges ends limits local locks loopback names owner processes jobs sockopt netedges urgent vdso watches splices sysv mqueues temporary; do program $name; done
for name in procfiles aio groups forks leases cpuid beneath corners passing rseq; do program $name; done
# Where the process cannot have what they need, what the VM says of itself must do: root, and a file system with extended attributes.
alone() { run "$guest$1" >"$work/vm.out" 2>&1 && ok "guest $1" || { cat "$work/vm.out"; not_ok "guest $1" 'a fact does not hold'; }; }
for name in rights orders settime reach execs machine; do
	if [ "$(id -u)" = 0 ]; then program $name; else alone $name; fi
done
if [ "$(id -u)" = 0 ] && as_process "${guest}xattr_rules" >"$work/native.out"; then program xattr_rules; else alone xattr_rules; fi
program large -m 128M

# As many threads as there is memory for; the process would take the machine's.
if run -m 12M "${guest}threads" full >"$work/vm.out" 2>&1; then ok 'guest threads full'; else
	cat "$work/vm.out"
	not_ok 'guest threads full' 'a fact does not hold'
fi

# Memory that is not what a system call was told: also while it waits for a disk, which for the process is a file, and for its input.
program usermem
program stepping
truncate -s 4M "$work/disk"
cp "$work/disk" "$work/disk.process"
as_process "${guest}usermem" disk "$work/disk.process" >"$work/native.out"
run --disk "$work/disk" "${guest}usermem" disk /dev/vda >"$work/vm.out" 2>"$work/vm.err"
vm=$?
if [ $vm = 0 ] && diff "$work/native.out" "$work/vm.out"; then ok 'guest usermem disk'; else
	cat "$work/vm.out" "$work/vm.err"
	not_ok 'guest usermem disk' "status $vm"
fi
mkfifo "$work/fifo"
run "${guest}usermem" stdin <"$work/fifo" >"$work/vm.out" 2>"$work/vm.err" &
vm=$!
exec {input}>"$work/fifo"
for _ in {1..200}; do
	! grep -q waiting "$work/vm.err" || break
	sleep 0.05
done
echo 'a line' >&$input
exec {input}>&-
wait $vm
vm=$?
if [ $vm = 0 ] && grep -qx 'all good' "$work/vm.out"; then ok 'guest usermem stdin'; else
	cat "$work/vm.out" "$work/vm.err"
	not_ok 'guest usermem stdin' "status $vm"
fi

# Files that come with the image: the process gets a copy, at the same path that the VM has them at.
cp -a "$top/tests/data/image" "$work/image"
run --copy "$work/image:$work/image" "${guest}files" "$work/image" >"$work/vm.out" 2>"$work/vm.err"
vm=$?
check 'image files on the host are untouched' diff -r "$top/tests/data/image" "$work/image"
as_process "${guest}files" "$work/image" >"$work/native.out" 2>"$work/native.err"
if [ $vm = $? ] && diff -u "$work/native.out" "$work/vm.out"; then ok 'guest files'; else cat "$work/vm.err"; not_ok 'guest files' "status $vm"; fi

# Standard input, output and error apart from each other.
seq 1 20000 >"$work/stdin"
program stdio
if cmp "$work/native.err" "$work/vm.err"; then ok 'stderr of guest stdio'; else not_ok 'stderr of guest stdio' 'differs'; fi
rm "$work/stdin"

for how in exit0 exit3 exit255 exit256 signal15 signal9 signal2 signal10 quick thread-exit last-thread; do
	program end -- $how
	# What a shell says of a process; but not of a user's own doing, and not of a program that exits.
	case $how in signal9) told=SIGKILL ;; signal10) told=SIGUSR1 ;; *) told= ;; esac
	said=$(sed -n 's/^lightvm: the program was ended by \([^,]*\), which it raised itself$/\1/p' "$work/vm.err")
	if [ "$said" = "$told" ]; then ok "what is said of $how"; else not_ok "what is said of $how" "'$said' instead of '$told'"; fi
done
# Ends by a fault: the report goes to stderr, standard output and exit status are a process'.
for how in abort segv fpe ill trap hlt overflow jump; do
	program end -- $how
	if [ "$how" = abort ] || grep -qE '(end\.c|main|end|poke_nothing|divide|overflow)' "$work/vm.err"; then ok "report of $how"; else
		cat "$work/vm.err"
		not_ok "report of $how" 'names no function of the program'
	fi
done
finish
