#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm doctor on machines that lack something: what it proposes is done as it stands, and repairs that. The machine's devices and users are copies here.
[ "$(id -u)" != 0 ] || [ -n "${LV_OWN_DEVICES:-}" ] || exec unshare -m env LV_OWN_DEVICES=1 "$0" "$@"
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" != 0 ]; then
	skip 'machines that lack something' 'needs root'
	finish
fi
user=lvdoctor uid=54324
as_user=(env -i PATH="$PATH" HOME="$work/home" USER=$user LIGHTVM_STATE="$work/home/state" setpriv --reuid=$uid --regid=$uid --init-groups)
finding() { "${as_user[@]}" "$lightvm" doctor --format json >"$work/doctor"; jq -r --arg check "$1" ".[] | select(.check == \$check) | .$2" "$work/doctor"; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "$("${@:2}"), not $1"; false; }; }

# Files take the places of the devices: who may use them is what is looked at. The group kvm is made anew.
mkdir "$work/home" "$work/bin"
chmod 755 "$work"
chown $uid:$uid "$work/home"
printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo" # root asks nobody
chmod 755 "$work/bin/sudo"
: >"$work/kvm"
: >"$work/tun"
chmod 600 "$work/kvm" "$work/tun"
cp -a /etc "$work/etc"
sed -i '/^kvm:/d' "$work/etc/group" "$work/etc/gshadow"
echo "$user:x:$uid:$uid::$work/home:/bin/sh" >>"$work/etc/passwd"
echo "$user:x:$uid:" >>"$work/etc/group"
if ! mount --bind "$work/etc" /etc || ! mount --bind "$work/kvm" /dev/kvm; then
	skip 'machines that lack something' 'no file can be mounted over another here'
	finish
fi
if ! "${as_user[@]}" test -x "$build/vmm/lightvm-vmm"; then
	skip 'machines that lack something' 'other users cannot read the build'
	finish
fi
repair() { (export USER=$user PATH="$work/bin:$PATH"; bash -euc "$(finding "$1" fix)"); }

check 'what is needed and missing is its status' is 1 bash -c '"$@" >"$0"; echo $?' "$work/out" "${as_user[@]}" "$lightvm" doctor
check '/dev/kvm of root alone: no group has it' is 'no right to use /dev/kvm, and no group has one (then log in again)' finding 'KVM rights' detail
says '  a start names doctor' 125 '/dev/kvm: no permission; "lightvm doctor" tells how to get it' "${as_user[@]}" "$lightvm" run --net none /bin/true
check '  what it proposes can be done' repair 'KVM rights'
check '    and makes a group' getent group kvm
check '    that the device keeps over a boot' grep -qx 'KERNEL=="kvm", GROUP="kvm", MODE="0660"' /etc/udev/rules.d/65-kvm.rules
check '    and has now' is 'kvm 660' stat -c '%G %a' /dev/kvm
check '  who logs in again may use it' is ok finding 'KVM rights' status
gpasswd -d $user kvm >"$work/out" 2>&1
check '/dev/kvm of a group that he is not in' is 'no right to use /dev/kvm: only root and the group kvm (then log in again)' finding 'KVM rights' detail
check '  what it proposes can be done' repair 'KVM rights'
check '  and he may use it' is ok finding 'KVM rights' status

if [ -e /dev/net/tun ] && mount --bind "$work/tun" /dev/net/tun; then
	check '/dev/net/tun is a right, and no module' is '/dev/net/tun: Permission denied; --net tap and bridge do not work' finding 'tap devices' detail
	says '  a start names doctor' 125 '/dev/net/tun: Permission denied; "lightvm doctor" tells how to repair that' "${as_user[@]}" "$lightvm" run --net tap:lvnone /bin/true
	check '  what it proposes can be done' repair 'tap devices'
	check '  and the next thing is named' is 'no right to make tap devices; --net tap:NAME works with one made before' finding 'tap devices' detail
	umount /dev/net/tun
else
	skip '/dev/net/tun' 'it is missing'
fi

# A machine without the devices.
mkdir "$work/dev"
mount -t tmpfs none "$work/dev"
for name in null zero full random urandom tty; do
	: >"$work/dev/$name"
	mount --bind "/dev/$name" "$work/dev/$name"
done
mount --move "$work/dev" /dev
check 'no /dev/kvm: a module, by its processor' bash -c '[[ $1 =~ ^sudo\ modprobe\ kvm(_intel|_amd)?$ ]]' - "$(finding 'KVM device' fix)"
check '  which is needed' is needed finding 'KVM device' status
check '  what rests on it is not looked at' is 'note note' bash -c 'jq -r ".[] | select(.check == \"KVM rights\" or .check == \"KVM self-test\") | .status" "$1" | xargs' - "$work/doctor"
check 'no /dev/net/tun: a module' is 'sudo modprobe tun' finding 'tap devices' fix
finish
