#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The toolstack as a library: a program that is not the command line starts, lists and ends VMs, and nothing is left of them.
# timeout: 300
. "$(dirname "$0")/lib.sh"
count=1000
[ -z "${LV_RIG:-}" ] || count=50
# On a slow or busy machine fewer: what leaks with each VM shows after a hundred.
[ "${LV_TIME_FACTOR:-1}" -le 2 ] || count=$((count / 5))
# What a thread keeps back of freed memory counts as used, and differs from VM to VM.
export GLIBC_TUNABLES=glibc.malloc.tcache_count=0
export LIGHTVM_VMM=$build/vmm/lightvm-vmm LIGHTVM_LIBOS=$build/libos/libos.elf

# model KIND: a configuration to make VMs from.
model() {
	"$lightvm" run -d --name "model-$1" --net "$1" "$build/tests/guest/guest_waiter" here >/dev/null
	mkdir "$work/$1"
	cp "$XDG_RUNTIME_DIR/lightvm/vms/$("$lightvm" inspect "model-$1" | jq -r '.[0].id')/config.json" "$work/$1"
	"$lightvm" rm -f "model-$1"
}
model none
model passt
check "$count VMs leave nothing" "$build/tests/node/node_cycle" "$work/none" $count
check "$((count / 10)) VMs with a network leave nothing" "$build/tests/node/node_cycle" "$work/passt" $((count / 10))
none() { [ -z "$(pgrep -f -- '--name cycle --control')" ]; }
check 'no process is left' await 10 'the end of all monitors' none
sed 's|"image": ".*lvm"|"image": "/no/such/image"|' "$work/none/config.json" >"$work/passt/config.json"
says 'an image that is not there' 1 'VM 1: /no/such/image: No such file or directory' "$build/tests/node/node_cycle" "$work/passt" 1
check 'and no directory' test "$(ls "$XDG_RUNTIME_DIR/lightvm/vms" | wc -l)" = 0
finish
