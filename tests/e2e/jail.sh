#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a monitor has left once its guest runs: descriptors, rights, limits.
# timeout: 120
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }
monitor_of() { "$lightvm" inspect "$1" | jq '[.. | .pid? // empty] | first'; }
status_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }

"$lightvm" run -d --name kept "${guest}waiter" up >/dev/null
await 10 'the line "up"' contains up "$lightvm" logs kept
pid=$(monitor_of kept)
check 'the record names the monitor' grep -qa lightvm-vmm "/proc/$pid/cmdline"
open=$(for fd in /proc/"$pid"/fd/*; do readlink "$fd"; done)
for done in /dev/kvm cpuid libos.elf '[.]lvm' cache/lightvm; do
	check "no descriptor of $done" bash -c '! grep -q -- "$1" <<<"$2"' - "$done" "$open"
done
for set in CapInh CapPrm CapEff CapAmb; do
	check "$set is empty" test "$(status_of "$pid" $set)" = 0000000000000000
done
check 'no new privileges' test "$(status_of "$pid" NoNewPrivs)" = 1
check 'a filter' test "$(status_of "$pid" Seccomp)" = 2
check 'no environment' test ! -s "/proc/$pid/environ"
limit() { awk -v name="$1" 'index($0, name) == 1 { sub(name, ""); print $1 }' "/proc/$pid/limits"; }
check 'no core file' test "$(limit 'Max core file size')" = 0
check 'few descriptors' test "$(limit 'Max open files')" -le 160
mapped=$(($(awk '{ print $1 }' "/proc/$pid/statm") * $(getconf PAGESIZE)))
space=$(limit 'Max address space')
check 'address space: what is mapped, and less than 300 MiB besides' test "$space" -ge "$mapped" -a "$space" -le $((mapped + 300 * 1024 * 1024))
"$lightvm" rm -f kept
finish
