# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What tests share that drive the monitor with a Linux kernel, without the command line. Sourced after lib.sh.

monitor=$build/vmm/lightvm-vmm
linux_kernel=${LV_KERNEL:-$cache/kernel/general/vmlinux}

# Ends the test, as skipped, where Linux guests cannot run.
need_linux() { # NAME
	local why=''
	[ "$("$monitor" --probe 2>&1)" != page-table ] || why='this KVM works by page tables; the rig runs it'
	[ -z "$why" ] && [ ! -f "$linux_kernel" ] && why="no kernel: run lightvm kernel build"
	[ -n "$why" ] || return 0
	skip "$1" "$why"
	finish
}

# linux_initrd FILE SCRIPT [PROGRAM=PATH-IN-GUEST]...: an initial RAM disk of busybox and programs, with their libraries. SCRIPT is
# what /init runs, as a shell; when it ends, so does the VM.
linux_initrd() {
	local file=$1 script=$2 root=$work/initrd.d program name library
	shift 2
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,sys,tmp}
	cp /bin/busybox "$root/bin/busybox"
	for name in sh mount ip echo cat sleep reboot ping; do ln -s busybox "$root/bin/$name"; done
	for program; do
		name=$root/${program#*=} program=${program%%=*}
		cp "$program" "$name"
		for library in $(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+'); do
			mkdir -p "$root${library%/*}"
			cp -L "$library" "$root$library"
		done
	done
	cat >"$root/init" <<-INIT
		#!/bin/sh
		export PATH=/bin
		mount -t devtmpfs dev /dev
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		$script
		reboot -f
	INIT
	chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$file"
}
