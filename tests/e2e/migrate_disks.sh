#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A VM with a disk that both hosts reach moves, and back: its lock goes with it, comes back when the move fails at any message, and nobody else gets the disk meanwhile.
# timeout: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
port=$(free_port)
fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
a "$lightvm" host add big "127.0.0.1:$port" "$fb"
b "$lightvm" host add small "127.0.0.1:$((port + 1))" "$fa"

# It writes a record to the disk each time, one block after the other and round again, and looks at all that it has written: a disk that is another one, or that somebody else wrote to, is seen.
cat >"$work/writes.c" <<'C'
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 512, SIZE = 4096 };

int main(int argc, char **argv)
{
	static uint64_t block[SIZE / 8];
	int fd = open(argv[1], O_RDWR);
	if (fd < 0)
		return 1;
	for (uint64_t turn = 1;; turn++) {
		for (int i = 0; i < SIZE / 8; i++)
			block[i] = turn;
		if (pwrite(fd, block, SIZE, turn % BLOCKS * SIZE) != SIZE || fsync(fd))
			return 2;
		for (uint64_t old = turn; old && old > turn - 8 && old <= turn; old--)
			if (pread(fd, block, SIZE, old % BLOCKS * SIZE) != SIZE || block[0] != old || block[SIZE / 8 - 1] != old)
				return 3;
		printf("%llu\n", (unsigned long long)turn);
		fflush(stdout);
		usleep(10000);
	}
}
C
gcc -O2 -o "$work/writes" "$work/writes.c" || { not_ok "a program" "gcc failed"; finish; }
mkdir "$work/shared" "$work/elsewhere"
truncate -s 4M "$work/shared/disk" "$work/elsewhere/disk"
ln -s ../elsewhere/disk "$work/shared/link"
serve() { # HOST PORT OPTION...
	start "$work/as-$1" "$lightvm" host serve --listen "127.0.0.1:$2" "${@:3}" 2>>"$work/serve-$1.log"
	server=$pid
	await 10 "host $1" port_open "$2"
}
unserve() { kill "$server"; wait "$server"; }
has_disk() { a "$lightvm" run -d --name "$1" --disk "$2" "$work/writes" /dev/vda >/dev/null && await 20 "a VM that writes" said a "$1" 3; }
check "a VM that writes to its disk" has_disk disk "$work/shared/disk"

# ---- refused
says "a place that is none" 125 "--disks $work/none: No such file or directory" b "$lightvm" host serve --disks "$work/none"
says "one that is a file" 125 "--disks $work/writes: no directory" b "$lightvm" host serve --disks "$work/writes"
says "one without a slash" 125 "--disks shared: no absolute path" b "$lightvm" host serve --disks shared
serve b "$port"
says "a host that takes no disks" 125 "its disk $work/shared/disk is in no directory from which this host takes disks: lightvm host serve --disks DIR" a "$lightvm" migrate disk big
unserve
serve b "$port" --disks "$work/elsewhere"
says "or from elsewhere only" 125 "is in no directory from which this host takes disks" a "$lightvm" migrate disk big
unserve
serve b "$port" --disks "$work/shared"
check "a disk that is a link" has_disk linked "$work/shared/link"
says "  leads out of the place" 125 "its disk $work/shared/link, here: " a "$lightvm" migrate linked big
a "$lightvm" rm -f linked >/dev/null
mv "$work/shared/disk" "$work/shared/away"
truncate -s 4M "$work/shared/disk"
says "a file of the same name" 125 "is not the same file here" a "$lightvm" migrate disk big
mv "$work/shared/away" "$work/shared/disk"
check "it runs on here" test "$(states a)" = disk:running
check "nothing is left there" await 10 "nothing" nothing_at b

# ---- a source that is trusted, and not honest
start_vm honest && a "$lightvm" save honest "$work/offer" >/dev/null
a "$lightvm" rm -f honest >/dev/null
mkfifo "$work/shared/fifo"
ln -s "$work/elsewhere" "$work/shared/dir"
cp "$work/shared/disk" "$work/shared/free"
file() { stat -c '[{"size": %s, "inode": %i}]' "$1"; }
offer() { # ANSWER PATH TOLD [MEMBERS]
	local said
	said=$(within 20 "$(dirname "$0")/migrate_hostile.py" "$port" "$work/kept-a/hosts/own.pem" "$work/offer/vm.json" '{"disks": [{"path": "'"$2"'"}], "told": '"$3${4-}"'}')
	grep -qF -- "$1" <<<"$said" || { echo "$said"; return 1; }
}
held=$work/shared/disk
check "an offer as it should be" offer WANTED "$held" "$(file "$held")"
check "no way out of the place by .." offer "-device link" "$work/shared/../elsewhere/disk" "$(file "$work/elsewhere/disk")"
check "none by a directory that is a link" offer "ymbolic link" "$work/shared/dir/disk" "$(file "$work/elsewhere/disk")"
check "none by a second slash" offer "-device link" "$work/shared//etc/passwd" "$(file /etc/passwd)"
check "not a name that only begins like it" offer "is in no directory from which" "$work/shared-too/disk" "$(file "$held")"
check "no directory" offer "is no regular file here" "$work/shared/." "$(file "$held")"
check "no pipe" offer "is no regular file here" "$work/shared/fifo" "$(file "$held")"
check "none that is not there" offer "here: No such file or directory" "$work/shared/nothing" "$(file "$held")"
check "none of another length" offer "is not the same file here: it has 4194304 bytes, and 17 there" "$held" '[{"size": 17, "inode": 1}]'
check "none of another number" offer "is not the same file here: it is number" "$held" "$(file "$work/shared/free")"
check "none that nobody holds" offer "nobody does here" "$work/shared/free" "$(file "$work/shared/free")"
for told in '[]' 'null' '{}' '[7]' '[{"size": "4194304", "inode": 1}]' '[{"size": 4194304}]'; do
	check "none of which it says $told" offer "the other host does not say which file that is" "$held" "$told"
done
check "none that is started again, and opened like any disk then" offer "has disks, and is started again when it ends (--restart)" "$held" "$(file "$held")" ', "restart": "always"'
check "nothing is left there" await 10 "nothing" nothing_at b

# ---- it moves
in_use() { ! "$work/as-$1" "$lightvm" run --rm --disk "$work/shared/disk" /bin/true 2>"$work/err" && grep -q "is in use by another VM" "$work/err"; }
turns_follow() { "$work/as-$1" "$lightvm" logs disk | awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 }'; }
check "the disk has one user" in_use b
says "it moves, by pre-copy also where another way was asked for" 0 "it was moved by --pre-copy: it has disks" within 60 "$work/as-a" "$lightvm" migrate --post-copy disk big
check "  it runs there, and nothing is left here" test "$(states a)/$(states b)" = /disk:running
check "  it writes, and reads what it wrote" await 10 "turns" said b disk 20
check "  none is lost or twice" turns_follow b
check "  the disk has one user there, too" in_use a
unserve

# ---- and back, but for what fails at each message of either side
strace -o /dev/null -e inject=getpid:signal=USR1:when=1000 true 2>/dev/null || { skip "moves that are cut" "strace cannot trace here"; finish; }
goes_on() { # HOST
	await 10 "it, at $1" eval '[ "$(states '"$1"')" = disk:running ]' && before=$(host "$1" "$lightvm" logs disk | wc -l) && await 10 "turns" said "$1" disk $((before + 3)) && turns_follow "$1" && in_use a && in_use b
}
serve a $((port + 1)) --disks "$work/shared"
server_a=$server
away() { [ -z "$(states a)" ] || within 60 "$work/as-a" "$lightvm" migrate --stop-and-copy disk big; }
# There, back, and there again with both images where they are needed: what is sent then is sent each time. The last ones are the state, which comes after the disk was let go, and COMMIT.
counts() {
	within 60 "$work/as-b" "$lightvm" migrate --stop-and-copy disk small && serve b "$port" --disks "$work/shared" && away && unserve &&
		strace -qq -o "$work/count" -e trace=sendmsg -e signal=none "$work/as-b" "$lightvm" migrate --stop-and-copy disk small &&
		serve b "$port" --disks "$work/shared" && away && unserve
}
check "it moves to and fro" counts
settled() { [ "$(states a)" = disk:running ] || ! pgrep -P "$server_a" >/dev/null; }
asked=0
refuses_a_person() {
	says "who says that it runs here is wrong: its disk is the other's" 125 "others have its disks, and it stands still" b "$lightvm" migrate --resolve source disk
	check "  that it is not known is still known" says_unknown
	asked=1
}
says_unknown() { [ -e "$work/b/names/disk/migration" ] && [ "$(states b)" = disk:paused ] && ! b "$lightvm" resume disk 2>"$work/err" && grep -q "may run at host small" "$work/err"; }
count=$(wc -l <"$work/count")
stayed=0
for n in 1 2 3 $(seq $((count - 4)) $((count + 1))); do
	within 40 strace -qq -o /dev/null -e inject=sendmsg:signal=KILL:when=$n "$work/as-b" "$lightvm" migrate --stop-and-copy disk small >"$work/try" 2>&1
	if [ -e "$work/b/names/disk/migration" ]; then
		await 20 "the other side" settled
		[ "$(states a)" != disk:running ] || refuses_a_person
		b "$lightvm" migrate --resolve ask disk >"$work/resolved" 2>&1
	fi
	await 20 "one that runs" eval '[ "$(states a)$(states b)" = disk:running ]'
	where=b
	[ -z "$(states a)" ] || where=a
	goes_on $where >"$work/goes" 2>&1 || { cat "$work/try" "$work/goes"; not_ok "the source is killed at message $n" "it does not go on at $where"; }
	[ $where = b ] || break
	stayed=$((stayed + 1))
done
check "killed at its messages, the source has its disk again ($stayed times of $count)" test $stayed -ge 4
check "it was asked, too, when the other side had it" test $asked = 1
kill "$server_a"; wait "$server_a"

# The other side is killed at each of its messages; READY is the fourth, by which it has the disk.
[ -z "$(states b)" ] || where=b
[ -z "$(states a)" ] || where=a
[ $where = a ] && to=big at=$port there=b || { to=small at=$((port + 1)) there=a; }
stayed=0
for n in 1 2 3 4 5 6; do
	start "$work/as-$there" python3 "$(dirname "$0")/migrate_listen.py" "$at" "$lightvm" strace -qq -o /dev/null -e inject=sendmsg:signal=KILL:when=$n \
		"$lightvm" host receive --disks "$work/shared" >"$work/listen.out" 2>>"$work/serve.log"
	listener=$pid
	await 10 "who listens" grep -q listening "$work/listen.out"
	within 40 "$work/as-$where" "$lightvm" migrate --stop-and-copy disk $to >"$work/try" 2>&1
	kill "$listener"; wait "$listener" 2>/dev/null
	serve $there "$at" --disks "$work/shared"
	[ ! -e "$work/$where/names/disk/migration" ] || host $where "$lightvm" migrate --resolve ask disk >"$work/resolved" 2>&1
	await 10 "one that runs" eval '[ "$(states a)$(states b)" = disk:running ]'
	unserve
	[ -z "$(states $there)" ] || break
	goes_on $where >"$work/goes" 2>&1 || { cat "$work/try" "$work/goes"; not_ok "the other side is killed at message $n" "it does not go on at $where"; }
	stayed=$((stayed + 1))
done
check "when the other side is killed, too ($stayed times)" test $stayed -ge 4
[ -n "$(states $where)" ] || where=$there
check "it goes on at last, with a disk that is its own" goes_on $where
finish
