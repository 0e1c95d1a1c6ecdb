#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Live volumes: directories of the host, which a VM reads and writes in place. What a hostile guest tries is volumes_attack.sh's.
# timeout: 240
. "$(dirname "$0")/lib.sh"

busybox=$(command -v busybox)
data=$work/data
vm() { within 20 "$lightvm" run --rm --net none "$@"; }
fresh() { rm -rf "$data" && mkdir -p "$data/sub" && echo hello >"$data/file" && echo deep >"$data/sub/deep" && ln -s file "$data/link"; }
# gives NAME WANTED RUN-ARGUMENT...: status 0, and what it prints.
gives() {
	local got status=0
	got=$(vm "${@:3}" 2>&1) || status=$?
	if [ $status = 0 ] && [ "$got" = "$2" ]; then ok "$1"; else not_ok "$1" "status $status, got: $got"; fi
}
# refused NAME TEXT RUN-ARGUMENT...: not status 0, and a message with the text.
refused() {
	local got status=0
	got=$(vm "${@:3}" 2>&1) || status=$?
	if [ $status != 0 ] && [[ $got == *"$2"* ]]; then ok "$1"; else not_ok "$1" "status $status, got: $got"; fi
}

# What the host has, the VM sees, and the other way round.
fresh
gives 'a file of the host' hello -v "$data:/data" "$busybox" cat /data/file
gives 'through a link, and below' $'hello\ndeep' -v "$data:/data" "$busybox" cat /data/link /data/sub/deep
gives 'a listing' $'file\nlink\nsub' -v "$data:/data" "$busybox" ls /data
cd "$work" || exit 1
gives 'a relative path' hello -v ./data:/data "$busybox" cat /data/file
gives 'the working directory' hello -v ./data:/data -w /data "$busybox" cat file
vm -v "$data:/data" "$busybox" sh -c 'echo one >/data/new && echo two >>/data/new'
check 'what the VM writes is on the host' test "$(cat "$data/new")" = $'one\ntwo'
vm -v "$data:/data" "$busybox" cp /bin/busybox /data/copy 2>/dev/null || vm -v "$data:/data" "$busybox" cp "$busybox" /data/copy
check 'a large file, whole' cmp "$busybox" "$data/copy"
check 'threads and processes take files away from calls that wait, and make the same directories' \
	within 60 "$lightvm" run --rm --net none -v "$data:/data" "$build/tests/guest/guest_forks" volume /data
rm -rf "$data/mapped" "$data/taken" "$data"/made*
mkdir "$data/watched"
TMPDIR=$data/watched "$build/tests/guest/guest_watches" >"$work/watched.native"
vm -v "$data/watched:/data" -e TMPDIR=/data "$build/tests/guest/guest_watches" >"$work/watched.vm"
check 'inotify says the same of a volume' diff "$work/watched.native" "$work/watched.vm"
rm -r "$data/watched"
vm -v "$data:/data" "$busybox" mkdir -p /data/a/b
vm -v "$data:/data" "$busybox" mv /data/new /data/a/b/moved
check 'made and moved' test "$(cat "$data/a/b/moved")" = $'one\ntwo'
vm -v "$data:/data" "$busybox" ln /data/a/b/moved /data/hard
vm -v "$data:/data" "$busybox" ln -s nowhere /data/soft
check 'a hard link' test "$data/hard" -ef "$data/a/b/moved"
check 'a symbolic link' test "$(readlink "$data/soft")" = nowhere
vm -v "$data:/data" "$busybox" chmod 640 /data/file
vm -v "$data:/data" "$busybox" touch -d '2001-02-03 04:05:06' /data/file
check 'modes and times' test "$(TZ=UTC stat -c '%a %y' "$data/file")" = '640 2001-02-03 04:05:06.000000000 +0000'
vm -v "$data:/data" "$busybox" truncate -s 3 /data/file
check 'a file cut' test "$(cat "$data/file")" = hel
vm -v "$data:/data" "$busybox" rm -rf /data/a /data/hard /data/soft
check 'taken away' test ! -e "$data/a" -a ! -e "$data/hard" -a ! -L "$data/soft"
refused 'a directory that is not empty stays' 'not empty' -v "$data:/data" "$busybox" rmdir /data/sub

# What a program may ask of its files, asked of those of a volume.
fresh
for name in files locks watches temporary; do
	same "guest/$name in a volume" --net none -v "$data:/data" -e TMPDIR=/data -- "$build/tests/guest/guest_$name"
done

# Names that are looked up within bounds, or without waiting.
printf inside >"$data/inside"
check 'openat2 into a volume' vm -v "$data:/data" "$build/tests/guest/guest_beneath" /data

# What is written to a mapping while it is being written back is written back, too.
for time in 1 2 3; do
	last=$(vm -v "$data:/data" "$build/tests/guest/guest_mapped" /data/mapped)
	check "a mapping that is written all the while, $time" test "${last:-none}" = "$(od -An -td8 -j $((5 * 4096)) -N8 "$data/mapped" | tr -d ' ')"
done

# Nothing of what is read meanwhile may be kept, but it is read.
head -c $((2 << 20)) /dev/zero | tr '\0' x >"$data/busy"
gives 'a file that is written all the while is read' $((2 << 20)) -v "$data:/data" "$build/tests/guest/guest_mapped" /data/busy busy

within 60 "$lightvm" run -d --name syncs --net none -v "$data:/data" "$build/tests/guest/guest_mapped" /data/synced sync >/dev/null
for way in 1 2 3; do
	await 20 "number $way" test -e "$data/said-$way" # while the VM runs: nothing else has written it back
	check "number $way is on the host" test "$(od -An -td8 -N8 "$data/synced" | tr -d ' ')" = $way
	rm -f "$data/said-$way"
done
check '  and it ends' within 20 "$lightvm" wait syncs
"$lightvm" rm syncs >/dev/null
if [ "$(id -u)" = 0 ]; then
	mkdir "$work/full"
	got=$(unshare -m bash -c 'mount -t tmpfs -o size=16k none "$1" && truncate -s 32768 "$1/mapped" && shift && "$@"' - "$work/full" \
		"$lightvm" run --rm --net none -v "$work/full:/data" "$build/tests/guest/guest_mapped" /data/mapped full)
	check 'no room for what was written to a mapping is told by fsync, once' test "$got" = $'done\nENOSPC\ndone'
else
	skip 'no room for what was written to a mapping' 'only root can make a full file system'
fi

# Extended attributes are the host's: a process in the directory and a VM on it say the same, and each finds what the other one set.
fresh
mkdir "$work/plain"
"$build/tests/guest/guest_xattrs" "$work/plain" >"$work/process"
gives 'extended attributes' "$(cat "$work/process")" -v "$data:/data" "$build/tests/guest/guest_xattrs" /data
gives '  once more' "$("$build/tests/guest/guest_xattrs" "$work/plain")" -v "$data:/data" "$build/tests/guest/guest_xattrs" /data
gives '  not where it is read-only' 'xattr /data/file: EROFS' -v "$data:/data:ro" "$build/tests/guest/guest_changes" xattr /data/file

# :ro
fresh
gives 'with :ro it can be read' hello -v "$data:/data:ro" "$busybox" cat /data/file
refused '  and not written' 'Read-only file system' -v "$data:/data:ro" "$busybox" touch /data/new
refused '  nor taken away from' 'Read-only file system' -v "$data:/data:ro" "$busybox" rm /data/file
check '  so the host has what it had' test "$(ls "$data")" = $'file\nlink\nsub'
gives '/proc/mounts says so' 'ro' -v "$data:/data:ro" "$busybox" awk '$2 == "/data" && $3 == "virtiofs" { print substr($4, 1, 2) }' /proc/mounts

# Two VMs, and a change of the host while one runs.
fresh
within 20 "$lightvm" run -d --name watcher --net none -v "$data:/data" "$busybox" sh -c 'for want in hello changed other; do
	until read x </data/file && [ "$x" = $want ]; do :; done; echo "saw $want"; done; until read x </data/end; do :; done' >/dev/null
# logged VM TEXT: it comes up in the log within some seconds.
logged() {
	local until=$((SECONDS + 10 * ${LV_TIME_FACTOR:-1}))
	until "$lightvm" logs "$1" 2>&1 | grep -q "$2"; do [ $SECONDS -lt $until ] || return 1; done
}
check 'a running VM reads the file' logged watcher 'saw hello'
echo changed >"$data/file"
check '  and a change of the host' logged watcher 'saw changed'
vm -v "$data:/data" "$busybox" sh -c 'echo other >/data/file'
check '  and of another VM' logged watcher 'saw other'
check 'it cannot be saved, and that is said' grep -q 'a live volume cannot be saved' <<<"$("$lightvm" save watcher 2>&1)"
echo >"$data/end"
check 'it ends as it should' within 10 "$lightvm" wait watcher

# Locks are the host's.
fresh
exec 4<>"$data/file"
flock -x 4
refused 'flock meets a lock of the host' 'held' -v "$data:/data" /usr/bin/python3 -c 'import fcntl, sys
try: fcntl.flock(open("/data/file", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: sys.exit("held")'
within 20 "$lightvm" run -d --name locker --net none -v "$data:/data" /usr/bin/python3 -uc 'import fcntl
f = open("/data/file", "r+")
fcntl.lockf(f, fcntl.LOCK_EX, 5, 0)
print("records")
fcntl.flock(f, fcntl.LOCK_EX)
print("whole")
while open("/data/file").read() != "end\n": pass' >/dev/null
check 'a record lock does not meet it' logged locker records
check 'the host meets the record lock' python3 -c 'import fcntl, sys
try: fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)
except BlockingIOError: sys.exit(0)
sys.exit("it got it")' "$data/file"
exec 4>&-
check 'who waits gets the lock when it is free' logged locker whole
check '  and the host meets that, too' bash -c '! flock -n -x "$1" true' lock "$data/file"
echo end >"$data/file"
check '  which ends with the VM' bash -c 'flock -w 10 -x "$1" true' lock "$data/file"

# Copies are as they were.
fresh
gives '--copy: writes stay in the VM' new --copy "$data:/data" "$busybox" sh -c 'echo new >/data/file; read x </data/file; echo $x'
check '  and the host has its own' test "$(cat "$data/file")" = hello
gives ':copy' hello -v "$data:/data:copy" "$busybox" cat /data/file
refused 'a copy of a volume by its name' 'is a volume by its name' -v unmade:/data:copy "$busybox" true
check '  makes none' test "$("$lightvm" volume ls -q)" = ''
refused 'a word that is none' '"rx" is not known' -v "$data:/data:rx" "$busybox" true

# By name.
check 'a volume by its name is made' vm -v kept:/data "$busybox" sh -c 'echo kept >/data/file'
gives '  and outlives its VM' kept -v kept:/data:ro "$busybox" cat /data/file
gives '  for --mount, too' kept --mount type=volume,source=kept,target=/data,readonly "$busybox" cat /data/file
gives 'a user of his own writes there' kept -u 1000 -v kept:/new/place "$busybox" cat /new/place/file
check 'it is listed' test "$("$lightvm" volume ls -q)" = kept
check 'inspected' grep -q '"name": "kept"' <<<"$("$lightvm" volume inspect kept)"
check 'another one' "$lightvm" volume create other
within 20 "$lightvm" run -d --name holder --net none -v kept:/data "$busybox" true >/dev/null
check 'one that a VM has stays' grep -q 'VM .* has it' <<<"$("$lightvm" volume rm kept 2>&1)"
touch "$work/no-records"
check 'and all where it cannot be told who has them' grep -q 'records of VMs' <<<"$(LIGHTVM_STATE=$work/no-records "$lightvm" volume prune 2>&1)"
record=$XDG_RUNTIME_DIR/lightvm/vms/$("$lightvm" ps -aq --no-trunc --filter name=holder)/config.json
mv "$record" "$work/record"
echo '{' >"$record"
check 'a VM whose configuration cannot be read may have any' grep -q 'its configuration cannot be read' <<<"$("$lightvm" volume rm other 2>&1)"
mv "$work/record" "$record"
check '  stay there' test "$("$lightvm" volume ls -q)" = $'kept\nother'
check 'prune takes the others' test "$("$lightvm" volume prune)" = other
"$lightvm" rm -f holder >/dev/null
check 'and it goes' "$lightvm" volume rm kept
check '  with a word where there is none' grep -q 'there is no volume kept' <<<"$("$lightvm" volume rm kept 2>&1)"
check 'a volume in a volume' test "$(mkdir -p "$data/inner" && vm -v "$data:/data" -v "$data/sub:/data/inner" "$busybox" cat /data/inner/deep)" = deep

# server_of DIR: the process that serves it. Its working directory is one of descriptors, of which one is the volume.
server_of() {
	local p fd own
	own=$(stat -Lc %i "$1")
	for p in /proc/[0-9]*; do
		[ "$(cat "$p/comm" 2>/dev/null)" = lightvm-fs ] || continue
		for fd in "$p"/fd/*; do [ "$(stat -Lc %i "$fd" 2>/dev/null)" = "$own" ] && echo "${p#/proc/}" && return; done
	done
}
mkdir "$data/memory" && touch "$data/memory/hidden"
check 'memory in a volume' test "$(vm -v "$data:/data" --tmpfs /data/memory "$busybox" sh -c 'ls /data/memory; touch /data/memory/seen; ls /data/memory; grep -c "^tmpfs /data/memory " /proc/mounts')" = $'seen\n1'
check '  of which the host has nothing' test "$(ls "$data/memory")" = hidden
gives '  also below directories that are not there, whoever the user is' made -u 1000 -v "$data:/data" --tmpfs /data/one/two/memory "$busybox" sh -c 'touch /data/one/two/memory/seen && echo made'
check '    which the host has then' test -d "$data/one/two/memory"
refused '  but not where they cannot be made' '/data/new: there is no place for what shall be mounted (error 30): make it a directory of the host' -v "$data:/data:ro" --tmpfs /data/new/memory "$busybox" true
check '    which is not a fault of the library OS' test "$(vm -v "$data:/data:ro" --tmpfs /data/new/memory "$busybox" true >/dev/null 2>&1; echo $?)" = 125
refused '  nor over a file' '/data/file: there is no place for what shall be mounted (error 20): make it a directory of the host' -v "$data:/data" --tmpfs /data/file "$busybox" true
refused '  nor a volume there' '/data/new: there is no place for what shall be mounted (error 30): make it a directory of the host' -v "$data:/data:ro" -v "$data/sub:/data/new/inner" "$busybox" true
check '  and a volume in that' test "$(mkdir -p "$work/third" && echo third >"$work/third/file" && vm -v "$work/third:/data/memory/third" --tmpfs /data/memory -v "$data:/data" "$busybox" cat /data/memory/third/file)" = third

# stopped NAME WORD SAID DIR: the server of the directory that VM NAME has stands still from when the VM says WORD until it has said SAID.
stopped() {
	check "$1 says $2" logged "$1" "$2"
	server=$(server_of "$4")
	[ -n "$server" ] || { not_ok 'the server of a volume is a process' 'none found'; return 1; }
	kill -STOP "$server"
	touch "$work/other/go"
	check '  and goes on while its server does not answer' logged "$1" "$3"
}
# waits NAME FILE MODE: guest_mapped, which begins when /other/go is there.
waits() {
	rm -rf "$work/other" && mkdir "$work/other"
	within 20 "$lightvm" run -d --name "$1" --net none -v "$data:/data" -v "$work/other:/other" "$build/tests/guest/guest_mapped" "$2" "$3" >/dev/null
}

# What is open at the server for nobody is in nobody's way: of its 4,096 files the driver keeps 256.
fresh
echo held >"$data/held"
for i in $(seq 0 299); do echo x >"$data/$i"; done
gives 'as many files open as there may be' $'done\ndone\ndone' -v "$data:/data" "$build/tests/guest/guest_handles" /data $((4096 - 256 - 1))

# One thread waits for a page, others do not.
fresh
tr '\0' x </dev/zero | head -c 32768 >"$data/file"
waits pages /data/file wait
stopped pages mapped 'others run' "$data" && check '  which has not' test "$("$lightvm" logs pages)" = $'mapped\nothers run'
[ -z "$server" ] || kill -CONT "$server"
check '  but does then' logged pages 'page x'
"$lightvm" rm -f pages >/dev/null

# Bytes of a pipe that are on their way to a file are nobody else's.
waits pipes /data/piped pipe
stopped pipes open reads "$data" && check '  which has not' test "$("$lightvm" logs pipes)" = $'open\nreads'
[ -z "$server" ] || kill -CONT "$server"
check '  and who reads the pipe gets what comes after' logged pipes 'read efgh'
check '    the others are in the file' test "$(cat "$data/piped")" = abcd
"$lightvm" rm -f pipes >/dev/null

# A server that dies.
fresh
within 20 "$lightvm" run -d --name orphan --net none -v "$data:/data" "$busybox" sh -c 'echo up; while read x </data/file; do :; done; echo gone; while :; do :; done' >/dev/null
check 'a VM that reads a volume' logged orphan up
server=$(server_of "$data")
if [ -z "${server:-}" ]; then
	not_ok 'its server is a process' 'none found'
else
	kill -9 "$server"
	check 'the program gets an error when the server dies' logged orphan gone
	check '  the VM lives' test "$("$lightvm" inspect -f state orphan)" = running
	check '  and inspect says so' grep -q 'server has ended' <<<"$("$lightvm" inspect orphan)"
fi

# One that cannot be served is told, with the reason, also where only the toolstack hears the server.
printf '#!/bin/sh\necho "lightvm-fs: not today" >&2\nexit 1\n' >"$work/fs"
chmod 755 "$work/fs"
for how in --rm -d; do
	says "a server that does not start ($how)" 125 'its server could not be started (status 0x100)' env LIGHTVM_FS="$work/fs" "$lightvm" run $how --net none -v "$data:/data" "$busybox" true
	check '  and its reason' grep -qF 'lightvm-fs: not today' "$work/says.err"
done
other=(setpriv --reuid=54325 --regid=54325 --groups "$(stat -c %g /dev/kvm)" env LIGHTVM_STATE="$work/other/state" HOME="$work/other")
if [ "$(id -u)" = 0 ] && chmod 755 "$work" && mkdir "$work/other" && chown 54325 "$work/other" && "${other[@]}" test -x "$build/vmm/lightvm-vmm"; then
	mkdir -m 700 "$work/shut"
	for how in --rm -d; do
		says "a directory that one may not look into ($how)" 125 "volume $work/shut: Permission denied" "${other[@]}" "$lightvm" run $how --net none -v "$work/shut:/data" "$busybox" true
	done
	chmod 711 "$work/shut"
	echo named >"$work/shut/file"
	prints 'one that cannot be listed, but gone through' named "${other[@]}" "$lightvm" run --rm --net none -v "$work/shut:/data" "$busybox" cat /data/file
else
	skip 'directories that one may not look into' 'needs root, and a build that others can read'
fi
finish
