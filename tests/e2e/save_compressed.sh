#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs whose memory is saved compressed: they go on with all of it, it takes less, and what is damaged, or cannot be with it, is refused.
# timeout: 180
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_saves.sh"

start_db 24
count=$(ask count)
"$lightvm" save --leave-running --name plain db >/dev/null
check 'save --compress prints where' test "$("$lightvm" save --compress db)" = "$saved/db"
check '  it has ended' is db saved
check '  its memory lies in one file, for its user alone' test "$(cd "$saved/db" && stat -c %n:%a -- *)" = $'memory.zst:600\nstate:600\nvm.json:600'
check '  of which the manifest tells' jq -e --argjson size "$(stat -c %s "$saved/db/memory.zst")" '.compressed == { method: "zstd", size: $size }' "$saved/db/vm.json"
check '  which is as long as the one that is not, when it is unpacked' test "$(jq .memory_size "$saved/db/vm.json")" = "$(stat -c %s "$saved/plain/memory")"
size_of() { "$lightvm" checkpoint ls --format json | jq --arg name "$1" '.[] | select(.name == $name) | .size'; }
check '  checkpoint ls tells what it takes, which is less' test "$(size_of db)" -lt "$(size_of plain)"
if command -v zstd >/dev/null; then
	check '  zstd reads it, too' test "$(zstd -dqc "$saved/db/memory.zst" | wc -c)" = "$(stat -c %s "$saved/plain/memory")"
else
	skip '  zstd reads it, too' 'there is no zstd here'
fi
for how in '' --prefetch-all; do
	# shellcheck disable=SC2086
	check "restore $how" restore $how db
	check '  with all its memory' test "$(ask digest)" = "$sum"
	check '  as the same program' test "$(ask count | cut -d' ' -f1)" = "${count% *}"
	check '  what was unpacked for it has no name' test "$(cd "$saved/db" && echo *)" = 'memory.zst state vm.json'
	kill_db
done
restore db
check 'a second one beside it' "$lightvm" restore --name twin -p "127.0.0.1:$(free_port):7" db
"$lightvm" rm -f twin
says 'it can be no base' 125 "lightvm: --base: $saved/db: its memory is compressed: nothing can be a difference from it" "$lightvm" save --base db --name part db
check '  it runs' is db running
check '  with all its memory' test "$(ask digest)" = "$sum"
kill_db

# A difference may be compressed.
restore plain
ask 'mark 5' >/dev/null
changed=$(ask digest)
check 'what changed, compressed' "$lightvm" save --compress --base plain --name part db
check 'it goes on' restore part
check '  with all its memory' test "$(ask digest)" = "$changed" -a "$changed" != "$sum"
kill_db

# One that is to go on does so; one that was there stays until it is replaced, in either direction.
restore plain
check 'save --compress --leave-running' "$lightvm" save --compress --leave-running db "$work/there"
check '  it goes on' test "$(ask digest)" = "$sum"
check 'not compressed in its place' "$lightvm" save --leave-running db "$work/there"
check '  nothing of the other stays' test "$(cd "$work/there" && echo *)" = 'memory state vm.json'
check 'and compressed again' "$lightvm" save --compress --leave-running db "$work/there"
check '  likewise' test "$(cd "$work/there" && echo *)" = 'memory.zst state vm.json'

# Where there is room for the memory, but not for what is made of it, the VM goes on.
mkdir "$work/small"
need=$(($(stat -c '%b * %B' "$saved/plain/memory") / 1024 + 256))
if mount -t tmpfs -o size=${need}k tmpfs "$work/small" 2>/dev/null; then
	says 'a disk that becomes full' 125 "$work/small/db: No space left on device" "$lightvm" save --compress db "$work/small/db"
	check '  it runs' is db running
	check '  with all its memory' test "$(ask digest)" = "$sum"
	check '  nothing is left' test -z "$(ls -A "$work/small")"
	umount "$work/small"
else
	skip 'a disk that becomes full' 'no right to mount'
fi
# Clients are killed at each step of a save: its directory is there, the memory as it is, the file for the compressed one, bytes in that, nothing but that, and the manifest.
under_way=$work/.there.saving
steps=("-d $under_way" "-e $under_way/memory" "-e $under_way/memory.zst" "-s $under_way/memory.zst" "-e $under_way/memory.zst -a ! -e $under_way/memory" "-e $under_way/vm.json")
killed=0
for step in "${steps[@]}"; do
	rm -rf "$under_way"
	start "$lightvm" save --compress --leave-running db "$work/there" >/dev/null 2>&1
	end=$((SECONDS + 20))
	# shellcheck disable=SC2086
	until test $step || ! kill -0 "$pid" 2>/dev/null || [ $SECONDS -ge $end ]; do :; done
	kill -KILL "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null
	[ $? != 137 ] || killed=$((killed + 1))
	"$lightvm" inspect "$work/there" >/dev/null || break
done
check 'clients are killed while they save' test $killed -ge 3 || echo "# $killed of ${#steps[@]}"
check 'a client that is killed leaves a VM that runs' await 10 'that it runs' is db running
check '  and goes on' test "$(ask digest)" = "$sum"
kill_db
check '  and files that are whole' restore "$work/there"
check '  with all its memory' test "$(ask digest)" = "$sum"
check '  the next save sweeps' bash -c '"$1" save --compress db "$2/there" >/dev/null && [ -z "$(ls -A "$2" | grep saving)" ]' - "$lightvm" "$work"

# What is not as it was is said before anything is started.
damaged() { # COMMAND...: in a copy
	rm -rf "$work/altered"
	cp -a "$work/there" "$work/altered"
	(cd "$work/altered" && "$@")
}
manifest() { jq "$1" vm.json >new && cat new >vm.json && rm new; }
damaged truncate -s -7 memory.zst
says 'memory that was cut' 125 'altered/memory.zst: ' "$lightvm" restore "$work/altered"
damaged dd if=/dev/zero of=memory.zst bs=1 seek=5000 count=64 conv=notrunc status=none
says 'memory that was altered' 125 "lightvm: $work/altered/memory.zst: zstd: " "$lightvm" restore "$work/altered"
damaged manifest '.memory_size -= 4096'
says 'memory that is more than is told' 125 'altered/memory.zst: more than the' "$lightvm" restore "$work/altered"
damaged manifest '.memory_size += 4096'
says 'memory that is less than is told' 125 'it is not whole' "$lightvm" restore "$work/altered"
damaged manifest '.memory_size = 1099511627776'
says 'memory that is more than such a VM can have' 125 'altered/memory.zst: memory_size: 1099511627776 bytes are more than a VM with a memory_limit of 268435456 can have' "$lightvm" restore "$work/altered"
damaged manifest '.compressed.method = "lz4"'
says 'another method' 125 'compressed.method: "lz4" is not known; this lightvm reads zstd' "$lightvm" restore "$work/altered"
check 'nothing was started' is db saved
if mount -t tmpfs tmpfs "$work/small" 2>/dev/null; then
	cp -a "$work/there" "$work/small/there"
	mount -o remount,ro "$work/small"
	check 'on a disk that cannot be written to' restore "$work/small/there"
	check '  with all its memory' test "$(ask digest)" = "$sum"
	kill_db
	umount -l "$work/small"
else
	skip 'on a disk that cannot be written to' 'no right to mount'
fi
check 'checkpoint rm' "$lightvm" checkpoint rm part plain db "$work/there"
check '  leaves nothing' test -z "$(ls -A "$saved")" -a ! -e "$work/there"
finish
