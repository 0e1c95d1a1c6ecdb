#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The configuration "container": what engines build containers with is there, and one (crun) runs a container within a VM, in
# namespaces, under limits, on a bridge with translated addresses.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_container
[ -e "$cache/kernel/container" ] || { skip linux_container 'its kernel is not built: lightvm kernel build --config container'; finish; }
busybox=$(command -v busybox)
inside() { "$lightvm" run --rm --net none --kernel container "$@"; }
gives() { # NAME TEXT COMMAND...
	local name=$1 want=$2 got
	shift 2
	got=$("$@" 2>"$work/err" </dev/null; status=$?; [ $status = 0 ] || echo "status $status")
	[ "$got" = "$want" ] || { printf 'got: %s\n' "$got"; cat "$work/err"; }
	check "$name" test "$got" = "$want"
}

gives 'the controllers of cgroup v2' 'cpu cpuset io memory pids' inside "$busybox" sh -c \
	'echo $(busybox tr " " "\n" </sys/fs/cgroup/cgroup.controllers | busybox sort)'
gives 'user, mount, process, network namespaces' '0 1' inside -u 1000 "$busybox" sh -c 'busybox unshare -U -r -m -p -n -f busybox sh -c "echo \$(busybox id -u) \$\$"'
gives 'a bridge, a pair, a tunnel, a loop device, FUSE' 'yes' inside "$busybox" sh -c \
	'ip() { busybox ip "$@"; }; ip link add br0 type bridge && ip link add v0 type veth peer name v1 && ip link set v0 master br0 &&
	busybox ls /dev/net/tun /dev/fuse /dev/loop-control >/dev/null && echo yes'

if ! command -v crun >/dev/null; then
	skip 'crun runs a container' 'there is no crun: apt-get install crun'
	finish
fi
mkdir -p "$work/bundle/rootfs/bin" "$work/bundle/rootfs/proc" "$work/bundle/rootfs/dev" "$work/bundle/rootfs/sys"
cp "$busybox" "$work/bundle/rootfs/bin/sh"
(cd "$work/bundle" && crun spec)
jq '.process.terminal = false | .process.args = ["sh", "-c", "read p </proc/self/cgroup; echo $$ $p; exit 9"] | .root.readonly = false | del(.process.rlimits) |
	.linux.resources = {memory: {limit: 33554432}, pids: {limit: 50}, cpu: {quota: 50000, period: 100000}}' "$work/bundle/config.json" >"$work/config.json"
mv "$work/config.json" "$work/bundle/config.json"
gives 'crun runs a container' $'1 0::/\nstatus 9' inside -v "$work/bundle:/bundle" "$(command -v crun)" --root /run/crun --cgroup-manager=cgroupfs run -b /bundle one
finish
