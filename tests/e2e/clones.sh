#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What a restored VM and a clone have of their own: numbers, names, addresses, clocks; /dev/sysgenid and /dev/template.
# timeout: 400
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1}
program=$build/tests/guest/guest_clone image=$work/clone.lvm
by_hand() { within 100 python3 "$top/tests/e2e/clones.py" "$build/vmm/lightvm-vmm" "$build/libos/libos.elf" "$image" "$program" "$1"; }
echo 0123456789abcdef0123456789abcdef >"$work/machine-id"
"$lightvm" image build -o "$image" -v "$work/machine-id:/etc/machine-id" "$program" >/dev/null

check '/dev/sysgenid, of a VM that is no other one' run "$program" file
check 'a clone has its own numbers and names before its next instruction' by_hand identity
check 'so has one that was made before anybody asked' by_hand made_ahead
check '  of damaged files none is' by_hand damaged_ahead
check 'one that is restored alone is the one that it was' by_hand alone
check 'one that cannot have an id of its own says so' by_hand without_id
check 'clocks know how long it was saved' by_hand clocks
check 'a program waits to be copied, and reads what its copy is to do' by_hand template
if ip tuntap add lvclone mode tap 2>/dev/null && ip addr add 10.8.0.1/24 dev lvclone && ip link set lvclone up; then
	LINK='lvclone 10.8.0.1' check 'connections are reset, or end in silence, or go on; who listens goes on' by_hand connections
else
	skip 'connections are reset, or end in silence, or go on; who listens goes on' 'no tap can be made here'
fi
finish
