#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Container images from archives and by skopeo, and their names: pull, images, tag, rmi, run NAME.
# timeout: 180
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work" || exit 1
mkdir -m 700 cache
export LIGHTVM_CACHE=$work/cache
is() { local want=$1; shift; [ "$("$@" 2>"$work/is.err")" = "$want" ] || { cat "$work/is.err"; "$@" | diff - <(echo "$want"); return 1; }; }
names() { "$lightvm" images --format json | jq -r '[.[].names[]] | sort | join(" ")'; }
python3 "$top/tests/data/oci_make.py" busybox "$work/box"

# ---- names

check 'pull of a layout' is box:1.0 "$lightvm" pull oci:box:box:1.0
check 'pull with another name' is reg.example:5000/x/app:latest "$lightvm" pull oci:box:script --name reg.example:5000/x/app
check 'images' is 'box:1.0 reg.example:5000/x/app:latest' names
check 'run of a name' is 'fixed words' run --rm box:1.0
check 'run of a name with a registry' is 'greet /bin/greet you' run --rm reg.example:5000/x/app
check 'tag' "$lightvm" tag box:1.0 other
check '  is the same image' is 'fixed two' run --rm other two
check 'image inspect of a name' is /srv eval '"$lightvm" image inspect other | jq -r .manifest.cwd'
check 'image history' is 'COPY busybox /,COPY srv  # second,ENV X' eval '"$lightvm" image history box:1.0 | tail -n +2 | cut -c23- | paste -sd,'
says 'save of an image' 125 'is an image: "lightvm save" is for VMs that run; for images it is: lightvm image save -o FILE box:1.0' "$lightvm" save box:1.0
LIGHTVM_CACHE_SIZE=1 "$lightvm" run --rm /bin/true
check 'an image with a name is not removed to make room' is 'box:1.0 other:latest reg.example:5000/x/app:latest' names
"$lightvm" run --rm /bin/true
packed=$("$lightvm" images --format json | jq -r '.[] | select(.names == []).sha256')
says 'history of a program' 125 'was not made of a container image' "$lightvm" image history "$packed"
check 'image prune' eval '"$lightvm" image prune -f | grep -q "^1 images removed, "'
check '  leaves what has a name' is 'box:1.0 other:latest reg.example:5000/x/app:latest' names
check 'rmi of one name' "$lightvm" rmi box:1.0
check '  leaves the image to the other' is 'fixed words' run --rm other
check 'rmi of the last name' "$lightvm" rmi other
check '  removes it' is reg.example:5000/x/app:latest names
digest=$("$lightvm" images --format json | jq -r '.[] | select(.names != []).sha256')
check 'rmi of a digest takes all names' eval '"$lightvm" tag reg.example:5000/x/app more && "$lightvm" rmi ${digest:0:12} && [ -z "$(names)" ]'
check 'nothing of a name is left' test -z "$(ls -A cache/names)"
says 'a name that is not there' 127 'there is no program "gone:1" in PATH' run --rm gone:1
says 'rmi of what is not there' 125 'there is no image "gone" (file or digest)' "$lightvm" rmi gone
says 'rmi of no name' 125 'there is no image "" (file or digest)' "$lightvm" rmi ''
says 'tag of a file' 125 'only images in the cache have names' "$lightvm" tag box/index.json x
for name in 'a b' '../x' 'x:' 'x:y:z' '/x' 'x/' '' '-x' "$(printf 'n%.0s' {1..300})"; do
	says "\"${name:0:10}\" as a name" 125 'cannot be the name of an image' "$lightvm" pull oci:box:1.0 "--name=$name"
done

# ---- archives, and what skopeo brings

if command -v skopeo >/dev/null; then
	python3 "$top/tests/data/oci_make.py" merged "$work/merged"
	"$lightvm" image build --from oci:merged -o layout.lvm >/dev/null
	tree() { run --rm "$1" stat -c '%n %F %a %u:%g %h' / /one /two /tmp /b/sub/new /lib; }
	tree layout.lvm >want
	skopeo copy -q oci:merged:merged docker-archive:saved.tar:merged:1
	skopeo copy -q oci:merged:merged oci-archive:layout.tar:merged
	gzip -k saved.tar
	zstd -q layout.tar
	for source in docker-archive:saved.tar docker-archive:saved.tar:merged:1 docker-archive:saved.tar.gz oci-archive:layout.tar oci-archive:layout.tar.zst:merged; do
		check "$source" eval '"$lightvm" image build --from "$source" -o x.lvm && tree x.lvm | diff want -'
	done
	says 'a tag that the archive lacks' 125 'there is no image "merged:2"' run --rm docker-archive:saved.tar:merged:2
	says 'an archive of the other kind' 125 'not an OCI layout' run --rm oci-archive:saved.tar
	says 'what skopeo cannot bring' 125 'skopeo could not bring it' "$lightvm" pull containers-storage:nothing-of-this-name
	check 'nothing is left of it' test -z "$(find cache -name '.stage-*')"
else
	skip 'archives' 'skopeo is missing; scripts/setup --test installs it'
fi
mkdir root && cp -r /bin/busybox root/ && tar -czf root.tar.gz -C root .
check 'a root directory' is 'from dir' run --rm dir:root /busybox echo from dir
check 'a tar of one' is 'from tar' run --rm tar:root.tar.gz /busybox echo from tar
says '  without a program' 125 'its manifest names no program' run --rm tar:root.tar.gz
tar -cJf root.tar.xz -C root .
says 'a tar compressed otherwise' 125 'root.tar.xz: compressed with xz; gzip and zstd are known here' run --rm tar:root.tar.xz /busybox
says 'no archive' 125 'a damaged archive' run --rm docker-archive:/etc/passwd
says 'a directory as an archive' 125 'is a directory' run --rm docker-archive:box
says 'an archive as a directory' 125 'is not a directory' run --rm oci:root.tar.gz
finish
