#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm kernel specialise: from evidence to a configuration, of kernels that are made up here, and by Linux' own files. No VM, nothing is compiled.
# timeout: 120
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real=$LIGHTVM_CACHE
. "$(dirname "${BASH_SOURCE[0]}")/lib_kernels.sh"
source_id=linux-made.tar.xz-1-2
specialise() { "$lightvm" kernel specialise --traced traced "$@"; }

cd "$work"
printf 'lightvm-evidence 1 lost 0\nboot ffffffff80200010 start -1 swapper\nprogram ffffffff80200210 tcp_sendmsg 44 nginx\nend\n' >nginx.evidence
says 'no evidence' 125 'specialise by what? Record a run: lightvm run --kernel trace PROGRAM 2>FILE; then give that: --evidence FILE' specialise
says 'general is not built' 125 'the kernel "general" is not built yet; run: lightvm kernel build' specialise --evidence nginx.evidence -o out.config
kernel general CONFIG_NET=y CONFIG_INET=y CONFIG_SMP=y
says 'its source is not unpacked' 125 'the source of kernel general (linux-made.tar.xz) is not unpacked; that does: lightvm kernel build --force' specialise --evidence nginx.evidence -o out.config
tree=$store/.source-linux-made.tar.xz-1-2
mkdir -p "$tree/net"
printf 'config NET\n\tbool "Networking"\nconfig INET\n\tbool "TCP/IP"\n\tdepends on NET\nconfig SMP\n\tbool "Processors"\n' >"$tree/Kconfig"
printf 'obj-$(CONFIG_NET) += net/\nobj-y += init/\n' >"$tree/Kbuild"
printf 'obj-$(CONFIG_INET) += tcp.o\n' >"$tree/net/Makefile"
says 'the traced kernel is not there' 125 'there is no kernel "traced"' specialise --evidence nginx.evidence -o out.config
says 'nor is the one that is made for it' 125 'the kernel "trace" is not built yet; run: lightvm kernel build --config trace' "$lightvm" kernel specialise --evidence nginx.evidence -o out.config
kernel traced CONFIG_NET=y
says 'it has no map' 125 '/map: kernel traced was built without CONFIG_VMLINUX_MAP' specialise --evidence nginx.evidence -o out.config
echo nothing >"$store/traced/map"
says 'its map is none' 125 '/map: that is no map of a linker' specialise --evidence nginx.evidence -o out.config
printf 'Linker script and memory map\n .text 0xffffffff80200000 0x100 init/main.o\n .text 0xffffffff80200200 0x100 net/tcp.o\n' >"$store/traced/map"

check 'addresses become options' specialise -q --evidence nginx.evidence -o out.config --save saved.evidence
check '  each with its reason' diff <(sed 1,3d out.config) <(printf '%s\n' '# tcp_sendmsg of net/tcp.o (net/Makefile:1) was called by nginx in sendto' CONFIG_INET=y \
	'# tcp_sendmsg of net/tcp.o (Kbuild:1) was called by nginx in sendto' CONFIG_NET=y)
check '  on top of base' grep -qx '#include base' out.config
check '  the evidence is saved with names' diff saved.evidence <(printf '%s\n' 'lightvm-evidence 1 lost 0' 'boot init/main.o start -1 swapper' 'program net/tcp.o tcp_sendmsg 44 nginx' end)
rm -r "$store"/traced*
check '  and says the same without the traced kernel' specialise -q --evidence saved.evidence -o again.config
check '  to the byte' cmp out.config again.config
check 'to standard output' cmp out.config <(specialise -q --evidence saved.evidence -o -)
check 'what is found is told' grep -qx 'kernel saved: functions of 1 object files were called; 2 options on top of base' <(specialise --evidence saved.evidence -o again.config 2>&1)
check '  of one evidence twice no more' grep -q 'functions of 1 object files were called' <(specialise --evidence saved.evidence --evidence saved.evidence -o again.config 2>&1)
check 'an option more' specialise -q --evidence saved.evidence --with CONFIG_SMP -o more.config
check '  it is there' grep -qx CONFIG_SMP=y more.config
printf 'lightvm-evidence 1 lost 2\nprogram init/main.o f 1 x\nprogram gone/far.o f 1 x\nend\n' >other.evidence
check 'of two runs what either used' specialise --evidence other.evidence --evidence saved.evidence -o both.config
check '  that is' grep -qx CONFIG_INET=y both.config
specialise --evidence other.evidence --evidence saved.evidence -o both.config 2>told
check '  what was lost is told' grep -q 'other: 2 calls were of functions that there was no room to note' told
check '  and what no Makefile names' grep -q 'gone/far.o: no Makefile names it' told

bad() { # TEXT MESSAGE
	printf "$1" >bad.evidence
	says "bad evidence: $2" 125 "$2" specialise --evidence bad.evidence -o out.config
}
bad 'hello\n' 'bad.evidence: there is no evidence in it'
bad 'lightvm-evidence 7 lost 0\n' 'bad.evidence: "lightvm-evidence 7 lost 0": that version of evidence is not known'
bad 'lightvm-evidence 1 lost 0\nprogram net/tcp.o tcp_sendmsg 44 nginx\n' 'bad.evidence: it ends at line 2, without the line "end": it is not whole'
bad 'lightvm-evidence 1 lost 0\nprogram\n' 'bad.evidence:2: "program" is no line of evidence (PHASE PLACE FUNCTION CALL PROCESS)'
bad 'lightvm-evidence 1 lost 0\nboot init/main.o f 1 x\nend\n' 'bad.evidence: the program has called nothing: it was not started'
says 'a file that is not there' 125 'none.evidence: No such file or directory' specialise --evidence none.evidence
says 'an option that general has not' 125 'CONFIG_NOSUCH: kernel general does not have that option' specialise --evidence saved.evidence --with NOSUCH -o out.config
says 'a name that is taken' 125 'its kernel cannot be called "general"' specialise --evidence saved.evidence --name general
says 'a name that is none' 125 'its kernel cannot be called "a b"' specialise --evidence saved.evidence --name 'a b'
says 'nowhere to write to' 125 'nowhere/out.config: No such file or directory' specialise -q --evidence saved.evidence -o nowhere/out.config
kernel traced CONFIG_NET=y
printf 'Linker script and memory map\n .text 0xffffffff80300000 0x100 init/main.o\n' >"$store/traced/map"
says "another kernel's evidence" 125 'nginx.evidence: 2 of its 2 addresses are not those of the functions that it names: it is the evidence of another kernel' specialise --evidence nginx.evidence -o out.config

check 'a program that does nothing takes away what it called' specialise -q --evidence saved.evidence --baseline saved.evidence -o none.config
check '  all of it' test "$(grep -c ^CONFIG_ none.config)" = 0
says 'a baseline that is none' 125 'out.config: there is no evidence in it' specialise --evidence saved.evidence --baseline out.config -o none.config

# ---- what a kernel was asked for is kept with it
kernel mine CONFIG_NET=y CONFIG_INET=y
cp out.config "$store/mine/asked"
check 'explain tells the reason' grep -qF 'its configuration says so, below: tcp_sendmsg of net/tcp.o (net/Makefile:1) was called by nginx in sendto' <("$lightvm" kernel explain --kernel mine INET)

# ---- Linux' own files, and evidence that kernel trace has told (of a program that prints a line, of one that does nothing, and of nginx, which served pages)
[ -z "${LV_RIG:-}" ] || { skip "Linux' own files" "1,600 of them through an emulated machine's file system take too long; they are read outside of it"; finish; }
export LIGHTVM_CACHE=$real
if [ ! -e "$real/kernel/general/config" ] || ! ls -d "$real"/kernel/.source-*/Kconfig >/dev/null 2>&1; then
	skip "Linux' own files" 'no kernel with its source is in the cache: run lightvm kernel build'
	finish
fi
evidence=$top/tests/data/evidence
check 'hello: what every process does' specialise -q --evidence "$evidence/hello" -o hello.config
check '  seems to need shared memory' grep -qE '^# .* of ipc/\w+\.o \(ipc/Makefile:[0-9]+\) was called by hello in ' <(grep -B1 '^CONFIG_SYSVIPC=y$' hello.config)
check '  and asks for little' test "$(sed '/^# --- nobody/,$d' hello.config | grep -c ^CONFIG_)" -le 8
check 'hello: what it does itself' specialise -q --evidence "$evidence/hello" --baseline "$evidence/empty" -o hello.config
check '  needs nothing on top of base' test "$(sed '/^# --- nobody/,$d' hello.config | grep -c ^CONFIG_)" = 0
check 'nginx' specialise -q --evidence "$evidence/nginx" --baseline "$evidence/empty" -o nginx.config
for option in INET NET UNIX VIRTIO_NET PROC_SYSCTL; do check "  needs $option" grep -qx "CONFIG_$option=y" nginx.config; done
for option in EXT4_FS FUSE_FS IO_URING AIO POSIX_MQUEUE VSOCKETS SMP PACKET; do check "  not $option" test "$(grep -c "^CONFIG_$option=" nginx.config)" = 0; done
check '  which call asked for it is told' grep -qE '^# \w+ of drivers/net/virtio_net\.o \(drivers/net/Makefile:[0-9]+\) was called by nginx in ' nginx.config
finish
