#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux guests of several vCPUs that are ended from outside. In a file of its own: the rig's emulator stands still now and then when a guest of a guest starts
# its fourth processor, and what is tried again is then this alone.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux 'kills of several vCPUs'

mkdir -p "$work/root"
cp "$build/tests/guest/guest_linux_end" "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

# None of the threads may be kicked after it has been joined.
statuses=''
for i in 1 2 3 4 5 6; do
	rm -f "$work/out"
	"$monitor" --cpuid-cache "$work/cpuid" --kernel "$linux_kernel" --initrd "$work/initrd" --mem 128M --serial --cpus 4 --append '-- wait' \
		</dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	await 30 'the guest' grep -q '^cpus' "$work/out"
	kill -TERM $pid
	wait $pid || statuses+=" $?"
done
check 'six kills of four vCPUs' test "$statuses" = ' 137 137 137 137 137 137'
finish
