#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What users get wrong, each with its message: what was wrong, with which value, what to do.
# timeout: 120
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
static=$build/tests/guest/guest_empty

# bad NAME TEXT COMMAND...: status 125 to 127, and a message that holds TEXT and the word the case is about.
bad() {
	local name=$1 text=$2 status=0
	shift 2
	[ "$1" != run ] || set -- "$lightvm" "$@"
	within 20 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	if [ $status -lt 125 ] || [ $status -gt 127 ]; then
		cat "$work/err"
		not_ok "$name" "exit status $status"
	elif ! grep -qiE -- "$text" "$work/err"; then
		cat "$work/err"
		not_ok "$name" "no message like '$text'"
	elif [ "$(wc -l <"$work/err")" -gt 6 ]; then
		cat "$work/err"
		not_ok "$name" 'more than six lines'
	else
		ok "$name"
	fi
}
# Changes bytes of a copy of the static program: damage OFFSET HEX NAME.
damage() {
	cp "$static" "$work/$3"
	printf '%b' "$(sed 's/../\\x&/g' <<<"$2")" | dd of="$work/$3" bs=1 seek="$1" conv=notrunc status=none
	chmod +x "$work/$3"
}

echo 'just text' >"$work/text"
chmod +x "$work/text"
bad 'not an ELF' "$work/text.*not an? (ELF|executable)|not an? (ELF|executable).*" run "$work/text"
printf '#!/no/such/interpreter\n' >"$work/script"
chmod +x "$work/script"
bad 'a script without its interpreter' '/no/such/interpreter' run "$work/script"
printf '#!/bin/sh\r\necho\r\n' >"$work/windows" && chmod +x "$work/windows"
bad 'a script with the line ends of Windows' "line ends of Windows.*; run: sed -i 's/.r.//' $work/windows" run "$work/windows"
: >"$work/empty"
chmod +x "$work/empty"
bad 'an empty file' 'ELF|empty' run "$work/empty"
bad 'no such file' 'no/such/program.*(No such file|not found)' run /no/such/program
bad 'no such command' 'nosuchcommand' run nosuchcommand
bad 'a directory' 'directory' run "$work"
damage 18 b700 arm
bad 'wrong architecture' 'aarch64|architecture|x86-64' run "$work/arm"
damage 4 01 class
bad '32-bit' '32.?bit|class|x86-64' run "$work/class"
head -c 100 "$static" >"$work/short"
chmod +x "$work/short"
bad 'truncated in the headers' 'truncated|header|ends' run "$work/short"
head -c 20000 "$static" >"$work/half"
chmod +x "$work/half"
bad 'truncated in a segment' 'truncated|segment|beyond|ends|past' run "$work/half"
damage 32 ffffffffffffff7f phoff
bad 'program headers beyond the file' 'header' run "$work/phoff"
damage 54 2000 phentsize
bad 'wrong size of program headers' 'header' run "$work/phentsize"
damage 56 0000 phnum
bad 'no program headers' 'header|segment' run "$work/phnum"
damage 96 ffffffffffffffff filesz
bad 'lying segment size' 'segment' run "$work/filesz"
damage 24 0000000000000000 entry
bad 'entry outside all segments' 'entry' run "$work/entry"
damage 16 0100 type
bad 'an object file' 'executable|type' run "$work/type"

printf 'int none(void); int main(void) { return none(); }\n' >"$work/needs.c"
printf 'int none(void) { return 0; }\n' >"$work/none.c"
gcc -shared -fpic -o "$work/libnone-lightvm.so" "$work/none.c"
gcc -o "$work/needs" "$work/needs.c" -L"$work" -lnone-lightvm
rm "$work/libnone-lightvm.so"
bad 'a missing library' 'libnone-lightvm\.so' run "$work/needs"

if [ "$(id -u)" = 0 ]; then
	cp "$static" "$work/secret"
	chmod 000 "$work/secret"
	chmod 755 "$work"
	if setpriv --reuid=65534 --regid=65534 --clear-groups test ! -r "$work/secret" && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$lightvm"; then
		mkdir -p "$work/nobody"
		chown 65534 "$work/nobody"
		nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env -u LIGHTVM_CACHE XDG_RUNTIME_DIR="$work/nobody" HOME="$work/nobody" XDG_CACHE_HOME="$work/nobody" "$lightvm")
		bad 'an unreadable file' 'secret.*ermission' "${nobody[@]}" run "$work/secret"
		bad 'no right to use /dev/kvm' '/dev/kvm.*(ermission|right|usermod)' "${nobody[@]}" run "$static"
	else
		skip 'an unreadable file' 'another user cannot reach the build directory'
		skip 'no right to use /dev/kvm' 'another user cannot reach the build directory'
	fi
else
	cp "$static" "$work/secret"
	chmod 000 "$work/secret"
	bad 'an unreadable file' 'secret.*ermission' run "$work/secret"
	skip 'no right to use /dev/kvm' 'needs root, to become a user without that right'
fi

port=$(free_port)
/usr/bin/python3 -c "
import socket, sys
s = socket.socket(); s.bind(('0.0.0.0', $port)); s.listen(); print('listening', flush=True); sys.stdin.read()" <> <(:) >"$work/listener" &
background+=($!)
await 10 'a process to take the port' grep -q listening "$work/listener"
bad 'a port in use' "$port" run -p "$port:80" "$busybox" sleep 5
bad 'a bad port' '99999' run -p 99999:80 "$busybox" true
bad 'a port without a number' 'x:80' run -p x:80 "$busybox" true
bad 'memory that is no size' '12Q' run -m 12Q "$busybox" true
bad 'too little memory' '1M|memory' run -m 1M "$busybox" true
printf 'static char big[64 << 20] = { 1 }; int main(void) { return big[0] == 0; }\n' >"$work/big.c"
gcc -static -o "$work/big" "$work/big.c"
bad 'not enough memory for the image' 'not enough memory for .*big.*64' run -m 16M "$work/big"
bad 'an unknown option' '--nmae.*--name' run --nmae x "$busybox" true
bad 'an unknown command' 'rnu.*run' "$lightvm" rnu
bad 'an option without value' '--name' run --name
bad 'no program' 'usage|PROGRAM' run
bad 'a missing -v directory' '/no/such/dir' run -v /no/such/dir:/x:ro "$busybox" true
bad '-v without a target' 'relative' run -v "$work:relative" "$busybox" true
bad 'a working directory that is not there' '/nonexist.*-v' run -w /nonexist "$busybox" pwd
bad 'a working directory that is a file' '/etc/passwd.*not a directory' run -w /etc/passwd "$busybox" pwd
bad 'a bad -e' '=x|=' run -e =x "$busybox" true
bad 'an unknown network' 'nosuchnet' run --net nosuchnet "$busybox" true
bad 'a missing bridge' 'lvnobridge' run --net bridge:lvnobridge "$busybox" true
bad 'an unknown format' 'yaml.*|json' "$lightvm" ps --format yaml

# Habits of container users get an answer; nothing that ends or removes is ever guessed.
# Where the records of VMs are kept cannot be used.
# shellcheck disable=SC2016
if unshare -m true 2>/dev/null; then
	mkdir "$work/records"
	says 'records on a read-only file system' 125 "no place (LIGHTVM_STATE=DIR names another): $work/records/new: Read-only file system" unshare -m sh -c '
		mount -t tmpfs -o ro ro "$1" && LIGHTVM_STATE=$1/new exec "$2" run --rm "$3"' - "$work/records" "$lightvm" "$busybox"
	says 'records on a full one' 125 ": config.json: No space left on device" unshare -m sh -c '
		mount -t tmpfs -o size=8k,mode=700 small "$1" && { head -c 8192 /dev/zero >"$1/full"; LIGHTVM_STATE=$1 exec "$2" run --rm "$3"; }' - "$work/records" "$lightvm" "$busybox"
else
	skip 'records of VMs without room' 'no right to mount'
fi

says 'pull of nothing' 125 'usage: lightvm pull' "$lightvm" pull
says 'pull of a layout that is missing' 125 '/none: No such file or directory' "$lightvm" pull oci:/none:x
says 'top' 125 'usage: lightvm top' "$lightvm" top
says 'attach' 125 'use "lightvm console VM"' "$lightvm" attach x
says 'run --device' 125 '--device cannot be had' "$lightvm" run --device /dev/x "$busybox"
says 'run --privileged' 125 '--privileged is not needed' "$lightvm" run --privileged "$busybox"
says 'nearly stop' 125 'unknown command "stpo"; "lightvm --help" lists them' "$lightvm" stpo x
says 'nearly run' 125 'did you mean "run"?' "$lightvm" rnu x
helps() { "$lightvm" help "$@" | head -n 1; }
check 'help VERB' test "$(helps run)" = "$("$lightvm" run --help | head -n 1)"
check 'help VERB SUB' test "$(helps image ls)" = "$("$lightvm" image ls --help | head -n 1)"

# A damaged image is found before the VM starts.
if "$lightvm" image build -o "$work/good.lvm" "$busybox" echo image >"$work/out" 2>"$work/err" || "$lightvm" image build "$busybox" -o "$work/good.lvm" >"$work/out" 2>"$work/err"; then
	status=0
	run "$work/good.lvm" echo image >"$work/out" 2>"$work/err" || status=$?
	if [ $status = 0 ]; then ok 'an image runs'; else cat "$work/err"; not_ok 'an image runs' "status $status"; fi
	cp "$work/good.lvm" "$work/magic.lvm"
	printf 'XXXX' | dd of="$work/magic.lvm" bs=1 seek=1024 conv=notrunc status=none
	bad 'an image with a damaged superblock' 'magic.lvm.*(damaged|not an|ELF)' run "$work/magic.lvm"
	head -c 8192 "$work/good.lvm" >"$work/cut.lvm"
	bad 'a truncated image' 'cut.lvm.*(damaged|truncated|short|ends)' run "$work/cut.lvm"
	head -c $(($(stat -c %s "$work/good.lvm") / 2)) "$work/good.lvm" >"$work/half.lvm"
	bad 'half an image' 'half.lvm.*(damaged|truncated|short|ends)' run "$work/half.lvm"
	cp "$work/good.lvm" "$work/flip.lvm"
	printf '\xff\xff\xff\xff' | dd of="$work/flip.lvm" bs=1 seek=1060 conv=notrunc status=none
	bad 'an image with damaged numbers' 'flip.lvm.*(damaged|not an|checksum)' run "$work/flip.lvm"
else
	cat "$work/err"
	not_ok 'image build' 'failed'
fi
finish
