#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# --read-only, --tmpfs and -v ...:ro in Linux guests, whose PID 1 mounts what tests/e2e/mounts.sh has of the library OS.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_mounts
LV_KERNEL_KIND=linux
changes=$build/tests/guest/guest_changes
mkdir -p "$work/data/sub" "$work/kept/sub"
echo content >"$work/data/file"
echo kept >"$work/kept/file"
tries() { # NAME LINES RUN-OPTION... -- OPERATION...
	local name=$1 want=$2 options=()
	shift 2
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	run --rm --net none "${options[@]}" "$changes" "${@:2}" >"$work/got" 2>"$work/err" </dev/null
	if [ "$(cat "$work/got")" = "$want" ]; then ok "$name"; else
		diff <(echo "$want") "$work/got"
		cat "$work/err"
		not_ok "$name" 'it is not so'
	fi
}
tries 'a volume with :ro, one below it, and a tmpfs with a bound' \
	$'write /kept/file: EROFS\ncreate /kept/new: EROFS\nkept\nread /kept/file: ok\ncreate /kept/sub/new: ok\ncreate /new: ok\ncreate /tmp/new: ok\n1024 KiB rw\ntell /a/b: ok\n700\nmode /a/b: ok\nfill /a/b/x: ENOSPC\nrename /a/b/x: EXDEV' \
	-v "$work/kept:/kept:ro" -v "$work/data:/kept/sub" --tmpfs /a/b:size=1m,mode=700 -- write /kept/file create /kept/new read /kept/file create /kept/sub/new create /new \
	create /tmp/new tell /a/b mode /a/b fill /a/b/x 1100 rename /a/b/x /tmp/x
rm "$work/data/new" # of the one before, which wrote there
tries '--read-only: but volumes, devices and tmpfs' \
	$'create /new: EROFS\ncreate /tmp/new: EROFS\nchmod /etc/hosts: EROFS\ncreate /data/new: ok\ncreate /scratch/new: ok\nwrite /dev/null: ok\ncreate /kept/new: EROFS' \
	--read-only -v "$work/data:/data" -v "$work/kept:/kept:ro" --tmpfs /scratch -- create /new create /tmp/new chmod /etc/hosts create /data/new create /scratch/new write /dev/null \
	create /kept/new
finish
