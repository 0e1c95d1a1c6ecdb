#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# How VMs with a Linux kernel end by the command line, and where the words of those go that have nothing of ours in them.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_ends
busybox=$(command -v busybox)

# ends NAME WANTED ARG...: `lightvm run` of these ends by itself with that status.
ends() {
	local name=$1 want=$2 status=0
	shift 2
	timeout $((20 * ${LV_TIME_FACTOR:-1})) "$lightvm" run --rm --net none "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	[ $status = "$want" ] || tail -n 5 "$work/out" "$work/err"
	check "$name" test $status = "$want"
}

ends 'poweroff -f' 0 --kernel linux "$busybox" poweroff -f
ends 'halt -f' 0 --kernel linux --cpus 2 "$busybox" halt -f
ends 'the least memory' 0 --kernel linux -m 20M "$busybox" true
ends 'words behind --' 3 --kernel linux --append 'foo=1 -- x y' "$busybox" sh -c 'exit 3'

"$lightvm" run -d --name off --kernel linux --net none "$busybox" sleep 1000 >"$work/id"
"$lightvm" exec off busybox poweroff -f >"$work/out" 2>&1
check 'a VM that is switched off from within has ended' test "$(timeout 60 "$lightvm" wait off)" = 0

# ---- nothing of ours in the guest: the serial port is the console
# stty waits until the port has sent what was printed.
linux_initrd "$work/initrd" 'echo last words; busybox stty sane </dev/console; exit 1'
bare() { "$lightvm" run --net none --kernel linux --initrd "$work/initrd" "$@"; }
# Nobody in it takes signals. Who sends SIGUSR1 does not mean its end.
linux_initrd "$work/untold.initrd" 'echo up; busybox sleep 1000'
start env --default-signal=TERM "$lightvm" run --name untold --net none --kernel linux --initrd "$work/untold.initrd" >"$work/out" 2>"$work/err" </dev/null
await 20 'its first words' grep -q '^up' "$work/out"
kill -USR1 "$pid"
check 'bare: SIGUSR1 is said to reach nobody' await 10 'the message' grep -q 'SIGUSR1 did not reach the program: no guest of this kind takes it' "$work/err"
check '  and ends nothing' test "$("$lightvm" ps -q | wc -l)" = 1
kill -TERM "$pid"
wait "$pid"
check '  SIGTERM does' test $? = 137

for options in '-d -i' '-d'; do
	# shellcheck disable=SC2086
	bare $options --name "bare${options// /}" >"$work/id" </dev/null
	check "bare, $options: a panic is its end" test "$(timeout 100 "$lightvm" wait "bare${options// /}")" = 134
	"$lightvm" logs "bare${options// /}" 2>/dev/null | tr -d '\r' >"$work/log"
	check '  the log has what it said' grep -qx 'last words' "$work/log"
	check '  and the panic' grep -q 'Kernel panic - not syncing' "$work/log"
	check '  and console=ttyS0 is on its command line once' test "$(grep -a 'Kernel command line' "$work/log" | grep -o 'console=ttyS0' | wc -l)" = 1
done
check 'and nowhere else' test "$(find "${XDG_RUNTIME_DIR:-/run}" -name monitor.log -size +2k 2>/dev/null | wc -l)" = 0

# ---- file systems on disks are whole afterwards, without a journal's help
truncate -s 32M "$work/layer" "$work/data"
mkfs.ext4 -q -F "$work/layer"
mkfs.ext4 -q -F "$work/data"
ends 'a layer and a disk that were written to' 0 --kernel linux --disk "$work/layer,overlay" --disk "$work/data" "$busybox" sh -c \
	'echo kept >/kept; busybox mkdir -p /tmp/m; busybox mount -t ext4 /dev/vdc /tmp/m; (exec 9>/tmp/m/open; busybox sleep 1000) & while [ ! -e /tmp/m/open ]; do :; done; echo a >/tmp/m/a'
for disk in layer data; do
	check "  $disk: nothing is left to be done" test "$(dumpe2fs -h "$work/$disk" 2>&1 | grep -c needs_recovery)" = 0
	check "  $disk: it has no errors" e2fsck -fn "$work/$disk"
done
check '  and no file system complains at its start' test "$("$lightvm" run --rm --net none --kernel linux --disk "$work/layer,overlay" "$busybox" sh -c 'busybox dmesg | busybox grep -c "couldn.t mount"')" = 0

# ---- a host that fails a disk says so
mkdir "$work/small"
mount -t tmpfs -o size=8M tmpfs "$work/small"
truncate -s 64M "$work/small/disk"
"$lightvm" run -d --name fails --kernel linux --net none --disk "$work/small/disk" "$busybox" sh -c \
	'busybox dd if=/dev/zero of=/dev/vdb bs=1M count=32 oflag=direct; busybox sleep 1000' >"$work/id"
failed() { "$lightvm" inspect fails | jq -e '[.. | .error? | strings] | any(test("the host failed [0-9]+ requests, the last one with: No space left on device"))'; }
check 'a full file system under a disk: inspect says so' await 30 'the error' failed
"$lightvm" kill fails >"$work/out"
umount "$work/small"

# ---- a kernel's file that is written to while a VM runs
cp "$linux_kernel" "$work/vmlinux"
"$lightvm" run -d --name own --kernel "$work/vmlinux" --net none "$busybox" sleep 1000 >"$work/id"
: >"$work/vmlinux"
check "a kernel's file that changes harms no VM that runs" "$lightvm" exec own busybox sh -c 'dmesg >/dev/null; find / -xdev >/dev/null; true'
check 'it ends as it would' "$lightvm" stop own
finish
