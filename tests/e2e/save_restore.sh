#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs that are saved and go on: what they remember, what is refused, what is left when a command is killed or a disk is full.
# timeout: 240
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_counter
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }
state_of() { "$lightvm" inspect -f state "$1"; }
is() { [ "$(state_of "$1")" = "$2" ]; }
last() { "$lightvm" logs "$1" | tail -n 1; }
grows() { [ "$(last "$1")" != "$2" ]; }
saved=$LIGHTVM_KEPT/saved

# A program that counts goes on counting.
id=$("$lightvm" run -d --name counter "$guest")
await 10 'the first number' grows counter ''
path=$("$lightvm" save counter)
check 'save prints where' test "$path" = "$saved/counter"
check 'ps -a shows it as saved' contains saved "$lightvm" ps -a
check '  and ps does not' test -z "$("$lightvm" ps -q)"
check 'its state' is counter saved
check 'a directory of its user alone' test "$(stat -c %a "$path")" = 700
check '  as its files' test "$(stat -c %a "$path"/* | sort -u)" = 600
check 'checkpoint ls' contains counter "$lightvm" checkpoint ls
check 'checkpoint ls -q' test "$("$lightvm" checkpoint ls -q)" = counter
check 'checkpoint ls --format json' jq -e --arg id "$id" 'length == 1 and .[0].vm == $id and .[0].size > 0' <("$lightvm" checkpoint ls --format json)
check 'inspect DIR is the manifest' jq -e --arg id "$id" '.[0].format == 1 and .[0].id == $id and .[0].config.id == $id and .[0].guest == "libos"' <("$lightvm" inspect "$path")
check 'inspect -f of it' test "$("$lightvm" inspect -f name "$path")" = counter
check 'prune leaves it' bash -c '"$1" prune -f >/dev/null; [ "$("$1" inspect -f state counter)" = saved ]' - "$lightvm"
says 'save of one that is saved' 125 "VM $id has ended and was saved; it goes on with: lightvm restore $id" "$lightvm" save counter
before=$(last counter)
check 'restore by name prints the id' test "$("$lightvm" restore counter)" = "$id"
check 'it goes on' await 10 'the next number' grows counter "$before"
check '  as the same program' test "$("$lightvm" logs counter | cut -d' ' -f1 | sort -u | wc -l)" = 1
check '  with no number left out or twice' test "$("$lightvm" logs counter | awk '{ if ($2 != NR - 1) bad = 1 } END { print bad + 0 }')" = 0
says 'restore of one that runs' 125 'VM counter still runs; to have a second one beside it: lightvm restore --name NAME' "$lightvm" restore counter
second=$("$lightvm" restore --name second "$path")
check 'a second one beside it' await 10 'its number' grows second ''
check '  has another id' test "$second" != "$id"
check '  and both run' test "$("$lightvm" ps -q | wc -l)" = 2
"$lightvm" rm -f second
check 'saved again, in the place of the older one' test "$("$lightvm" save counter)" = "$path"
now=$(last counter)
"$lightvm" restore counter >/dev/null
await 10 'the next number' grows counter "$now"
check '  no number left out or twice' test "$("$lightvm" logs counter | awk '{ if ($2 != NR - 1) bad = 1 } END { print bad + 0 }')" = 0

# It goes on after a save, too; and can be paused before and after.
"$lightvm" save --leave-running counter "$work/copy" >"$work/out"
check 'save --leave-running' is counter running
check '  prints the directory' test "$(cat "$work/out")" = "$work/copy"
now=$(last counter)
check '  which goes on' await 10 'the next number' grows counter "$now"
"$lightvm" pause counter
"$lightvm" save --leave-running counter "$work/copy" >/dev/null
check 'a paused one stays paused' is counter paused
"$lightvm" resume counter
"$lightvm" kill counter
check 'one that was killed is not saved' is counter exited
"$lightvm" restore --paused "$work/copy" >/dev/null
check 'restore --paused' is counter paused
now=$(last counter)
"$lightvm" resume counter
check '  until it is resumed' await 10 'the next number' grows counter "$now"
"$lightvm" rm -f counter
check 'without its VM it goes on as well' test "$("$lightvm" restore "$work/copy")" = "$id"
check '  under its name' await 10 'its number' grows counter ''
"$lightvm" rm -f counter
# Which pages it writes first.
pages=$work/copy/pages
cp -a "$work/copy" "$work/linux"
jq '.guest = "linux"' "$work/copy/vm.json" >"$work/linux/vm.json"
says 'restore --prefetch of a Linux guest' 125 "--prefetch: $work/linux is a Linux guest, of which only all pages can be there before it runs" "$lightvm" restore --prefetch "$work/linux"
rm -r "$work/linux"
says 'restore --prefetch of one that does not run' 125 'so not with --paused' "$lightvm" restore --prefetch --paused "$work/copy"
check 'restore --prefetch' test "$("$lightvm" restore --prefetch "$work/copy")" = "$id"
check '  writes down the pages, for its user alone' test "$(stat -c %a:%h "$pages")" = 600:1
known=$(sha256sum "$pages")
"$lightvm" rm -f counter
check '  which the next one has' test "$("$lightvm" restore --prefetch "$work/copy")" = "$id"
check '  that goes on' await 10 'its number' grows counter ''
check '  and they stay what they are' test "$(sha256sum "$pages")" = "$known"
"$lightvm" rm -f counter
truncate -s -1 "$pages"
says '  damaged ones are refused' 125 'the file with the pages that it writes first is none, or is damaged' "$lightvm" restore "$work/copy"
rm "$pages"
mkfifo -m 600 "$pages"
says '  as is what is no file' 125 "$pages: not a file" "$lightvm" restore "$work/copy"
rm "$pages"
"$lightvm" restore --prefetch "$work/copy" >/dev/null
"$lightvm" save --leave-running counter "$work/copy" >/dev/null
check '  a new save has none' test ! -e "$pages"
"$lightvm" rm -f counter
"$lightvm" restore --prefetch-all "$work/copy" >/dev/null
check 'restore --prefetch-all: it goes on' await 10 'its number' grows counter ''
check 'clone --prefetch-all' test "$("$lightvm" clone --prefetch-all --name copied counter | wc -l)" = 1
check '  it goes on, too' await 10 'its number' grows copied ''
"$lightvm" rm -f copied
"$lightvm" rm -f counter
check 'in the foreground' bash -c 'timeout 2 "$1" run --rm --restore "$2" | head -n 3 | grep -q "^[0-9a-f]\{16\} [0-9]"' - "$lightvm" "$work/copy"
await 10 'its end' bash -c '! "$1" ps -q | grep -q .' - "$lightvm"
"$lightvm" rm -f counter 2>/dev/null

start "$lightvm" run --rm --name front "$guest" >"$work/front.out" 2>"$work/front.err"
front=$pid
await 10 'its number' grep -q ' 3' "$work/front.out"
"$lightvm" save front "$work/front" >/dev/null
got=0; wait "$front" || got=$?
check 'one in the foreground ends when it is saved' test $got = 137
check '  and says where it is' grep -qF "the VM was saved to $work/front; it goes on with: lightvm restore $work/front" "$work/front.err"
check '  it goes on in the background' "$lightvm" restore "$work/front"
check '  as the one that it was' await 10 'its number' grows front ''
# The command in whose foreground it runs holds it, too: who starts it again waits for that.
"$lightvm" rm -f front
goes_on() { # VERB WORD: after a kill, while that command is late
	start "$lightvm" restore -a "$work/copy" >/dev/null 2>&1
	front=$pid
	await 10 'that it runs' is counter running
	kill -STOP "$front"
	"$lightvm" kill counter
	start "$lightvm" "$1" "$2" >/dev/null 2>&1
	await 10 'that it is looked at' looked_at "$pid"
	kill -CONT "$front"
	check "kill, and $1 at once" wait "$pid"
	"$lightvm" rm -f counter
	wait "$front"
}
looked_at() { [ ! -d "/proc/$1" ] || ls -l "/proc/$1/fd" | grep -q /status; }
goes_on restore "$work/copy"
goes_on start counter

# A full image cache keeps what a saved VM needs, and for as long.
(
	own_cache "$work/little"
	images() { ls "$LIGHTVM_CACHE/images" | wc -l; }
	"$lightvm" run -d --name small "$guest" >/dev/null
	"$lightvm" save small >/dev/null
	LIGHTVM_CACHE_SIZE=1K "$lightvm" run --rm /bin/true
	echo "with it: $(images)"
	"$lightvm" restore small >/dev/null && echo 'it goes on'
	"$lightvm" rm -f small
	"$lightvm" checkpoint rm small
	LIGHTVM_CACHE_SIZE=1K "$lightvm" run --rm /bin/false
	echo "without: $(images)"
) >"$work/little.out" 2>&1
check 'a full cache keeps the image of a saved VM' test "$(cat "$work/little.out")" = $'with it: 2\nit goes on\nwithout: 1'

# A server: memory, files, ports that come back, host name, randomness, clock.
port=$(free_port) other=$(free_port)
ask() { # PORT LINE
	local answer
	exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf '%s\n' "$2" >&9
	read -rt 5 answer <&9
	exec 9>&-
	printf '%s\n' "$answer"
}
"$lightvm" run -d --wait --name server -m 128M -p "127.0.0.1:$port:7" "$guest" 7 >/dev/null
ask "$port" 'hold 24' >/dev/null
drawn=$(ask "$port" count | cut -d' ' -f1) file=$(ask "$port" file) random=$(ask "$port" random)
host=$(ask "$port" host)
clock=$(ask "$port" clock)
"$lightvm" save server >/dev/null
check 'the port is free when it is saved' await 10 'a free port' bash -c '! (: <>/dev/tcp/127.0.0.1/$1) 2>/dev/null' - "$port"
read -rt 1.5 <> <(:) || :
"$lightvm" restore server >/dev/null
check 'its port comes back' await 10 'its port' port_open "$port"
check 'its memory' test "$(ask "$port" count)" = "$drawn 1"
check '  all of it' test "$(ask "$port" sum)" = '0 of 3145728 are wrong'
check 'its files' test "$(ask "$port" file)" = "$file"
check 'its host name' test "$(ask "$port" host)" = "$host"
check 'its random numbers are others' test "$(ask "$port" random)" != "$random"
check 'its clock did not jump' test $(($(ask "$port" clock) - clock)) -lt 1400
"$lightvm" kill server
"$lightvm" restore --advance -p "127.0.0.1:$other:7" --hostname changed server >/dev/null
await 10 'its port' port_open "$other"
check 'restore --advance: its clock has gone on' test $(($(ask "$other" clock) - clock)) -ge 1400
check 'restore -p' test "$(ask "$other" count)" = "$drawn 1"
check 'restore --hostname' test "$(ask "$other" host)" = changed
check 'a second one beside it has its own random numbers' bash -c '"$1" restore --name twin -p "127.0.0.1:$2:7" server >/dev/null' - "$lightvm" "$port"
await 10 'its port' port_open "$port"
check '  which differ' test "$(ask "$port" random)" != "$(ask "$other" random)"
says 'its port is taken' 125 "port $port" "$lightvm" restore --name third -p "127.0.0.1:$port:7" server
"$lightvm" rm -f twin server

# What does not fit is said by name, before anything is started.
altered() { # NAME JQ-FILTER: a copy of the saved one with another manifest
	rm -rf "$work/altered"
	cp -a "$saved/server" "$work/altered"
	jq "$2" "$saved/server/vm.json" >"$work/altered/vm.json"
}
refuses() { # NAME JQ-FILTER TEXT
	altered "$1" "$2"
	says "$1" 125 "$3" "$lightvm" restore "$work/altered"
	check '  nothing was started' test -z "$(ls -A "$XDG_RUNTIME_DIR/lightvm/vms")"
}
"$lightvm" rm -f counter server 2>/dev/null
check 'a saved VM whose directory is gone is listed' contains saved "$lightvm" ps -a
refuses 'another library OS' '.libos_build = "0123456789012345678901234567890123456789"' 'it was saved with the library OS 012345678901, and here is'
refuses 'another image' '.image_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"' 'is another one by now'
refuses 'no image' '.config.image = "/nowhere.lvm" | .image_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"' 'its image (SHA-256 000000000000) is not here any more'
refuses 'another maker of processors' '.cpu.vendor = "HalfPriceCPU"' 'it was saved on a processor of HalfPriceCPU, and this one is of'
refuses 'a processor that lacks something' '.cpu.leaf_7_ecx = 4294967295' 'this processor lacks what that one had:'
refuses 'another format' '.format = 9' 'altered/vm.json: format: 9 is not known'
refuses 'an unknown key' '.colour = 1' 'colour: there is no such key'
refuses 'a configuration that is none' '.config.memory = "much"' 'config: memory: not a whole number'
refuses 'another VM in the configuration' '.config.id = "0123456789ab"' 'config.id: not the id of the saved VM'
altered 'cut memory' .
truncate -s 4096 "$work/altered/memory"
says 'memory that was cut' 125 'altered/memory: 4096 bytes where the manifest says' "$lightvm" restore "$work/altered"
altered 'damaged state' .
printf 'X' | dd of="$work/altered/state" bs=1 seek=40 conv=notrunc status=none
check 'a state that was damaged' bash -c '! "$1" restore "$2" 2>"$3" && grep -q . "$3" && [ -z "$("$1" ps -q)" ]' - "$lightvm" "$work/altered" "$work/err"
altered 'open to others' .
chmod g+w "$work/altered"
says 'a directory that others can write to' 125 'others than its owner may write to' "$lightvm" restore "$work/altered"
says 'what is not there' 125 'there is no saved VM "nothere"; "lightvm checkpoint ls" lists them' "$lightvm" restore nothere
says 'run --restore with what was said already' 125 '--memory does not go with --restore' "$lightvm" run --restore "$saved/server" -m 64M
says 'run --restore with a program' 125 'is one program too many' "$lightvm" run --restore "$saved/server" /bin/true
says 'a network for none' 125 'cannot get one' bash -c '"$1" run -d --name dark --net none "$2" >/dev/null && "$1" save dark >/dev/null && exec "$1" restore --net passt dark' - "$lightvm" "$guest"
says 'no network for one that had it' 125 'none of: passt' "$lightvm" restore --net none server
says 'save of an image' 125 'is an image: "lightvm save" is for VMs that run' "$lightvm" save some.lvm
says 'save of one that has ended' 125 'has ended' bash -c '"$1" run --name ended "$2" true; exec "$1" save ended' - "$lightvm" "$(command -v busybox)"
says 'what Docker calls it' 125 'use "lightvm save --leave-running VM"' "$lightvm" checkpoint create a b
"$lightvm" run -d --name full "$guest" >/dev/null
mkdir "$work/full"
echo dear >"$work/full/letter"
says 'a directory with something else in it' 125 'is there, and no saved VM; name another directory' "$lightvm" save full "$work/full"
check '  it runs on' is full running
check '  and the letter is there' grep -q dear "$work/full/letter"

# A disk that is full, and a client that is killed: the VM goes on, the older one is whole, nothing is left.
mkdir "$work/small"
if mount -t tmpfs -o size=128k tmpfs "$work/small" 2>/dev/null; then
	says 'a full disk' 125 'there is no room for its memory: it was not saved, and goes on' "$lightvm" save full "$work/small/full"
	check '  it runs' is full running
	check '  nothing is left' test -z "$(ls -A "$work/small")"
	umount "$work/small"
else
	skip 'a full disk' 'no right to mount'
fi
"$lightvm" save --leave-running full "$work/older" >/dev/null
sum=$(cat "$work/older"/* | sha256sum)
for i in 1 2 3 4 5 6 7 8; do
	start "$lightvm" save full "$work/older" >/dev/null 2>&1
	read -rt "0.00$i" <> <(:) || :
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	[ "$(state_of full)" = running ] || { is full saved && "$lightvm" restore full >/dev/null; }
	"$lightvm" inspect "$work/older" >/dev/null || break
done
check 'a client that is killed leaves a VM that runs' is full running
now=$(last full)
check '  and goes on' await 10 'the next number' grows full "$now"
check '  and files that are whole' "$lightvm" restore --name whole "$work/older"
"$lightvm" rm -f whole
"$lightvm" save full "$work/older" >/dev/null
check '  the next save sweeps' test -z "$(ls -A "$work" | grep saving)"
: "$sum"
says 'checkpoint rm of what is none' 125 'there is no vm.json in it; nothing was removed' "$lightvm" checkpoint rm "$work/full"
check 'checkpoint rm' "$lightvm" checkpoint rm counter server dark "$work/older"
check '  they are gone' test -z "$("$lightvm" checkpoint ls -q)"
finish
