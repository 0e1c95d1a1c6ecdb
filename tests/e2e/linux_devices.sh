#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The devices of Linux guests, driven by Linux: disks, entropy, console ports, memory that goes back to the host.
# rig
# timeout: 120
. "$(dirname "$0")/lib.sh"
monitor=$build/vmm/lightvm-vmm
if [ "$("$monitor" --probe 2>/dev/null | grep -c page-table)" != 0 ] || ! kvm_usable; then
	skip 'devices of Linux guests' "this machine's KVM runs no Linux guests; the rig carries this test"
	finish
fi
kernel=$("$lightvm" kernel build) || { not_ok 'devices of Linux guests' 'no kernel'; finish; }

# An initial RAM disk with busybox that runs the script of standard input, with /dev/hvc0 as its console.
make_initrd() { # FILE
	local root=$work/root
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt}
	cp "$(command -v busybox)" "$root/bin/busybox"
	cat >"$root/test"
	cat >"$root/init" <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp
		exec </dev/hvc0 >/dev/hvc0 2>&1
		check() { local name=$1; shift; if "$@" >/tmp/out 2>&1; then echo "passed: $name"; else cat /tmp/out; echo "failed: $name"; fi; }
		port() { local n; for n in /sys/class/virtio-ports/*/name; do [ "$(cat $n)" != "lightvm.$1" ] || { n=${n%/name}; echo /dev/${n##*/}; }; done; }
		. /test
		echo 'the end'
		reboot -f
	INIT
	chmod +x "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$1"
}

# linux OPTION...: a VM with the last initial RAM disk; what the guest checked becomes results of this test.
linux() {
	local status=0 line
	timeout -k 5 $((15 * ${LV_TIME_FACTOR:-1})) "$monitor" --kernel "$kernel/vmlinux" --initrd "$work/initrd" --mem 96M \
		--console-log "$work/log" "$@" || status=$?
	while IFS= read -r line; do
		line=${line%$'\r'}
		case $line in
		'passed: '*) ok "${line#*: }" ;;
		'failed: '*) not_ok "${line#*: }" 'see above' ;;
		esac
	done <"$work/log"
	[ $status = 0 ] && grep -q 'the end' "$work/log" || { tail -n 30 "$work/log"; not_ok "a VM with: $*" "status $status"; }
}

# ---- disks, entropy, console ----
truncate -s 8M "$work/first" && head -c 4096 /dev/urandom | dd of="$work/first" conv=notrunc status=none
truncate -s 64M "$work/second" "$work/third"
mkfs.ext4 -q -F -E nodiscard "$work/third"
before=$(stat -c %b "$work/third")
make_initrd "$work/initrd" <<-'TEST'
	word() { [ "$(cat $1)" = "$2" ]; }
	check 'first disk: serial' word /sys/block/vda/serial first
	check 'a serial of 20 characters' word /sys/block/vdb/serial 01234567890123456789
	check 'first disk: size' word /sys/block/vda/size 16384
	check 'first disk is read-only' word /sys/block/vda/ro 1
	check 'no discard on a read-only disk' word /sys/block/vda/queue/discard_max_bytes 0
	dd if=/dev/vda bs=4k count=1 2>/dev/null | sha256sum >/tmp/sum
	cat /tmp/sum
	dd if=/dev/hwrng of=/tmp/random bs=1M count=1 iflag=fullblock 2>/dev/null
	check 'direct writes' dd if=/tmp/random of=/dev/vdb bs=64k oflag=direct
	check 'and reads' sh -c 'dd if=/dev/vdb bs=64k count=16 iflag=direct | cmp - /tmp/random'
	check 'large requests' dd if=/dev/zero of=/dev/vdb bs=4M seek=1 count=8 oflag=direct
	check 'many small requests at once' sh -c 'for i in 1 2 3 4; do dd if=/dev/vdb of=/dev/null bs=512 count=500 skip=$((i * 1000)) & done; wait'
	check 'a write beyond the end' sh -c '! dd if=/tmp/random of=/dev/vdb bs=64k seek=1020 oflag=direct'
	check 'discard of a whole disk' blkdiscard -o 4194304 /dev/vdb
	check 'a mounted disk' mount -t ext4 /dev/vdc /mnt
	check 'files' sh -c 'dd if=/dev/zero of=/mnt/file bs=1M count=24 && sync'
	check 'a file goes' rm /mnt/file
	sync
	check 'fstrim' fstrim /mnt
	umount /mnt
	check 'random numbers of the host' word /sys/class/misc/hw_random/rng_current virtio_rng.0
	check 'are no zeroes' sh -c '[ $(tr -d "\0" </tmp/random | wc -c) -gt 1000000 ]'
	sha256sum </tmp/random
	check 'standard input' sh -c "[ \"\$(cat $(port stdin))\" = 'line of the host' ]"
	echo 'line of the guest' >$(port stdout)
	echo 'complaint of the guest' >$(port stderr)
TEST
echo 'line of the host' | linux --disk "$work/first,ro,serial=first" --disk "$work/second,serial=01234567890123456789" \
	--disk "$work/third" >"$work/out" 2>"$work/err"
cat "$work/out" # the results that linux printed are in it
[ "$(grep -c '^line of the guest$' "$work/out")" = 1 ] && ok 'standard output' || not_ok 'standard output' "$(tail -n 3 "$work/out")"
[ "$(cat "$work/err")" = 'complaint of the guest' ] && ok 'standard error' || not_ok 'standard error' "$(tail -n 3 "$work/err")"
sum() { sha256sum | cut -c 1-64; }
check 'what the guest read is what the disk holds' grep -q "$(head -c 4096 "$work/first" | sum)" "$work/log"
check 'what the guest wrote is on the disk' grep -q "$(head -c 1048576 "$work/second" | sum)" "$work/log"
[ "$(stat -c %b "$work/second")" -lt 20000 ] && ok 'what was discarded takes no room' || not_ok 'what was discarded takes no room' "$(stat -c %b "$work/second") blocks"
[ "$(stat -c %b "$work/third")" -lt $((before + 20000)) ] && ok 'nor does what fstrim found' ||
	not_ok 'nor does what fstrim found' "$before blocks before, $(stat -c %b "$work/third") now"
check 'the file system is whole' fsck.ext4 -fn "$work/third"

# ---- memory that the guest frees goes back to the host ----
make_initrd "$work/initrd" <<-'TEST'
	echo 5 >/sys/module/page_reporting/parameters/page_reporting_order # as our PID 1 does it
	mount -o remount,size=90% /tmp
	dd if=/dev/zero of=/tmp/big bs=1M count=60 2>/dev/null
	echo 'memory is full' >$(port stdout)
	read line <$(port stdin)
	rm /tmp/big
	echo 'memory is free' >$(port stdout)
	read line <$(port stdin)
TEST
mkfifo "$work/in"
exec 3<>"$work/in"
start linux <"$work/in" >"$work/out" 2>"$work/err"
vm_memory() { # KiB of the monitor
	local pid
	pid=$(pgrep -P "$(pgrep -P "$1" timeout)") && awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"
}
below() { local now; now=$(vm_memory "$1") && [ "$now" -lt "$2" ]; }
await 10 'the guest to use its memory' grep -q 'memory is full' "$work/out"
full=$(vm_memory "$pid")
echo >&3
await 10 'the guest to free its memory' grep -q 'memory is free' "$work/out"
if await 10 "the monitor's memory to fall below $((full - 50000)) KiB" below "$pid" $((full - 50000)); then
	ok 'free pages go back to the host'
else
	not_ok 'free pages go back to the host' "$full KiB before, $(vm_memory "$pid") KiB now"
fi
echo >&3
exec 3>&-
wait "$pid"

# ---- the balloon, by the command line ----
run -d --name tied -m 96M --kernel linux --disk "$work/second" "$(command -v busybox)" sleep 600 >/dev/null || not_ok 'a VM with a balloon' 'does not start'
number() { "$lightvm" balloon --format json tied | jq ".$1 // -1"; }
tells() { test "$(number "$1")" "$2" "$3"; }
await 20 'the guest to tell its memory' tells total -gt 60000000
check 'a guest tells its memory' tells free -gt 10000000
check 'inspect knows it too' sh -c "'$lightvm' inspect tied | jq -e '.[0].record.balloon.available > 0'"
check 'take memory' "$lightvm" balloon tied 32M
check 'the guest hands it over' await 20 'the balloon to have 32 MiB' tells actual -eq 33554432
check 'and has less' tells free -lt 60000000
check 'give it back' "$lightvm" balloon tied 0
check 'the guest takes it' await 20 'the balloon to be empty' tells actual -eq 0
refused() { # NAME PATTERN COMMAND...
	local name=$1 pattern=$2
	shift 2
	if "$@" >"$work/refused" 2>&1; then not_ok "$name" 'was accepted'; elif grep -q "$pattern" "$work/refused"; then ok "$name"; else not_ok "$name" "$(cat "$work/refused")"; fi
}
refused 'more than there is' '96M is all the memory of VM' "$lightvm" balloon tied 96M
refused 'no size' '"much" is not a size' "$lightvm" balloon tied much
refused 'a disk that is in use' "$work/second is in use by another VM" run --kernel linux --disk "$work/second" "$(command -v busybox)" true
refused 'readers neither' "$work/second is in use by a VM that writes to it" run --kernel linux --disk "$work/second,ro" "$(command -v busybox)" true
check 'its end' "$lightvm" kill tied
truncate -s 1000 "$work/odd"
refused 'a disk with half a block' '1000 bytes, is not a whole number of 512-byte blocks' run --kernel linux --disk "$work/odd" "$(command -v busybox)" true
finish
