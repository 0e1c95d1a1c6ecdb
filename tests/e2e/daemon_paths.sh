#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Paths in requests that are no files: pipes that nobody writes to, devices, loops, directories. Each is refused at once, and holds up nobody.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
check "it starts" start_daemon
mkfifo "$work/pipe" "$work/pipe.lvm"
mkdir "$work/directory"
ln -s pipe "$work/link"
ln -s loop "$work/loop"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$work/socket"
places=("$work/pipe" "$work/pipe.lvm" "$work/link" "$work/loop" "$work/directory" "$work/socket" /dev/ptmx /dev/zero /dev/tty /proc/self/fd/0)
# refused NAME METHOD PATH JSON: by what the request says, within seconds.
refused() {
	local began=$SECONDS
	api "${@:2}" >"$work/answers.out"
	if [[ $(cat "$work/status") = 4?? ]] && ((SECONDS - began < 5 * ${LV_TIME_FACTOR:-1})); then ok "$1"; else
		cat "$work/answers.out"
		not_ok "$1" "status $(cat "$work/status") after $((SECONDS - began)) s"
	fi
}
for place in "${places[@]}"; do
	what=${place#"$work/"}
	refused "$what as an image" POST /v1/vms "{\"image\": \"$place\"}"
	refused "$what as a kernel" POST /v1/vms "{\"image\": \"/usr/bin/true\", \"kernel\": \"$place\"}"
	refused "$what as a kernel of Linux" POST /v1/vms "{\"linux\": {\"kernel\": \"$place\", \"initrd\": \"$place\"}}"
	refused "$what as a disk" POST /v1/vms "{\"image\": \"/usr/bin/true\", \"disks\": [{\"path\": \"$place\"}]}"
	refused "$what as a disk that is only read" POST /v1/vms "{\"image\": \"/usr/bin/true\", \"disks\": [{\"path\": \"$place\", \"read_only\": true}]}"
	[ "$what" = directory ] || refused "$what as a volume" POST /v1/vms "{\"image\": \"/usr/bin/true\", \"volumes\": [\"$place:/x\"]}"
	refused "$what as a program to pack" POST /v1/images "{\"program\": \"$place\"}"
done
idle() { [ "$(curl -s --unix-socket "$socket" http://localhost/v1/health | jq .tasks)" = 0 ]; }
check "no process is left that waits" await 10 idle
says "and the command line is not held either" 126 "$work/pipe" within 10 "$lightvm" run "$work/pipe"
finish
