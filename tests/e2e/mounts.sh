#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --read-only, --tmpfs and -v ...:ro: what can be changed in a VM's file system, and what cannot. On the library OS; linux_mounts.sh has Linux guests.
# timeout: 120
. "$(dirname "$0")/lib.sh"
changes=$build/tests/guest/guest_changes
mkdir -p "$work/data/sub" "$work/file"
echo content >"$work/data/file"
echo below >"$work/data/sub/file"
echo one >"$work/file/one"

# tries NAME LINES RUN-OPTION... -- OPERATION...: these are the lines that it prints.
tries() {
	local name=$1 want=$2 options=()
	shift 2
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	run --rm --net none ${options[@]+"${options[@]}"} "$changes" "$@" >"$work/got" 2>"$work/err" </dev/null
	if [ "$(cat "$work/got")" = "$want" ]; then ok "$name"; else
		diff <(echo "$want") "$work/got"
		cat "$work/err"
		not_ok "$name" 'it is not so'
	fi
}
each() { local error=$1; shift; while [ $# -gt 0 ]; do echo "$1: $error"; shift; done; }

tries 'a volume with :ro cannot be changed in any way' "$(each EROFS 'write /data/file' 'append /data/file' 'append /data/new' 'trunc /data/file' 'truncate /data/file' \
	'create /data/new' 'create /data/sub/new' 'mkdir /data/dir' 'unlink /data/file' 'unlink /data/sub/file' 'mkfifo /data/fifo' 'tmpfile /data' 'bind /data/socket' \
	'chmod /data/file' 'chown /data/sub' 'times /data/file' 'access /data/file' 'access /data' 'rename /data/file' 'link /data/file' 'symlink target')" \
	--copy "$work/data:/data:ro" -- write /data/file append /data/file append /data/new trunc /data/file truncate /data/file create /data/new create /data/sub/new \
	mkdir /data/dir unlink /data/file unlink /data/sub/file mkfifo /data/fifo tmpfile /data bind /data/socket chmod /data/file chown /data/sub times /data/file \
	access /data/file access /data rename /data/file /data/other link /data/file /data/other symlink target /data/link
tries '  it is read, and nothing leads out of it or into it' $'content\nread /data/file: ok\nbelow\nread /data/sub/file: ok\nlink /data/file: EXDEV\ncreate /tmp/x: ok\nrename /tmp/x: EXDEV' \
	--copy "$work/data:/data:ro" -- read /data/file read /data/sub/file link /data/file /tmp/x create /tmp/x rename /tmp/x /data/x
tries '  its root stays where it is' $'rmdir /data: EBUSY\nrename /data: EBUSY' --copy "$work/data:/data:ro" -- rmdir /data rename /data /other
tries '  what is beside it can be changed' $'create /new: ok\nmkdir /srv2: ok' --copy "$work/data:/data:ro" -- create /new mkdir /srv2
tries 'a file as a volume with :ro' $'write /etc/one: EROFS\nunlink /etc/one: EBUSY\none\nread /etc/one: ok\ncreate /etc/two: ok' \
	--copy "$work/file/one:/etc/one:ro" -- write /etc/one unlink /etc/one read /etc/one create /etc/two
tries 'without :ro it can be changed' $'write /data/file: ok\ncreate /data/new: ok\nunlink /data/file: ok' --copy "$work/data:/data" -- write /data/file create /data/new unlink /data/file
tries '  one below another that cannot' $'create /data/new: EROFS\ncreate /data/sub/new: ok\nrename /data/sub/file: ok' \
	--copy "$work/data:/data:ro" --copy "$work/data/sub:/data/sub" -- create /data/new create /data/sub/new rename /data/sub/file /data/sub/moved
check '  the host has what it had' test "$(cat "$work/data/file" "$work/data/sub/file")" = $'content\nbelow'

tries '--read-only: nothing can be changed' "$(each EROFS 'create /new' 'create /tmp/new' 'mkdir /etc/new' 'unlink /etc/hosts' 'chmod /etc/hosts' 'write /etc/hosts' 'rename /etc' 'rename /etc/hosts')" \
	--read-only -- create /new create /tmp/new mkdir /etc/new unlink /etc/hosts chmod /etc/hosts write /etc/hosts rename /etc /other rename /etc/hosts /etc/other
tries '  but devices, volumes and tmpfs' $'write /dev/null: ok\ncreate /data/new: ok\ncreate /data/sub/new: ok\ncreate /scratch/new: ok\nmkdir /scratch/dir: ok\ncreate /scratch/dir/x: ok' \
	--read-only --tmpfs /scratch --copy "$work/data:/data" -- write /dev/null create /data/new create /data/sub/new create /scratch/new mkdir /scratch/dir create /scratch/dir/x
tries '  and not volumes with :ro' $'create /data/new: EROFS\nbelow\nread /data/sub/file: ok' --read-only --copy "$work/data:/data:ro" -- create /data/new read /data/sub/file

tries '--tmpfs has a bound, and gets back what is removed' $'1024 KiB rw\ntell /scratch: ok\nfill /scratch/a: ENOSPC\nunlink /scratch/a: ok\nfill /scratch/b: ok\nfill /scratch/b: ENOSPC\ntruncate /scratch/b: ok\nfill /scratch/c: ok' \
	--tmpfs /scratch:size=1m -- tell /scratch fill /scratch/a 1025 unlink /scratch/a fill /scratch/b 1000 fill /scratch/b 100 truncate /scratch/b fill /scratch/c 900
tries '  its files do not go elsewhere, nor are others full' $'fill /scratch/a: ENOSPC\nfill /tmp/a: ok\nrename /tmp/a: EXDEV\nlink /scratch/a: EXDEV' \
	--tmpfs /scratch:size=64k -- fill /scratch/a 100 fill /tmp/a 100 rename /tmp/a /scratch/b link /scratch/a /tmp/b
tries '  its mode is 1777, or as it says' $'1777\nmode /one: ok\n700\nmode /two/three: ok\n755\nmode /two: ok' --tmpfs /one --tmpfs /two/three:mode=700,rw,nosuid -- mode /one mode /two/three mode /two
tries '  it lies over what the image has' $'read /data/file: ENOENT\ncreate /data/file: ok\nrmdir /data: EBUSY' --copy "$work/data:/data" --tmpfs /data -- read /data/file create /data/file rmdir /data
mounted() { run --rm --net none --read-only --tmpfs /scratch:size=1m --copy "$work/data:/data:ro" "$(command -v busybox)" cat /proc/self/mounts; }
mounted >"$work/mounts"
check '/proc/self/mounts tells' bash -c 'grep -q " / overlay ro" "$1" && grep -q " /scratch tmpfs rw.*size=1024k" "$1" && grep -q " /data overlay ro" "$1"' - "$work/mounts"
got=$(run --rm --net none --tmpfs /work -w /work "$(command -v busybox)" pwd)
check 'a program starts in a tmpfs' test "$got" = /work

tries '--mount, in other words' $'content\nread /data/file: ok\ncreate /data/x: EROFS\n1024 KiB rw\ntell /t: ok\n700\nmode /t: ok' --mount "type=bind,source=$work/data,target=/data,readonly" \
	--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700 -- read /data/file create /data/x tell /t mode /t

# They are in the configuration, and hold for the next start.
run --name again --net none --read-only --copy "$work/data:/data:ro" "$changes" create /data/x create /x >"$work/got"
check 'the configuration has them' jq -e 'map(select(.kind == "read_only") | .path) == ["/", "/data"]' <("$lightvm" inspect -f config.mounts again)
"$lightvm" start -a again >"$work/again"
check '  for the next start, too' cmp "$work/got" "$work/again"
"$lightvm" rm -f again

bad() { says "$1" 125 "$2" run --rm "${@:3}" /bin/true; }
bad '--tmpfs of no path' '"tmp" is not an absolute path' --tmpfs tmp
bad '--tmpfs of /' '/ itself cannot be' --tmpfs /
bad '--tmpfs of /proc' '/proc is the kernel' --tmpfs /proc
bad '--tmpfs with a size that is none' '"size=lots" is none of' --tmpfs /x:size=lots
bad '--tmpfs with size 0' '"size=0" is none of' --tmpfs /x:size=0
bad '--tmpfs with a mode that is none' '"mode=999" is none of' --tmpfs /x:mode=999
bad '--tmpfs with noexec' '"noexec" is not there: the VM holds what runs in it' --tmpfs /x:noexec
bad '--tmpfs with a path that is too long' 'at most 255 bytes' --tmpfs "/$(printf 'x%.0s' {1..255})"
bad '--tmpfs over a file' 'the image has a file there' --tmpfs /etc/passwd
bad '--tmpfs below a file' 'Not a directory' --tmpfs /etc/passwd/x
bad 'too many of them' 'more than 32' $(for i in {1..33}; do echo --tmpfs "/t$i"; done)
bad '--mount of a volume that has no name' 'is no name of a volume' --mount source=data/sub,target=/data
bad '--mount with a word that is none' '"propagation" is not a word' --mount type=bind,source=/a,target=/b,propagation=private
bad '--mount without a target' 'neither type=bind with source and target' --mount type=bind,source=/a
bad '-v with another word' '"rx" is not known' -v "$work/data:/data:rx"
finish
