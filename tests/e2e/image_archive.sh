#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# image save and image load: images as one stream, of ours and of engines; what is cut, altered or made up is refused by name, and nothing is left of it.
# timeout: 180
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work" || exit 1
mkdir -m 700 images
export LIGHTVM_CACHE=$work/images
names() { "$lightvm" images --format json | jq -r '[.[].names[]] | sort | join(" ")'; }
digest_of() { "$lightvm" images --format json | jq -r --arg n "$1" '.[] | select(.names | index($n)).sha256'; }
load() { "$lightvm" image load "$@"; }
save() { "$lightvm" image save "$@"; }
empty() { "$lightvm" image rm --all; rm -f images/names/*; }
python3 "$top/tests/data/oci_make.py" busybox "$work/box"
"$lightvm" pull oci:box:box:1.0 >/dev/null
"$lightvm" tag box:1.0 box:copy
"$lightvm" pull oci:box:script --name other >/dev/null

# ---- there and back

check 'save to a file' save -o all.tar box:1.0 box:copy other
tar -tf all.tar >members
check '  is a tar that others read' eval '[ "$(head -n 1 members)" = lightvm-images.json ] && [ "$(wc -l <members)" = 3 ]'
check '  says what is in it' eval '[ "$(tar -xOf all.tar lightvm-images.json | jq -c "[.lightvm_images, (.images | map(.names))]")" = "[1,[[\"box:1.0\",\"box:copy\"],[\"other:latest\"]]]" ]'
check '  is readable by its owner only' test "$(stat -c %a all.tar)" = 600
save box:1.0 box:copy other >stream.tar
check 'save to standard output is the same' cmp all.tar stream.tar
was=$(digest_of box:1.0)
empty
check 'load of a file' eval '[ "$(load -i all.tar)" = "$(printf "Loaded image: %s\n" box:1.0 box:copy other:latest)" ]'
check '  has the names' test "$(names)" = 'box:1.0 box:copy other:latest'
check '  and the digests' test "$(digest_of box:copy)" = "$was"
check '  and runs' eval '[ "$(run --rm box:1.0)" = "fixed words" ]'
check 'load again changes nothing' eval 'load -i all.tar >/dev/null && [ "$(digest_of box:1.0)" = "$was" ]'
empty
check 'load of a pipe' eval 'cat all.tar | load -q | paste -sd, | grep -qx box:1.0,box:copy,other:latest'
empty
check 'load of a file on standard input, compressed' eval 'gzip -k all.tar && load -q <all.tar.gz | grep -qx other:latest'
check 'by digest: without a name' eval 'save -o plain.tar "${was:0:12}" && [ "$(tar -xOf plain.tar lightvm-images.json | jq -c ".images[0].names")" = "[]" ]'
empty
check '  and loaded so' test "$(load -i plain.tar)" = "Loaded image ID: sha256:$was"
"$lightvm" image build -o own.lvm /bin/true >/dev/null
check 'a file' eval 'save -o own.tar own.lvm && empty && load -q -i own.tar | grep -qE "^[0-9a-f]{64}$"'

# ---- what engines save

if command -v skopeo >/dev/null; then
	python3 "$top/tests/data/oci_make.py" merged "$work/merged"
	skopeo copy -q oci:merged:merged docker-archive:docker.tar:reg.example/app:7
	skopeo copy -q oci:box:box:1.0 oci-archive:layout.tar:app:9
	empty
	check 'what docker save writes' eval '[ "$(load -i docker.tar)" = "Loaded image: reg.example/app:7" ] && [ "$(run --rm reg.example/app:7 stat -c %n /one)" = /one ]'
	empty
	check '  through a pipe, compressed' eval 'gzip <docker.tar | load -q | grep -qx reg.example/app:7'
	check '  pull takes its name, too' eval 'empty; "$lightvm" pull docker-archive:docker.tar | grep -qx reg.example/app:7'
	check 'an archive of a layout' eval 'empty; load -q -i layout.tar | grep -qx app:9'
	mkdir twice && tar -xf docker.tar -C twice
	jq '. + [.[0] | .RepoTags = ["second:1", "second:2"]]' twice/manifest.json >x && mv x twice/manifest.json
	tar -cf twice.tar -C twice .
	check 'several images in one' eval 'empty; load -q -i twice.tar | paste -sd, | grep -qx reg.example/app:7,second:1,second:2'
	jq '.[1].RepoTags = null' twice/manifest.json >x && mv x twice/manifest.json
	tar -cf twice.tar -C twice .
	says '  one of them without a name' 125 'image 2 of 2 has no name' load -i twice.tar
	jq 'del(.[0]) | .[0].RepoTags = ["../../up:1"]' twice/manifest.json >x && mv x twice/manifest.json
	tar -cf twice.tar -C twice .
	says '  an impossible name' 125 '"../../up:1" cannot be the name of an image' load -i twice.tar
else
	skip 'what engines save' 'skopeo is missing; scripts/setup --test installs it'
fi

# ---- what is wrong leaves nothing

empty
mkdir bad && tar -xf all.tar -C bad
# bad NAME TEXT JQ: the list, changed, in an archive of its own.
bad() {
	mkdir -p list && cp bad/*.lvm list/ && jq "$3" bad/lightvm-images.json >list/lightvm-images.json
	tar -cf bad.tar -C list .
	says "$1" 125 "$2" load -i bad.tar
}
bad 'another version' 'its version ("lightvm_images") is not 1' '.lightvm_images = 2'
bad 'a digest that is none' 'image 1: its sha256 is not 64 hexadecimal digits' '.images[0].sha256 = "../../../etc/passwd"'
bad 'a name that is none' 'image 2: name 1 cannot be the name of an image' '.images[1].names = ["../x"]'
bad 'a name that is no string' 'image 2: name 1 cannot be' '.images[1].names = [1]'
bad 'a size that is not the size' 'it has ' '.images[0].size = 4096'
bad 'an image that is not there' 'it is not there' '.images[0].sha256 = ("0" * 64)'
bad 'no list of images' '"images" is not a list' '.images = {}'
first=$(jq -r '.images[0].sha256' bad/lightvm-images.json)
cp bad/lightvm-images.json list/
printf x | dd of="list/$first.lvm" bs=1 seek=20000 conv=notrunc status=none
tar -cf bad.tar -C list .
says 'an image that was altered' 125 "image ${first:0:12}: it is no whole image" load -i bad.tar
second=$(jq -r '.images[1].sha256' bad/lightvm-images.json)
size=$(stat -c %s "bad/$second.lvm")
cp "bad/$second.lvm" "list/$first.lvm"
jq ".images[0].size = $size" bad/lightvm-images.json >list/lightvm-images.json
tar -cf bad.tar -C list .
says 'another image in its place' 125 "its digest is ${second:0:12}" load -i bad.tar
echo '{' >list/lightvm-images.json && tar -cf bad.tar -C list .
says 'a list that is no JSON' 125 'lightvm-images.json: line ' load -i bad.tar
head -c 300000 all.tar >cut.tar
says 'an archive that was cut' 125 'cut.tar' load -i cut.tar
says '  through a pipe' 125 'standard input' load <cut.tar
ln -s /etc/passwd list/link && (cd list && tar -cf ../bad.tar --transform 's,link,../up,' link)
says 'a path that leads out' 125 'leads out of the archive' load -i bad.tar
# All names are kept, and compressed they are next to nothing: a thousand of these would be a gigabyte.
for what in name target; do
	python3 -c 'import sys, tarfile
with tarfile.open("bad.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
    entry = tarfile.TarInfo("a" * 900000 if sys.argv[1] == "name" else "link")
    if sys.argv[1] == "target":
        entry.type, entry.linkname = tarfile.SYMTYPE, "b" * 900000
    tar.addfile(entry)' $what
	says "a $what of 900000 bytes" 125 'files of a container image have at most 1024' load -i bad.tar.gz
done
tar -cf root.tar -C box .
rm -rf root && mkdir root && echo x >root/file && tar -cf root.tar -C root .
says 'a tar of something else' 125 'image build --from tar:FILE' load -i root.tar
says 'no archive' 125 'damaged archive' load -i /etc/passwd
says 'a directory' 125 'is a directory' load -i box
says 'no such file' 125 'nothing.tar: No such file' load -i nothing.tar
says 'save of no image' 125 'there is no image "gone"' save -o x.tar gone
says 'save to nowhere' 125 'gone: No such file' save -o gone/x.tar all.tar
says 'save of no image file' 125 'all.tar' save -o x.tar ./all.tar
check 'nothing is left' eval '[ -z "$(names)" ] && [ -z "$(find images . -name ".stage-*")" ] && [ ! -e x.tar ] && [ -z "$(ls images/images)" ]'
load -q -i all.tar >/dev/null
mkfifo pipe
exec 7<>pipe
start "$lightvm" image load <pipe
head -c 200000 all.tar >&7
kill -9 $pid
exec 7>&-
check 'killed while it reads: nothing is left' eval '[ -z "$(find images -name ".stage-*")" ] && [ "$(names)" = "box:1.0 box:copy other:latest" ]'

# ---- the other save

says 'lightvm save of an image' 125 'lightvm image save -o FILE box:1.0' "$lightvm" save box:1.0
says '  whose name could be that of a VM' 125 'lightvm image save -o FILE other' "$lightvm" save other
says '  of what is neither' 125 'no VM' "$lightvm" save neither
finish
