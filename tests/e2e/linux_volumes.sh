#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Live volumes of Linux guests, whose kernel speaks virtio-fs to the servers of which tests/e2e/volumes.sh tells.
# timeout: 90
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_volumes
busybox=$(command -v busybox)
data=$work/data
mkdir -p "$data/sub" "$work/fixed"
echo hello >"$data/file"
echo fixed >"$work/fixed/file"
ln -s file "$data/link"
chmod 640 "$data/file"
vm() { within 30 "$lightvm" run --rm --net none --kernel linux "$@"; }

# It says "ready" and goes on when the host has answered: both see what the other one does.
cat >"$data/script" <<'SCRIPT'
cat /data/link
stat -c %a /data/file
echo one >/data/new && echo two >>/data/new
mkdir -p /data/a/b && mv /data/new /data/a/b/moved && ln /data/a/b/moved /data/hard && ln -s nowhere /data/soft
cp /bin/busybox /data/copy
cat /fixed/file
touch /fixed/new 2>&1
mknod /data/device b 8 0 2>&1
awk '$2 == "/data" || $2 == "/fixed" { print $2, $3, substr($4, 1, 2) }' /proc/mounts
echo >/data/ready
until [ -e /data/answer ]; do sleep 0.1; done
cat /data/answer
echo below >/data/below/file
rm /data/ready
SCRIPT
start "$lightvm" run --rm --net none --kernel linux -v "$data:/data" -v "$work/fixed:/fixed:ro" --tmpfs /data/below --copy "$busybox:/bin/busybox" "$busybox" sh /data/script >"$work/got" 2>&1
await 30 'the guest to be ready' test -e "$data/ready"
echo answer >"$data/answer.new"
mv "$data/answer.new" "$data/answer"
await 10 'the guest to be done' test ! -e "$data/ready"
wait "$!"
check 'what the guest sees, and is refused' diff - "$work/got" <<'GOT'
hello
640
fixed
touch: /fixed/new: Read-only file system
mknod: /data/device: Operation not permitted
/data virtiofs rw
/fixed virtiofs ro
answer
GOT
check 'what it wrote is on the host, whole' cmp "$busybox" "$data/copy"
check '  appended and moved' test "$(cat "$data/a/b/moved")" = $'one\ntwo'
check '  but for what it kept in its memory, below' test -d "$data/below" -a ! -e "$data/below/file"
check '  linked' test "$data/hard" -ef "$data/a/b/moved" -a "$(readlink "$data/soft")" = nowhere
# By a name, a whole root that is read-only, and another user.
vm --read-only -v kept:/kept -u 1000:1000 "$busybox" sh -c 'touch /kept/x' 2>"$work/err"
check 'a volume by its name is root'"'"'s' grep -q 'Permission denied' "$work/err"
check '  who can write there' vm --read-only -v kept:/kept "$busybox" sh -c 'echo kept >/kept/file && ! touch /other 2>/dev/null'
check '  and it outlives the VM' test "$(vm -v kept:/kept:ro "$busybox" cat /kept/file)" = kept

# A kernel without virtio-fs.
export LIGHTVM_CACHE=$work/cache
mkdir -p -m 700 "$work/cache/kernel/old-0123456789ab"
ln -s "$linux_kernel" "$work/cache/kernel/old-0123456789ab/vmlinux"
echo '# CONFIG_VIRTIO_FS is not set' >"$work/cache/kernel/old-0123456789ab/config"
echo '{}' >"$work/cache/kernel/old-0123456789ab/meta.json"
ln -s old-0123456789ab "$work/cache/kernel/old"
"$lightvm" run --rm --net none --kernel old -v "$data:/data" "$busybox" true 2>"$work/err" && not_ok 'a kernel without virtio-fs' 'it ran'
check 'a kernel without virtio-fs: what to do is said' grep -qF "kernel old has no virtio-fs (CONFIG_VIRTIO_FS), by which volumes are live; --copy $data:/data gives the VM a copy" "$work/err"
finish
