#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What a user can get wrong with Linux guests: each mistake is named, with the value and what to do.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
hello=$build/apps/hello
monitor=$build/vmm/lightvm-vmm

# ---- what the command line finds
says 'an unknown kernel' 125 'there is no kernel "nonesuch"' run --kernel nonesuch "$hello"
says 'a kernel that is nearly known' 125 'did you mean "linux"?' run --kernel linus "$hello"
# Where it would not run, nobody is sent to build it.
not_built='is not built yet; run: lightvm kernel build'
[ "$("$monitor" --probe 2>&1)" != page-table ] || not_built='KVM works by page tables, on which Linux guests do not run'
says 'a kernel that was not built' 125 "$not_built" env LIGHTVM_CACHE="$work/empty" "$lightvm" run --kernel linux "$hello"
[ "$not_built" = "${not_built#KVM}" ] || base_not_built=$not_built
says 'base, not built' 125 "${base_not_built:-lightvm kernel build --config base}" env LIGHTVM_CACHE="$work/empty" "$lightvm" run --kernel base "$hello"
says 'a missing kernel file' 125 '/no/such/vmlinux: No such file or directory' run --kernel /no/such/vmlinux "$hello"
says 'a directory' 125 '--kernel /tmp: not a file' run --kernel /tmp "$hello"
says 'a text' 125 'not a kernel: neither a bzImage nor an ELF vmlinux' run --kernel "$top/README.md" "$hello"
says 'a program' 125 'a program, not a kernel' run --kernel /bin/ls "$hello"
printf '\037\213xxxx' >"$work/vmlinux.gz"
says 'a packed kernel' 125 'a gzip file; unpack it first' run --kernel "$work/vmlinux.gz" "$hello"
printf '\177ELF\001\001\001%0200d' 0 >"$work/vmlinux32"
says 'a 32-bit kernel' 125 'a 32-bit kernel; VMs start 64-bit kernels only' run --kernel "$work/vmlinux32" "$hello"
says 'more vCPUs than allowed' 125 '--cpus: 33 is out of range (1 to 32)' run --cpus 33 "$hello"
says 'no vCPUs' 125 'out of range (1 to 32)' run --cpus 0 "$hello"
says 'vCPUs on the library OS' 125 '--cpus is for Linux guests' run --kernel libos --cpus 2 "$hello"
says 'an initial RAM disk on the library OS' 125 '--initrd is for Linux guests' run --kernel libos --initrd /bin/ls "$hello"

# The monitor's own options, before it looks at anything else.
mkdir "$work/sockets"
says 'a vsock directory that is missing' 125 '--vsock: /no/such/directory: No such file or directory' "$monitor" --kernel /dev/null --vsock /no/such/directory
says 'a vsock descriptor that is not open' 125 '--vsock: descriptor 99 is not open' "$monitor" --kernel /dev/null --vsock fd:99
says 'a vsock address that is taken' 125 '--vsock: cid=2: 0, 1 and 2 are taken by convention' "$monitor" --kernel /dev/null --vsock fd:0,cid=2
says 'an unknown vsock key' 125 "--vsock: 'x=1' is neither dir=DIR nor cid=N" "$monitor" --kernel /dev/null --vsock fd:0,x=1
says 'two vsock devices' 125 '--vsock: a VM has one vsock device' "$monitor" --kernel /dev/null --vsock fd:0 --vsock fd:0
says 'vsock on the library OS' 125 '--vsock is for Linux guests (--kernel)' "$monitor" --libos /dev/null --image /dev/null --vsock fd:0 -- x
touch "$work/sockets/vsock"
says 'a vsock socket that is there already' 125 'sockets/vsock is there already; remove it if no VM uses it' "$monitor" --kernel /dev/null --vsock "$work/sockets"
# The VM is built before its devices are looked at; where Linux guests do not run, that is where it ends.
if "$lightvm" doctor | grep -q "works by page tables"; then
	skip 'a vsock descriptor that is no socket' 'KVM works by page tables here; the rig carries this'
else
	says 'a vsock descriptor that is no socket' 125 'vsock device (it wants a listening Unix stream socket)' "$monitor" --kernel "$build/tests/guest/guest_hostile_mmio" --vsock fd:0
	# Where rights cannot be dropped, a state is not even looked at: this one is none.
	refusing() { unshare -Ur bash -c 'echo 0 >/proc/sys/user/max_mnt_namespaces || exit 99; "$@"' - "$@"; }
	says 'a state is read after the rights are gone' 125 'dropping rights, step "namespaces"' refusing "$monitor" --kernel /dev/null --jail full --restore /dev/null,/dev/null
	says '  and is read' 125 'the saved VM cannot be restored: the state is no regular file' "$monitor" --kernel /dev/null --jail full --restore /dev/null,/dev/null
fi
says 'more queues than a tap has' 125 'a tap has at most 4 queues' "$monitor" --kernel /dev/null --net tap:fd:0,fd:0,fd:0,fd:0,fd:0
for option in --uid=5 --gid=5 --cwd=/tmp --env=A=B --hostname=x; do
	says "$option, which a Linux guest has from its archive" 125 'are for the library OS (--libos)' "$monitor" --kernel /dev/null "$option"
done
says 'an option that did nothing' 125 'there is no option --log-level' "$monitor" --kernel /dev/null --log-level debug
says 'several queues of passt' 125 'passt has one queue' "$monitor" --kernel /dev/null --net passt:fd:0,fd:0
says 'several queues on the library OS' 125 'several queues are for Linux guests' "$monitor" --libos /dev/null --image /dev/null --net tap:fd:0,fd:0 -- x

says 'no program' 125 'which program or image?' run
says 'no program for the library OS' 125 'which program?' run --kernel libos
printf 'x%.0s' {1..1000} >"$work/short"
says 'a disk whose last block is short' 125 '1000 bytes, is not a whole number of 512-byte blocks' run --disk "$work/short" "$hello"
: >"$work/nothing"
says 'an empty disk' 125 '0 bytes, is not a whole number of 512-byte blocks' run --disk "$work/nothing" "$hello"
says 'a missing disk' 125 '/no/such/disk: No such file or directory' run --disk /no/such/disk "$hello"
says 'a disk that is none' 125 'neither a file nor a block device' run --disk /dev/null "$hello"
truncate -s 1M "$work/disk"
says 'an unknown disk option' 125 '"rw" is none of ro, overlay and serial=S' run --disk "$work/disk,rw" "$hello"
says 'a serial number that is too long' 125 'serial=123456789012345678901" is none of' run --disk "$work/disk,serial=123456789012345678901" "$hello"
says 'an unknown configuration' 125 'did you mean "general"?' "$lightvm" kernel build --config generall
printf 'CONFIG_A=y\nwhat\n' >"$work/bad.config"
says 'a line that is no option' 125 'bad.config:2: "what" is neither CONFIG_NAME=VALUE nor a comment' "$lightvm" kernel build --config "$work/bad.config"
says 'a missing source' 125 '/no/linux.tar.xz: No such file' "$lightvm" kernel build --source /no/linux.tar.xz
says 'kernel inspect of what is not there' 125 'there is no kernel "zzzz"' "$lightvm" kernel inspect zzzz
says 'kernel rm of nothing' 125 'which kernel?' "$lightvm" kernel rm
check 'kernel ls of an empty cache' test "$(LIGHTVM_CACHE=$work/empty "$lightvm" kernel ls -q | wc -l)" = 0
if ls /usr/src/linux-source-*.tar.xz >/dev/null 2>&1 && [ -z "${LV_RIG:-}" ]; then # emulated, it would take a minute
	printf '#include base\nCONFIG_NOSUCH=y\n# CONFIG_EPOLL is not set\nCONFIG_IPV6=y\n' >"$work/lightvm-test.config"
	says 'options that Linux does not take' 125 'does not take 2 of its options' "$lightvm" kernel build --config "$work/lightvm-test.config"
	check 'they are named' grep -q 'CONFIG_NOSUCH CONFIG_IPV6$' "$work/says.err"
	rm -rf "$cache"/kernel/.objects-lightvm-test-*
fi

# ---- what only the monitor can see
if [ "$("$monitor" --probe 2>&1)" = page-table ] && [ -f "$linux_kernel" ]; then
	says 'page-table KVM says what to use instead' 125 '--kernel libos' run --kernel "$linux_kernel" "$hello"
fi
[ -f "$linux_kernel" ] || { skip 'the monitor' 'no kernel: run lightvm kernel build'; finish; }
[ "$("$monitor" --probe 2>&1)" != page-table ] || finish
says 'a kernel larger than the memory' 125 'give it more (--mem' run --kernel "$linux_kernel" -m 8M "$hello"
truncate -s 60M "$work/initrd"
says 'an initial RAM disk that does not fit' 125 'the initial RAM disk takes 61440 KiB' run --kernel "$linux_kernel" --initrd "$work/initrd" -m 64M "$hello"
head -c 4096 "$linux_kernel" >"$work/cut"
says 'a kernel that is cut off' 125 '--kernel' run --kernel "$work/cut" "$hello"
says 'a command line that is too long' 125 'command line has' run --kernel "$linux_kernel" --append "$(printf 'x%.0s' {1..5000})" "$hello"
finish
