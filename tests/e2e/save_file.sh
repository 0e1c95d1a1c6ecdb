#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs that are saved to one file, or through a pipe: they go on with all of it; whatever is interrupted, the VM runs on and the older file is whole; what is damaged is refused.
# timeout: 180
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_saves.sh"

start_db 8
mkdir "$work/place"
file=$work/place/db.saved
goes_on() { # NAME: with all its memory
	check "  with all its memory" test "$(ask digest)" = "$sum"
}
alone() { [ "$(ls -A "$work/place")" = db.saved ]; }
check 'save --file prints where' test "$("$lightvm" save -R --file "$file" db)" = "$file"
goes_on
check '  it is one file, for its user alone' test "$(stat -c %F:%a "$file")" = 'regular file:600'
check '  and nothing else' alone
check 'inspect tells what it is' jq -e --arg id "$id" '.[0] | .id == $id and .compressed.method == "zstd"' <("$lightvm" inspect "$file")
kill_db
check 'restore' restore "$file"
goes_on
check 'save -o, and it ends' "$lightvm" save --file "$file" db
check '  it is listed as saved' is db saved
# What is called as the VM is, and is another one, where the command runs.
mkdir "$work/here"
cp "$file" "$work/here/db"
check '  its name is not the file of that name here' test "$(cd "$work/here" && "$lightvm" checkpoint inspect db | jq -r '.[0].path')" = "$file"
check '  checkpoint rm takes what restore would have' eval '(cd "$work/here" && "$lightvm" checkpoint rm db) && [ ! -e "$file" ] && mv "$work/here/db" "$file"'
check '  restore finds it by its name' restore db
goes_on
check 'a second one beside it' "$lightvm" restore --name twin -p "127.0.0.1:$(free_port):7" "$file"
"$lightvm" rm -f twin
says '--prefetch has no place to write to' 125 'is one file, beside which nothing is written down' "$lightvm" restore --prefetch --name twin "$file"

# Through a pipe.
through_a_pipe() { "$lightvm" save -R --file - db >"$work/stream" && kill_db && restore - <"$work/stream"; }
mkdir -p -m 700 "$saved/db"
echo dear >"$saved/db/letter"
check 'save --file - and restore -' through_a_pipe
goes_on
check '  nothing was written in the user'"'"'s own place' test "$(ls -A "$saved") $(ls -A "$saved/db")" = 'db letter'
through_two() { "$lightvm" save -R --file - db | "$lightvm" restore --name twin -p "127.0.0.1:$(free_port):7" - && "$lightvm" rm -f twin; }
check 'from one into the other' through_two
run_it() { "$lightvm" run -d --restore - --name twin -p "127.0.0.1:$(free_port):7" <"$work/stream" && "$lightvm" rm -f twin; }
check '  run -d --restore - does so, too' run_it
check 'one of that name that cannot be read' eval 'rm -r "$saved/db" && "$lightvm" save -R --file "$saved/db" db && printf %b "\xff" | dd of="$saved/db" bs=1 seek=60 conv=notrunc status=none'
says '  is somebody'"'"'s, perhaps: it is told' 125 "$saved/db" "$lightvm" save -R db
check '  after that is removed' eval 'rm "$saved/db" && mkdir -m 700 "$saved/db" && echo dear >"$saved/db/letter"'
gone_reader() { "$lightvm" save -R --file - db | head -c 1000 >/dev/null; [ "${PIPESTATUS[0]}" != 0 ]; }
check 'who reads goes: it was not saved' gone_reader
check '  nothing of it stays' test "$(ls -A "$saved")" = db
says '  and it is said' 125 'standard output: Broken pipe' bash -c '"$1" save -R --file - db 2>"$2" | true; status=${PIPESTATUS[0]}; cat "$2" >&2; exit "$status"' pipe "$lightvm" "$work/said"
says 'there is no end to what comes' 125 'standard input: no saved VM: it does not begin like one' within 20 "$lightvm" restore - </dev/zero
goes_on
says 'a pipe alone is no place to end for' 125 '--file -: whether it arrives is not known here: only with --leave-running' "$lightvm" save --file - db
says 'nothing comes' 125 'standard input: no saved VM: it does not begin like one' "$lightvm" restore -
says 'its program cannot have what it comes from' 125 'standard input cannot be the program'"'"'s, too' "$lightvm" restore -a -
says '  nor in the foreground of run' 125 'standard input cannot be the program'"'"'s, too' "$lightvm" run --restore -
says 'one file is no base' 125 "lightvm: --base: $file: its memory is compressed: nothing can be a difference from it" "$lightvm" save --base "$file" --name part db
ln -s "$file" "$work/link"
says 'a link is not followed' 125 "$work/link is a symbolic link; name what it leads to" "$lightvm" restore "$work/link"
says 'what is not there' 125 "$work/none: there is no such directory or file" "$lightvm" restore "$work/none"
says '  and cannot be removed' 125 "$work/none: there is no such directory or file" "$lightvm" checkpoint rm "$work/none"
says 'two places' 125 "--file $file is where it goes; /elsewhere would be another place" "$lightvm" save --file "$file" db /elsewhere
says 'a name' 125 '--name would be another place' "$lightvm" save --file "$file" --name other db
says 'what changed alone' 125 "--file $file holds all of it, --base only what changed: leave one out" "$lightvm" save --file "$file" --base db db
says 'no name' 125 '--file: the file has no name' "$lightvm" save --file '' db
echo dear >"$work/letter"
says 'what is something else is not replaced' 125 "$work/letter is there, and no file with a saved VM; name another one" "$lightvm" save --file "$work/letter" db
says '  nor is a directory' 125 "$work/place is there, and no file with a saved VM" "$lightvm" save --file "$work/place" db
says '  nor removed' 125 "$work/letter: no saved VM; nothing was removed" "$lightvm" checkpoint rm "$work/letter"
check '  the letter is there' grep -q dear "$work/letter"
says 'a directory that is not there' 125 "$work/none: No such file or directory" "$lightvm" save --file "$work/none/db" db

# A disk that becomes full.
mkdir "$work/small"
if mount -t tmpfs -o size=2m tmpfs "$work/small" 2>/dev/null; then
	says 'a full disk' 125 'it was not saved, and goes on' "$lightvm" save --file "$work/small/db" db
	check '  nothing is left' test -z "$(ls -A "$work/small")"
	umount "$work/small"
	goes_on
else
	skip 'a full disk' 'no right to mount'
fi

# Killed at each of its writes, renames and syncs: there is a file, whole, and the VM runs.
whole() { "$lightvm" inspect "$file" >/dev/null && await 10 'that it runs' is db running; }
killed_at() { # CALL NUMBER: killed there; false: it came to its end before
	local status=0
	strace -f -qq -o /dev/null -e "inject=$1:signal=KILL:when=$2" "$lightvm" save -R --file "$file" db >/dev/null 2>&1 || status=$?
	[ $status != 0 ]
}
killed_everywhere() { # CALL LEAST: at the first three of such calls, and at the last twenty, the file's own
	local n all killed=0
	strace -f -qq -e "trace=$1" -o "$work/calls" "$lightvm" save -R --file "$file" db >/dev/null || return
	all=$(grep -c " $1(" "$work/calls")
	for ((n = 1; n <= all; n++)); do
		[ $n -le 3 ] || [ $n -gt $((all - 20)) ] || continue
		! killed_at "$1" $n || killed=$((killed + 1))
		whole || { echo "after $1 number $n"; return 1; }
	done
	[ $killed -ge "$2" ] || { echo "killed $killed times only, of $all"; return 1; }
}
if strace -o /dev/null -e inject=getpid:signal=USR1:when=1000 true 2>/dev/null; then
	check 'killed when it writes' killed_everywhere write 10
	check '  when it renames' killed_everywhere renameat 1
	check '  when it brings that to the disk' killed_everywhere fsync 2
	check '  the VM goes on' test "$(ask digest)" = "$sum"
else
	skip 'clients that are killed' 'strace cannot trace here'
fi
check 'the next save leaves nothing else' "$lightvm" save -R --file "$file" db
check '  but its file' alone
kill_db
check '  from which it goes on' restore "$file"
goes_on
kill_db

# What is not as it was is said before anything is started.
damaged() { cp "$file" "$work/altered" && chmod 600 "$work/altered" && "$@"; }
put() { printf %b "$2" | dd of="$work/altered" bs=1 seek="$1" conv=notrunc status=none; }
damaged truncate -s -7 "$work/altered"
says 'one that was cut' 125 "$work/altered: $(($(stat -c %s "$file") - 7)) bytes where its head says $(stat -c %s "$file"); it is not whole" "$lightvm" restore "$work/altered"
damaged put 8 '\x02'
says 'a later version' 125 "$work/altered: version 2 is not known; this lightvm reads 1" "$lightvm" restore "$work/altered"
damaged put 12 '\xff'
says 'another head' 125 "$work/altered: its head is damaged" "$lightvm" restore "$work/altered"
damaged put 60 '\x01'
says 'another manifest' 125 "$work/altered: its manifest is damaged" "$lightvm" restore "$work/altered"
damaged put $((48 + $(od -An -tu4 -j12 -N4 "$file") + 100)) '\x55\xaa\x55\xaa\x55\xaa'
says 'another state' 125 "lightvm: $work/altered: its state is damaged" "$lightvm" restore "$work/altered"
check '  which nobody reads who only asks what it is' "$lightvm" inspect "$work/altered"
damaged put $(($(stat -c %s "$file") - 9000)) '\x55\xaa\x55\xaa\x55\xaa'
says 'another memory' 125 "lightvm: $work/altered: zstd: " "$lightvm" restore "$work/altered"
damaged chmod 622 "$work/altered"
says 'one that others may write to' 125 'others than its owner may write to it (mode 622)' "$lightvm" restore "$work/altered"
check '  nothing of them was started' test "$("$lightvm" inspect -f state db)" = exited
check 'checkpoint rm' "$lightvm" checkpoint rm "$file"
check '  it is gone' test -z "$(ls -A "$work/place")"
finish
