#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packing: what stat tells of a file is in the image, nothing is left of packings that fail or are killed, and what is wrong is said.
# timeout: 120
. "$(dirname "$0")/lib.sh"
export LIGHTVM_CACHE=$work/cache
images=$LIGHTVM_CACHE/images
stat=$(command -v stat)

# ---- times, modes, owners ----
mkdir -p "$work/tree/sub"
printf 'text\n' >"$work/tree/file"
printf 'more\n' >"$work/tree/sub/other"
ln -s file "$work/tree/link"
chmod 4751 "$work/tree/file"
chmod 3770 "$work/tree/sub"
touch -d '2001-02-03 04:05:06.123456789Z' "$work/tree/file"
touch -h -d '1999-12-31 23:59:59.5Z' "$work/tree/link"
touch -d '2010-01-01 00:00:00.25Z' "$work/tree/sub" "$work/tree"
[ "$(id -u)" != 0 ] || chown 70123:456 "$work/tree/sub/other" "$work/tree/sub"
[ "$(id -u)" != 0 ] || chmod 3770 "$work/tree/sub"
touch -d '2010-01-01 00:00:00.25Z' "$work/tree/sub"
owner='%u:%g'
[ "$(id -u)" = 0 ] || owner=
for path in file link sub sub/other; do
	same "stat of $path" --copy "$work/tree:$work/tree:ro" -- "$stat" -c "%F %a %y $owner %N" "$work/tree/$path"
done
same 'stat of the program' -- "$stat" -c '%a %y %s' "$stat"
cp "$(command -v gzip)" "$work/gzip"
same 'gzip takes the time' --copy "$work/tree:$work/tree:ro" -- "$work/gzip" -c "$work/tree/sub/other"
if [ "$(id -u)" = 0 ]; then
	check 'the owner of a volume is the user who runs' \
		run --rm -u 70123 --copy "$work/tree:/t" /usr/bin/python3 -c 'import os; s = os.stat("/t/sub"); assert (s.st_uid, s.st_gid) == (os.geteuid(), 456), s'
fi

# ---- one image of the same files ----
"$lightvm" image build -o "$work/one.lvm" -v "$work/tree:/t" "$stat" >/dev/null
touch "$work/something else beside it"
"$lightvm" image build -o "$work/two.lvm" -v "$work/tree:/t" "$stat" >/dev/null
check 'the same files, the same bytes' cmp "$work/one.lvm" "$work/two.lvm"
if command -v fsck.erofs >/dev/null; then
	check 'fsck.erofs finds nothing wrong' fsck.erofs "$work/one.lvm"
else
	skip 'fsck.erofs finds nothing wrong' 'erofs-utils are not installed'
fi

# ---- nothing is left ----
mkdir "$work/out" "$work/out/dir.lvm"
says 'image build onto a directory' 125 'dir.lvm: Is a directory' "$lightvm" image build -o "$work/out/dir.lvm" "$stat"
check 'nothing is left beside it' test "$(ls -A "$work/out")" = dir.lvm
truncate -s 200M "$work/tree/large" # takes a moment to read
for signal in TERM HUP KILL; do
	"$lightvm" run --rm --copy "$work/tree:/t" "$stat" / >/dev/null 2>&1 &
	pid=$!
	await 20 'the packing to begin' sh -c "ls -l /proc/$pid/fd 2>/dev/null | grep -q '$images/'"
	kill -$signal $pid
	wait $pid 2>/dev/null
	check "nothing is left of a packing ended by $signal" test -z "$(ls -A "$images" | grep stage)"
done
rm "$work/tree/large"
mkdir -p "$images/.stage-old/tree" && : >"$images/.stage-old/tree/file" && : >"$images/.stage-abcdef.lvm"
check 'a later packing' run --rm -e X=1 --copy "$work/tree:/u" "$stat" /
check 'removes what an earlier version left' test -z "$(ls -A "$images" | grep stage)"
: >"$images/.stage-abcdef.lvm"
check 'image rm --all' "$lightvm" image rm --all
check 'leaves nothing' test -z "$(ls -A "$images")"

# ---- what never goes in ----
mkdir "$work/home"
printf 'print("ran")\n' >"$work/home/s.py"
LIGHTVM_CACHE=$work/home/cache run --rm --copy "$work/home:/work" /usr/bin/python3 /work/s.py >"$work/out"
cp -a "$work/home/cache/images" "$work/first"
LIGHTVM_CACHE=$work/home/cache run --rm --copy "$work/home:/work" /usr/bin/python3 /work/s.py >"$work/out"
LIGHTVM_CACHE=$work/home/cache run --rm --copy "$work/home:/work" /usr/bin/python3 /work/s.py >"$work/out"
check 'a cache inside of a volume is not packed' diff <(ls "$work/first") <(ls "$work/home/cache/images")
says 'nor when it is named' 125 'never goes into one' run --rm --copy "$LIGHTVM_CACHE:/c" "$stat" /
"$lightvm" image build -o "$work/home/self.lvm" -v "$work/home:/work" "$stat" >/dev/null && cp "$work/home/self.lvm" "$work/once.lvm"
"$lightvm" image build -o "$work/home/self.lvm" -v "$work/home:/work" "$stat" >/dev/null
check 'an image does not grow by what it replaces' test "$(stat -c %s "$work/once.lvm")" = "$(stat -c %s "$work/home/self.lvm")"
mkdir "$work/special" && mkfifo "$work/special/pipe" "$work/special/another" && : >"$work/special/file"
says 'a pipe that is named' 125 'special/pipe is a pipe, which has no contents to pack' run --rm --copy "$work/special/pipe:/p" "$stat" /
says 'a device that is named' 125 '/dev/null is a device' run --rm -v /dev/null:/n "$stat" /
says '/proc as a volume' 125 '/proc shows the kernel of this machine' run --rm --copy /proc:/host "$stat" /
says 'pipes in a directory are left out with a word' 0 'and others are left out' run --rm --copy "$work/special:/s" "$stat" /s/file
check 'one word' test "$(grep -c 'left out' "$work/says.err")" = 1

# ---- how long it takes ----
# The packing is held up for longer than it may be silent.
truncate -s 200M "$work/tree/large"
cat >"$work/packing" <<EOF
echo \$\$ >"$work/packing.pid"
exec "$lightvm" run --rm --copy "$work/tree:/large" "$stat" -c done /
EOF
/usr/bin/python3 -c 'import pty, sys; pty.spawn(["sh", sys.argv[1]])' "$work/packing" >"$work/terminal" 2>&1 </dev/null &
waiter=$!
is_packing() { pid=$(cat "$work/packing.pid") && ls -l "/proc/$pid/fd" | grep -q "$images/" && kill -STOP "$pid"; }
check 'a packing begins' await 20 'the packing to begin' is_packing
read -rt 0.6 <> <(:)
kill -CONT "$(cat "$work/packing.pid")"
wait $waiter
check 'packing is shown on a terminal' grep -qE 'packing stat: [0-9]+ of [0-9]+ files, [0-9.]+[KMG]? of 20[0-9.]+M' "$work/terminal"
check 'and its line taken away again' grep -q $'\r\033\\[Kdone' "$work/terminal"
rm "$work/tree/large"
run --name stepped --copy "$work/tree:/stepped" "$stat" / >/dev/null
check 'packing is a step of its own' sh -c '"$1" boot-time stepped | grep -q "^image  *[0-9].*image found in the cache, or packed"' - "$lightvm"
"$lightvm" rm stepped

# ---- no room ----
if unshare -m true 2>/dev/null; then
	mkdir -p "$work/small"
	# shellcheck disable=SC2016
	says 'a full disk is named, with what is needed' 125 "small/images: No space left on device: the image takes" unshare -m sh -c '
		mount -t tmpfs -o size=1m small "$1" && chmod 700 "$1" && LIGHTVM_CACHE=$1 exec "$2" run --rm /usr/bin/python3 -c 1' - "$work/small" "$lightvm"
else
	skip 'a full disk is named, with what is needed' 'no right to mount'
fi

# Interrupted while it packs: it ends at once, and nothing is left, neither in the cache nor beside the file that was asked for.
mkdir -p "$work/large" "$work/made" && truncate -s 512M "$work/large/file"
packs() { ls -l "/proc/$1/fd" 2>/dev/null | grep -q '(deleted)'; }
for verb in "run --rm --net none --copy $work/large:/large /bin/true" "image build -v $work/large:/large -o $work/made/image.lvm /bin/true"; do
	read -ra words <<<"$verb"
	ls "$LIGHTVM_CACHE/images" >"$work/before"
	start env --default-signal=INT "$lightvm" "${words[@]}" 2>"$work/err"
	await 10 'the packing' packs $pid || cat "$work/err"
	kill -INT $pid
	wait $pid
	status=$?
	check "SIGINT while ${words[0]} packs" test $status = 130
	check '  leaves nothing' test -z "$(ls -A "$work/made")" -a "$(ls -A "$LIGHTVM_CACHE/images")" = "$(cat "$work/before")"
done
mkdir "$work/theirs"
echo '{ "lightvm": 1 }' >"$work/theirs/manifest.json"
says 'a manifest of somebody else' 125 "/.lightvm/manifest.json is LightVM's own, and is in what is packed already" "$lightvm" image build -o "$work/theirs.lvm" -v "$work/theirs:/.lightvm" /bin/true
finish
