#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A guest that wants out of its volume: messages of its own making to the server (volume_attacker.py), and a program in a VM.
# timeout: 120
. "$(dirname "$0")/lib.sh"

busybox=$(command -v busybox)
server=$(dirname "$lightvm")/../volume/lightvm-fs
[ -x "$server" ] || server=$(dirname "$lightvm")/../libexec/lightvm/lightvm-fs
top=$work/top/data
mkdir -p "$top/sub"
echo "top secret $$" >"$work/top/secret"
echo file >"$top/file"
[ "$(id -u)" != 0 ] || mknod "$top/null" c 1 3
within 100 python3 "$(dirname "$0")/volume_attacker.py" "$server" "$top" "top secret $$" || failures=1
check 'what lies beside the directory is as it was' test "$(cat "$work/top/secret")" = "top secret $$"
check 'nothing new lies there' test "$(ls "$work/top")" = $'data\nsecret'

# As a program in a VM, by way of its kernel.
rm -rf "$top" && mkdir -p "$top/sub" && ln -s ../secret "$top/out" && ln -s / "$top/root" && ln -s .. "$top/sub/up"
[ "$(id -u)" != 0 ] || mknod "$top/null" c 1 3
vm() { within 20 "$lightvm" run --rm --net none -v "$top:/data" "$busybox" "$@" 2>&1; }
for path in /data/out /data/../secret /data/sub/../../secret /data/sub/up/../secret "/data/root$work/top/secret"; do
	if [[ $(vm cat "$path") == *secret\ * ]]; then not_ok "$path leads out" 'it was read'; else ok "$path does not lead out"; fi
done
[ ! -e "$top/null" ] || check 'a device of the host is none of the VM' grep -q 'Permission denied' <<<"$(vm cat /data/null)"
check 'nor is one made' grep -q 'not permitted' <<<"$(vm mknod /data/mem c 1 1)"
finish
