#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A whole distribution: Debian's root on a block device to its login prompt, on our kernel and on Debian's own cloud kernel with
# the initial RAM disk that Debian makes for it.
# timeout: 100
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux distribution

# boots NAME OPTION...: the login prompt comes, and the machine ends when it is told to.
boots() {
	local name=$1 status=0
	shift
	cp --sparse=always "$debian_root" "$work/disk"
	mkfifo "$work/in"
	start "$lightvm" run --rm --name guest -m 512M --disk "$work/disk" "$@" <>"$work/in" >"$work/out" 2>&1
	check "$name: the login prompt" await 40 'the login prompt' grep -q 'guest login:' "$work/out"
	"$lightvm" kill guest >"$work/kill" 2>&1
	wait "$pid" || status=$?
	tail -n 30 "$work/out" # shown when something failed
	check "$name: it ends when it is killed" test $status = 137
	rm -f "$work/in"
}

if ! find_debian_root; then
	skip 'Debian' 'there is no root disk: scripts/setup --test makes it with debootstrap'
	finish
fi
boots 'Debian on general' --kernel linux --cpus 2 --append 'root=/dev/vda rw'
if find_rig_initrd; then
	boots 'Debian on its own kernel' --kernel "$rig_kernel" --initrd "$rig_initrd" --append 'root=/dev/vda rw'
else
	skip 'Debian on its own kernel' 'there is no initial RAM disk of it: scripts/setup --test makes it'
fi
finish
