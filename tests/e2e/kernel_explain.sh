#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm kernel explain, diff: of kernels that are made up here, and of the one that is in the cache. No VM.
# timeout: 120
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real=$LIGHTVM_CACHE/kernel/general
. "$(dirname "${BASH_SOURCE[0]}")/lib_kernels.sh"
explain() { "$lightvm" kernel explain --kernel one "$@"; }

kernel one CONFIG_NET=y CONFIG_HZ=100 '# CONFIG_OLD is not set'
kernel two CONFIG_NET=y CONFIG_HZ=250 CONFIG_INET=y

says 'the source is not unpacked' 125 'the source of kernel one (linux-made.tar.xz) is not unpacked; that does: lightvm kernel build --force' explain NET
tree=$store/.source-linux-made.tar.xz-1-2
mkdir -p "$tree/net"
printf 'config NET\n\tbool "Networking"\nconfig INET\n\tbool "TCP/IP"\n\tdepends on NET && !OLD\n' >"$tree/Kconfig"
printf 'obj-$(CONFIG_NET) += net/\n' >"$tree/Kbuild"
printf 'obj-$(CONFIG_INET) += tcp.o\n' >"$tree/net/Makefile"

check 'an option that is there' test "$(explain NET)" = "$(printf 'CONFIG_NET\n  kernel one has it: y\n  Kconfig:1: bool, Networking')"
check 'an option that is not' test "$(explain CONFIG_INET)" = "$(printf 'CONFIG_INET\n  kernel one does not have it\n  Kconfig:3: bool, TCP/IP\n  depends on NET && !OLD: holds')"
check 'a file' test "$(explain net/tcp.c)" = \
	"$(printf 'net/tcp.c\n  needs CONFIG_INET (net/Makefile:1), which kernel one does not have\n  needs CONFIG_NET (Kbuild:1), which kernel one has')"
# An archive of the same name with other contents: what was built of which is noted; where it is not, nothing is guessed.
mkdir -p "$store/.source-linux-made.tar.xz-9-9"
printf 'config NET\n\tbool "Another net"\n' >"$store/.source-linux-made.tar.xz-9-9/Kconfig"
says 'two sources, of which one is its own' 125 'the source of kernel one (linux-made.tar.xz) is not unpacked' explain NET
for id in 1-2 9-9 3-4; do
	printf '{"release": "6.1", "source": "linux-made.tar.xz", "source_id": "linux-made.tar.xz-%s", "built": 100}\n' $id >"$store/one-0123456789ab/meta.json"
	case $id in
	1-2) check '  the one that is noted' grep -q 'bool, Networking' <(explain NET) ;;
	9-9) check '  or the other one' grep -q 'bool, Another net' <(explain NET) ;;
	*) says '  or one that is gone' 125 'is not unpacked' explain NET ;;
	esac
done
rm -r "$store/.source-linux-made.tar.xz-9-9"
kernel one CONFIG_NET=y CONFIG_HZ=100 '# CONFIG_OLD is not set'
says 'an option that Linux does not know' 125 'the source of kernel one has no option CONFIG_NOSUCH' explain NOSUCH
says 'a file that no Makefile names' 125 'net/udp.o: no Makefile names it' explain net/udp.c
says 'a kernel that is not there' 125 'there is no kernel "onne"; did you mean "one"?' "$lightvm" kernel explain --kernel onne NET
says 'nothing to explain' 125 'OPTION|FILE' "$lightvm" kernel explain
printf 'config NET\n\twhat\n' >"$tree/Kconfig"
says 'a Kconfig file that is not understood' 125 'Kconfig:2: that is not understood: "what"' explain NET
printf 'endif\n' >"$tree/net/Makefile"
says 'a Makefile that is not understood' 125 'net/Makefile:1: no if is open here: "endif"' explain net/tcp.c

check 'diff tells options' test "$("$lightvm" kernel diff one two | grep -v '^---\|^+++')" = "$(printf '%s\n' -HZ=100 +HZ=250 +INET=y)"
check 'and sizes' test "$("$lightvm" kernel diff one two | head -n 1)" = '--- one-0123456789ab vmlinux 2K, bzImage 0'
check 'no difference, no line' test "$("$lightvm" kernel diff one one | grep -vc '^---\|^+++')" = 0
says 'diff with one that is not there' 125 'there is no kernel "three"' "$lightvm" kernel diff one three
says 'diff of one alone' 125 'KERNEL KERNEL' "$lightvm" kernel diff one
kernel bad 'no option'
says 'a configuration that is damaged' 125 'bad-0123456789ab/config: that is no configuration of a kernel' "$lightvm" kernel diff one bad

# ---- Linux' own files
[ -z "${LV_RIG:-}" ] || { skip "Linux' own files" "1,600 of them through an emulated machine's file system take too long; they are read outside of it"; finish; }
export LIGHTVM_CACHE=${real%/kernel/general}
if [ ! -e "$real/config" ] || ! ls -d "${real%/*}"/.source-*/Kconfig >/dev/null 2>&1; then
	skip "Linux' own files" 'no kernel with its source is in the cache: run lightvm kernel build'
	finish
fi
said=$("$lightvm" kernel explain VIRTIO_NET net/ipv4/tcp.c)
for line in 'kernel general has it: y' "its configuration says so, below: Lupine's 19" 'depends on VIRTIO: holds' 'needs CONFIG_INET (net/Makefile:'; do
	check "general: $line" grep -qF "$line" <<<"$said"
done
# Whatever our configuration asks for has a place in Linux' Kconfig files.
wanted=$(grep -ohE '^CONFIG_\w+=y' "$top"/tinyx/kernel/base.config | cut -d= -f1 | sort -u)
"$lightvm" kernel explain $wanted >"$work/said" 2>"$work/said.err"
same_count() { test "$(grep -c '^CONFIG_' "$work/said")" = "$(wc -w <<<"$wanted")"; }
check 'every option of base is found in Linux' same_count
finish
