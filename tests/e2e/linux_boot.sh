#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux kernels as the monitor starts and ends them: formats, processors, memory, every way to end, and files that are no kernels.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux 'Linux kernels'

mkdir -p "$work/root"
cp "$build/tests/guest/guest_linux_end" "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

# vm STATUS-WANTED NAME OPTION...: runs a kernel with that initial RAM disk; its words are in $work/out, the monitor's in $work/err.
vm() {
	local want=$1 name=$2 status=0
	shift 2
	within 60 "$monitor" --cpuid-cache "$work/cpuid" --status "$work/status" --initrd "$work/initrd" --mem 128M --serial "$@" \
		</dev/null >"$work/out" 2>"$work/err" || status=$?
	if [ $status = "$want" ]; then ok "$name"; else
		tail -n 20 "$work/out" "$work/err"
		not_ok "$name" "status $status, not $want"
	fi
}
# The reason that the monitor left in the status record.
reason() { strings -n 10 "$work/status" | grep -o "$1" | head -n 1; }

vm 42 'vmlinux by its PVH entry: exit status' --kernel "$linux_kernel" --append '-- exit 42'
check '  one processor, the memory that was asked for' grep -qE '^cpus 1 memory 1[012][0-9] MiB' "$work/out"
vm 7 'bzImage by its 64-bit entry: exit status, 3 processors' --kernel "${linux_kernel%vmlinux}bzImage" --cpus 3 --append '-- exit 7'
check '  three processors' grep -q '^cpus 3 ' "$work/out"
vm 0 'a reset by the keyboard controller' --kernel "$linux_kernel" --append '-- reset'
vm 0 'power-off' --kernel "$linux_kernel" --cpus 2 --append '-- off'
vm 0 'halt' --kernel "$linux_kernel" --cpus 2 --append '-- halt'
if find_rig_kernel; then
	vm 0 "power-off of a distribution's kernel, by ACPI" --kernel "$rig_kernel" --append '-- off'
fi
vm 134 'a triple fault' --kernel "$linux_kernel" --append 'reboot=t -- reset'
check '  is called one' test "$(reason 'triple fault')" = 'triple fault'
vm 134 'a panic' --kernel "$linux_kernel" --append '-- panic'
check '  is called one' test "$(reason 'kernel panicked')" = 'kernel panicked'
vm 134 'a panic of a kernel that was told to stay' --kernel "$linux_kernel" --append 'panic=0 -- panic'

# As many devices as there can be: the interrupts of the last ones lie beyond those of an old PC.
linux_initrd "$work/initrd" 'for disk in /dev/vd?; do dd if=$disk bs=512 count=1 2>/dev/null; done'
disks=()
for i in $(seq 13); do
	printf 'disk %02d says hello\n' "$i" >"$work/disk$i"
	truncate -s 64K "$work/disk$i"
	disks+=(--disk "$work/disk$i,ro")
done
vm 0 '16 devices' --kernel "$linux_kernel" "${disks[@]}" --append 'foo=1 -- words of init'
check '  13 disks read' test "$(grep -ac 'says hello' "$work/out")" = 13
says 'a 17th device' 125 'more' "$monitor" --kernel "$linux_kernel" "${disks[@]}" --disk "$work/disk1,ro"

says 'not a kernel' 125 'neither an ELF file nor a bzImage' "$monitor" --kernel "$top/README.md"
: >"$work/empty"
says 'an empty file' 125 'an empty file' "$monitor" --kernel "$work/empty"
says 'an ELF file, but no kernel' 125 'CONFIG_PVH' "$monitor" --kernel "$build/tests/guest/guest_linux_end"
head -c 1000000 "${linux_kernel%vmlinux}bzImage" >"$work/cut"
says 'a bzImage that is cut off' 125 'cut off' "$monitor" --kernel "$work/cut"
says 'a kernel larger than memory' 125 'the VM has 8' "$monitor" --kernel "$linux_kernel" --mem 8M
head -c 200M /dev/zero >"$work/big"
says 'memory that does not suffice for the start' 125 'MiB, and the VM has 16: give it more' "$monitor" --kernel "$linux_kernel" --mem 16M --initrd "$work/initrd"
says 'an initial RAM disk that does not fit' 125 'takes 204800 KiB' "$monitor" --kernel "$linux_kernel" --mem 128M --initrd "$work/big"
says 'an empty initial RAM disk' 125 'the file is empty' "$monitor" --kernel "$linux_kernel" --initrd "$work/empty"
says 'too many vCPUs' 125 '33 is more than 32' "$monitor" --kernel "$linux_kernel" --cpus 33
says 'no vCPU' 125 'at least one' "$monitor" --kernel "$linux_kernel" --cpus 0
says 'a command line that is too long' 125 'this kernel takes 2047' "$monitor" --kernel "$linux_kernel" --append "$(printf 'x%.0s' $(seq 2100))"
says 'a library OS and a kernel' 125 'one of them' "$monitor" --kernel "$linux_kernel" --libos "$build/libos/libos.elf"
finish
