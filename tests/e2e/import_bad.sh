#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Container images that must not become images: each with its message, and nothing of it is left, or was touched outside.
# timeout: 240
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work" || exit 1
mkdir bad out cache
export LIGHTVM_CACHE=$work/cache
chmod 700 cache
python3 "$top/tests/data/oci_make.py" bad "$work/bad"
traces() { find "$work/out" "$work/cache/images" -mindepth 1 2>/dev/null; find /tmp /var/tmp -maxdepth 1 -name '*lightvm-was*' -o -maxdepth 1 -name '.stage-*' -user "$(id -u)"; }

refused() { # NAME TEXT
	says "$1" 125 "$2" "$lightvm" image build --from "oci:bad/$1" -o out/x.lvm
	[ -z "$(traces)" ] || not_ok "$1 leaves nothing" "$(traces)"
}

refused traversal 'lightvm-was-here" leads out of the archive'
refused traversal-middle 'the path "a/../../b" leads out of the archive'
refused hardlink-out 'etc/passwd" leads out of the archive'
refused hardlink-none '/x is another name of /etc/passwd, which is not there'
refused hardlink-dir '/x is another name of /d, which is a directory'
refused cycle '/a/x: too many symbolic links'
refused below-a-file '/a/b: a part of this path is not a directory'
refused long-name 'a name of 300 bytes; a file system of Linux has at most 255'
refused long-path 'a path of more than 4095 bytes'
refused root-name 'its root is not a directory'
refused ours '/x/.lightvm/manifest.json leads to /.lightvm, which is LightVM'"'"'s own'
refused ours-file '/x/.lightvm leads to /.lightvm, which is LightVM'"'"'s own'
refused depth 'more than 128 directories, one in the other'
refused xattr '/a: its extended attributes take more than 4032 bytes'
python3 - <<'END'
import io, tarfile
with tarfile.open('attributes.tar', 'w', format=tarfile.PAX_FORMAT) as tar:
    for i in range(18000):
        info = tarfile.TarInfo(f'f{i}')
        info.pax_headers = {'SCHILY.xattr.user.x': 'v' * 4000}
        tar.addfile(info, io.BytesIO())
END
says 'attributes of many files, each small enough' 125 'its extended attributes take more than 64 MiB' "$lightvm" image build --from tar:attributes.tar -o out/x.lvm
rm attributes.tar
head -c 1100M /dev/zero | zstd -q >zeroes.tar.zst
says 'an archive that becomes too much' 125 'it becomes more than 1024 MiB' "$lightvm" image build --from oci-archive:zeroes.tar.zst -o out/x.lvm
[ -z "$(traces)" ] || not_ok "neither leaves anything" "$(traces)"
refused whiteout '/.wh... hides no name'
refused bomb 'with /bomb it takes more than 1024 MiB'
refused entries 'more than 1048576 files and directories'
says 'the same when it is run' 125 'lightvm-was-here" leads out of the archive' "$lightvm" run --rm oci:bad/traversal true
refused no-tar 'a damaged archive'
refused cut 'it ends within /bin/busybox'
refused no-user 'there is no user "nobody-here" in the image'"'"'s /etc/passwd'
refused arm 'an image for other machines (arm64); this one needs amd64'
refused platform 'an image for other machines (linux/s390x); this one needs linux/amd64'
refused windows 'an image for "windows"'
refused env '"Env" is not a list of NAME=VALUE'
refused control '"cwd": "/a?[2Jb" has control characters'
refused layer-type 'layer 1 is of the type "application/vnd.oci.image.layer.v1.tar+brotli", which is not known'
refused manifest-type 'its manifest is of the type "application/vnd.something.else", which is not known'
refused artifact 'it is something else than a container image'
refused size 'should have'
refused gzip 'it has 100000 bytes, should have'
refused digest 'its digest is sha256:'
refused diff-id 'the digest of its contents is sha256:'
refused digest-kind 'is not a digest that is known'
refused digest-path '"sha256:../../../../../etc/passwd" is not a digest that is known'
refused layers-count 'it has 1 layers, its configuration tells of 2'
refused missing 'it is not there'
refused manifest 'its digest is sha256:'
refused deep 'indexes within indexes, more than 4 deep'
refused empty 'there is no image in it'
refused no-json 'index.json is not JSON'

# ---- no room

if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=1M,mode=700 tmpfs small 2>/dev/null; then
	python3 "$top/tests/data/oci_make.py" busybox "$work/box"
	LIGHTVM_CACHE=$work/small says 'a disk that is full' 125 'No space left on device' "$lightvm" run --rm oci:box:1.0
	says 'an output on a disk that is full' 125 'No space left on device' "$lightvm" image build --from oci:box:1.0 -o small/x.lvm
	check 'and nothing is left on it' test -z "$(find small -type f)"
	umount small
else
	skip 'a disk that is full' 'it takes root, and a right to mount'
fi
mkdir -p dir-ours/.lightvm && echo '{"lightvm": 1, "program": "/evil"}' >dir-ours/.lightvm/manifest.json
says 'a directory with a manifest of ours' 125 "manifest.json is LightVM's own, and is in it already" "$lightvm" image build --from dir:dir-ours -o out/x.lvm /x
finish
