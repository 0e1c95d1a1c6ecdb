#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs of which only what changed is saved: what it takes, that it goes on with all that it had, what is refused, what is left when a command is killed or a disk is full.
# timeout: 240
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_saves.sh"
taken() { jq '.memory_taken' "$1/vm.json"; }
milliseconds() { # COMMAND...: how long it took
	local begin=${EPOCHREALTIME/./}
	"$@" >/dev/null || return 1
	echo $(((${EPOCHREALTIME/./} - begin) / 1000))
}
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }

"$lightvm" run -d --wait --name db -m 256M -p "127.0.0.1:$port:7" "$guest" 7 >/dev/null
id=$("$lightvm" inspect -f id db)
ask 'hold 64' >/dev/null
says 'of one that was not restored' 125 "there is no saved VM \"db\"" "$lightvm" save --base db --name monday db
"$lightvm" save --leave-running --name other db >/dev/null
says '  nor with a saved one' 125 "VM $id: it was not saved, and goes on: it was not restored from a saved VM, so that it is not known what changed since one" "$lightvm" save --base other --name monday db
check '  it runs' is db running
check '  nothing is left' test ! -e "$saved/monday"
whole=$(milliseconds "$lightvm" save db)
count=$(restore db && ask count)

# An idle one.
part=$(milliseconds "$lightvm" save --base db --name idle --leave-running db)
echo "# 64 MiB: the whole takes $(taken "$saved/db") bytes and $whole ms, what changed in an idle VM $(taken "$saved/idle") bytes and $part ms"
check 'a difference of an idle VM is small' test $(($(taken "$saved/idle") * 16)) -lt "$(taken "$saved/db")"
check 'its manifest names the other' jq -e --arg path "$saved/db" --arg sum "$(sha256sum <"$saved/db/state" | cut -d' ' -f1)" '.parent == { path: $path, state_sha256: $sum }' "$saved/idle/vm.json"
check 'checkpoint ls shows it' bash -c '"$1" checkpoint ls | grep -q "^idle .* db  *"' - "$lightvm"
check '  as JSON' jq -e --arg path "$saved/db" 'map({ (.name): .parent }) | add | .idle == $path and .db == null' <("$lightvm" checkpoint ls --format json)
says 'from another one' 125 'it was not restored from that saved VM, but from another one, or a copy of it' "$lightvm" save --base other --name x db
cp -a "$saved/db" "$work/copy"
says 'from a copy' 125 'or a copy of it' "$lightvm" save --base "$work/copy" --name x db
says 'from none' 125 'there is no saved VM "nothere"' "$lightvm" save --base nothere --name x db
says 'in the place of the other' 125 "$saved/db cannot be replaced by what changed since" "$lightvm" save --base db db
says 'a whole one in its place' 125 "$saved/db stays: idle, saved later, holds only what changed since" "$lightvm" save db
check '  it runs' is db running
says 'checkpoint rm of what is needed' 125 "$saved/db stays: idle, saved later, holds only what changed since; remove that before, with: lightvm checkpoint rm idle" "$lightvm" checkpoint rm db
check '  it is there' test -e "$saved/db/vm.json"

# Three, one on the other: memory that is written, wiped, given back.
parent=db
for change in 'mark 5' wipe drop; do
	name=${change%% *}
	before=$(ask digest)
	ask "$change" >/dev/null
	sum=$(ask digest)
	check "$change changes memory" test "${#sum}" = 16 -a "$sum" != "$before"
	"$lightvm" save --base $parent --name "$name" db >/dev/null
	check "$change: it goes on" restore "$name"
	check '  with all its memory' test "$(ask digest)" = "$sum"
	check '  as the same program' test "$(ask count | cut -d' ' -f1)" = "${count% *}"
	check '  which takes less' test "$(taken "$saved/$name")" -lt $(($(taken "$saved/db") / 4))
	parent=$name
done
"$lightvm" save --leave-running --name all db >/dev/null
kill_db
check 'a whole one of that' restore all
check '  with all its memory' test "$(ask digest)" = "$sum"
check '  needs no other' jq -e '.parent == null' "$saved/all/vm.json"
kill_db
for _ in 1 2 3; do
	restore drop && got=$(ask digest)
	kill_db
	check 'as often as one likes' test "$got" = "$sum"
done
restore drop
clone=$("$lightvm" restore --name twin -p "127.0.0.1:$(free_port):7" drop)
check 'a second one beside it' is "$clone" running
"$lightvm" save --base drop --name of-twin twin >/dev/null
check '  can be saved so, too' jq -e '.parent.path | endswith("/drop")' "$saved/of-twin/vm.json"
"$lightvm" rm twin

# A chain has an end.
parent=drop
for i in 1 2 3 4; do
	"$lightvm" save --base $parent --name "n$i" db >/dev/null
	restore "n$i"
	parent=n$i
done
check 'eight of them' test "$(ask digest)" = "$sum"
says '  and no more' 125 '--base '"$saved/n4"': it is the last of 8 saved VMs, each a difference from the one before' "$lightvm" save --base n4 --name n5 db
check '  it runs' is db running

quickest() { # SAVED: of seven restores, in us
	local begin best=
	for _ in 1 2 3 4 5 6 7; do
		kill_db
		begin=${EPOCHREALTIME/./}
		"$lightvm" restore "$1" >/dev/null
		begin=$((${EPOCHREALTIME/./} - begin))
		await 10 'its port' port_open "$port"
		[ "${best:-$begin}" -lt $begin ] || best=$begin
	done
	echo "$best"
}
echo "# restores, the quickest of seven: of a whole one $(quickest db) us, of the last of two $(quickest mark) us, of four $(quickest drop) us, of eight $(quickest n4) us"

# A full disk, a client that is killed.
mkdir "$work/small"
if mount -t tmpfs -o size=128k tmpfs "$work/small" 2>/dev/null; then
	kill_db
	restore drop
	ask 'mark 9' >/dev/null
	says 'a full disk' 125 'there is no room for its memory: it was not saved, and goes on' "$lightvm" save --base drop db "$work/small/db"
	check '  nothing is left' test -z "$(ls -A "$work/small")"
	umount "$work/small"
else
	skip 'a full disk' 'no right to mount'
fi
sum=$(ask digest)
for i in 1 3 5 7 9; do
	start "$lightvm" save --leave-running --base drop --name killed db >/dev/null 2>&1
	read -rt "0.00$i" <> <(:) || :
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
done
check 'a client that is killed leaves a VM that runs' await 10 'the VM' is db running
check '  with its memory' test "$(ask digest)" = "$sum"
"$lightvm" save --base drop --name killed db >/dev/null
check '  and the next save is whole' restore killed
check '    with all its memory' test "$(ask digest)" = "$sum"
kill_db

# Its parents are missing, others, or damaged.
refuses() { # NAME TEXT
	says "$1" 125 "$2" "$lightvm" restore wipe
	check '  nothing runs' test -z "$("$lightvm" ps -q)"
}
mv "$saved/mark" "$work/aside"
refuses 'without its parent' "$saved/wipe: it holds only what changed since another saved VM: $saved/mark: there is no such directory or file"
cp -a "$saved/idle" "$saved/mark"
refuses 'with another one in its place' "$saved/mark is another one by now: SHA-256 of its state is"
rm -r "$saved/mark"
mv "$work/aside" "$saved/mark"
mv "$saved/db" "$work/aside"
refuses 'without what lies below that' "$saved/db: there is no such directory or file"
mv "$work/aside" "$saved/db"
truncate -s -4096 "$saved/db/memory"
refuses 'with memory that was cut' "$saved/db/memory: "
truncate -s +4096 "$saved/db/memory"
jq '.parent = null' "$saved/wipe/vm.json" >"$work/vm.json" && cp "$saved/wipe/vm.json" "$work/kept.json" && cat "$work/vm.json" >"$saved/wipe/vm.json"
check 'a manifest that hides that it is a difference' bash -c '! "$1" restore wipe >"$2" 2>&1 && grep -q . "$2" && [ -z "$("$1" ps -q)" ]' - "$lightvm" "$work/out"
check '  says it' contains 'its memory holds only what changed since another one, which is missing' cat "$work/out"
cat "$work/kept.json" >"$saved/wipe/vm.json"
jq --slurpfile other "$saved/wipe/vm.json" '.parent = $other[0].parent' "$saved/all/vm.json" >"$work/vm.json" && cat "$work/vm.json" >"$saved/all/vm.json"
check 'one that says of a whole one that it is one' bash -c '! "$1" restore all >"$2" 2>&1 && grep -q "is no difference from another one, or is damaged" "$2"' - "$lightvm" "$work/out"
printf 'X' | dd of="$saved/wipe/memory" bs=1 seek=$(($(stat -c %s "$saved/wipe/memory") - 30)) conv=notrunc status=none
check 'a damaged list of what changed' bash -c '! "$1" restore wipe >"$2" 2>&1 && grep -q "is no difference from another one, or is damaged" "$2"' - "$lightvm" "$work/out"
check 'checkpoint rm of all, the last ones first' "$lightvm" checkpoint rm all killed n4 n3 n2 n1 of-twin drop wipe mark idle db other
check '  they are gone' test -z "$("$lightvm" checkpoint ls -q)"
"$lightvm" rm -f db
finish
