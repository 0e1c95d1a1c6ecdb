#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Container images become images of ours: layers, configurations, what layers do to each other; and those that must not.
# timeout: 240
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
make_oci() { python3 "$top/tests/data/oci_make.py" "$@"; }
cd "$work" || exit 1
is() { local want=$1; shift; [ "$("$@" 2>"$work/is.err")" = "$want" ] || { cat "$work/is.err"; "$@" | diff - <(echo "$want"); return 1; }; }

# ---- one that says all it can

make_oci busybox "$work/box"
check 'run of a layout: entry point and command' is 'fixed words' run --rm oci:box:1.0
check 'arguments replace the command, not the entry point' is 'fixed other ones' run --rm oci:box:box:1.0 other ones
check 'its working directory and environment' is '/srv green /bin' run --rm --entrypoint sh oci:box:1.0 -c 'echo $PWD $COLOUR $PATH'
check 'its user and group, by the image'"'"'s own files' is 'uid=1234(app) gid=88(wheel)' run --rm --entrypoint id oci:box:1.0
check 'a script as the command' is 'greet /bin/greet you' run --rm oci:box:script
check 'without an entry point the arguments name a program' is 'by env x' run --rm oci:box:script by-env x
check '--entrypoint' is 'hello from a layer' run --rm --entrypoint cat oci:box:1.0 hello
says 'a program that is not there' 125 'there is no program "nothing" in it' run --rm oci:box:script nothing
says 'two images and no name' 125 "there are 2 images; say which one, as in oci:$work/box:NAME: box:1.0, box:script" run --rm oci:box
says 'a name that is not there' 125 'there is no image "2.0"; there are: box:1.0, box:script' run --rm oci:box:2.0
says 'a layout that is not there' 125 "$work/nowhere: No such file or directory" run --rm oci:nowhere
says 'a directory that is no layout' 125 'not an OCI layout: there is no index.json in it' run --rm oci:/etc
says '--from with something else' 125 '--from: "box" is none of: oci:' "$lightvm" image build --from box
check 'image build --from' "$lightvm" image build --from oci:box:1.0 -e MORE=1 -o box.lvm
field() { jq -r "$1" <("$lightvm" image inspect box.lvm); }
check 'what the configuration says is in the manifest' is '2 1234 88 /srv 53/udp,80 /data maker=test SIGQUIT PATH=/bin,COLOUR=green,MORE=1' \
	field '.manifest | [.entry, .uid, .gid, .cwd, (.ports | join(",")), (.volumes | join(",")), (.labels | join(",")), .stop_signal, (.env | join(","))] | join(" ")'
check 'health is told' is 'true' field '.manifest.health | fromjson | .Test[1]'
check 'the image file runs' is 'fixed words' run --rm box.lvm
check 'image build --from with a command' "$lightvm" image build --from oci:box:1.0 -o cat.lvm cat hello
check 'which takes the place of the entry point' is 'hello from a layer' run --rm cat.lvm
check 'the same bytes again' eval '"$lightvm" image build --from oci:box:1.0 -e MORE=1 -o again.lvm && cmp box.lvm again.lvm'
if [ "$(id -u)" = 0 ]; then
	mkdir -m 711 "$work/other" && chmod 711 "$work" && cp -r box "$work/other/" && chown -R 65534:65534 "$work/other"
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups env -i HOME="$work/other" PATH="$PATH" LIGHTVM_CACHE="$work/other/cache" "$@"; }
	check 'without any rights the same bytes' eval 'as_nobody "$lightvm" image build --from "oci:$work/other/box:1.0" -e MORE=1 -o "$work/other/box.lvm" && cmp box.lvm "$work/other/box.lvm"'
else
	skip 'without any rights the same bytes' 'it takes root to be somebody else'
fi
check 'volumes can be written to with --read-only' is 'written' run --rm --read-only -u 0 --entrypoint sh oci:box:1.0 -c 'echo written >/data/x && read -r a </data/x && echo $a'
says 'and nothing else' 1 "can't create /srv/x: Read-only file system" run --rm --read-only -u 0 --entrypoint sh oci:box:1.0 -c ': >/srv/x'
run -d --name labelled --entrypoint sleep oci:box:1.0 1000 >/dev/null
check 'labels are the VM'"'"'s' is labelled eval '"$lightvm" ps --filter label=maker=test --format json | jq -r ".[].name"'
"$lightvm" image rm --all
check 'run again after its image was removed' is 'fixed words' run --rm oci:box:1.0
touch -d 2001-01-01 box/index.json
check 'an index that changed is looked at again' is 'fixed words' run --rm oci:box:1.0

# ---- what layers do to each other

make_oci merged "$work/merged"
check 'build of what is merged' "$lightvm" image build --from oci:merged -o merged.lvm
shows() { run --rm merged.lvm stat -c '%n %F %a %u:%g %h %t:%T' "$@"; }
check 'modes, owners, links, devices' is "$(
	cat <<'END'
/one regular file 4755 3:4 3 0:0
/two regular file 4755 3:4 3 0:0
/three regular file 4755 3:4 3 0:0
/tmp directory 1777 0:0 2 0:0
/dir-then-file regular file 644 0:0 1 0:0
/file-then-dir directory 755 0:0 2 0:0
/usr/lib/through regular file 644 0:0 1 0:0
/abs symbolic link 777 0:0 1 0:0
END
)" shows /one /two /three /tmp /dir-then-file /file-then-dir /usr/lib/through /abs
check 'whiteouts and opaque directories' is "$(printf '%s\n' /a: stays '' /b: new sub '' /b/sub: new '' /c: y)" run --rm merged.lvm ls /a /b /b/sub /c
check 'links lead within the image' is $'stays\nstays' run --rm merged.lvm cat /abs /out
check 'the root directory' is '711 5:0' run --rm merged.lvm stat -c '%a %u:%g' /
check 'names of any bytes' is "$(printf '%s\n' $'bad\xff' $'new\nline')" run --rm merged.lvm sh -c 'cd /; echo bad?; echo new?line'
check 'long names' is long run --rm merged.lvm cat "/$(printf 'ü%.0s' {1..60})/$(printf 'é%.0s' {1..60})"
if [ "$(id -u)" = 0 ] && mkdir mnt && mount -t erofs -o loop,ro merged.lvm mnt 2>/dev/null; then
	check 'Linux sees devices and pipes' is "$(printf '%s\n' 'block special file 103:11170' 'character special file 1:3' 'fifo 0:0')" \
		stat -c '%F %t:%T' mnt/dev/sda mnt/dev/null mnt/dev/fifo
	check 'Linux sees capabilities' is '0100000200200000000000000000000000000000' \
		python3 -c 'import os, sys; print(os.getxattr("mnt/ping", "security.capability").hex()); assert os.getxattr("mnt/ping", "user.note") == b"n"'
	umount mnt
else
	skip 'Linux sees devices, pipes and capabilities' 'it takes root, a loop device and a right to mount'
fi
make_oci through "$work/through"
check 'what is written through links stays in the image' is $'in the image\nin the image' run --rm oci:through
check 'and nothing of it is outside' test ! -e /tmp/outside

# ---- which one of several

digest=$(make_oci platforms "$work/many")
check 'an index over several machines' is 'for amd64' run --rm oci:many
check 'a digest that is right' is 'for amd64' run --rm "oci:many@$digest"
check 'a name and a digest' is 'for amd64' run --rm "oci:many:many@$digest"
says 'a digest that is not there' 125 "there is no image with the digest sha256:${digest:8}0" run --rm "oci:many@sha256:${digest:8}0"
says 'a digest of another name' 125 'does not have the digest' run --rm "oci:many:else@$digest"
says 'no digest at all' 125 '"sha256:12" is not a digest' run --rm oci:many@sha256:12

finish
