#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm clone: names, ports, addresses, what is refused; connections over a save on a tap and a bridge.
# timeout: 240
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_counter
is() { [ "$("$lightvm" inspect -f state "$1")" = "$2" ]; }
ask() { # HOST PORT LINE
	local answer
	exec 9<>"/dev/tcp/$1/$2" || return 1
	printf '%s\n' "$3" >&9
	read -rt 5 answer <&9
	exec 9>&-
	printf '%s\n' "$answer"
}
reaches() { (: <>"/dev/tcp/$1/$2") 2>/dev/null; }
port=$((21000 + RANDOM % 8000))

# Behind passt: names, ports one after the other, identities.
"$lightvm" run -d --wait --name one -p "127.0.0.1:$port:7" "$guest" 7 >/dev/null
drawn=$(ask 127.0.0.1 "$port" count | cut -d' ' -f1)
check 'clone --verify' "$lightvm" clone -n 3 -p "127.0.0.1:$((port + 1)):7" --verify one
check 'the VM itself goes on' test "$(ask 127.0.0.1 "$port" count)" = "$drawn 1"
for i in 1 2 3; do
	await 10 "the port of clone $i" reaches 127.0.0.1 $((port + i))
	check "clone $i has the memory" test "$(ask 127.0.0.1 $((port + i)) count)" = "$drawn 1"
	check '  and its own host name' test "$(ask 127.0.0.1 $((port + i)) host)" = "one-$i"
	ask 127.0.0.1 $((port + i)) random >>"$work/random"
done
ask 127.0.0.1 "$port" random >>"$work/random"
check 'no two draw the same number' test "$(sort -u "$work/random" | wc -l)" = 4
check 'each has its name' test "$("$lightvm" ps -q -f name=one- | wc -l)" = 3
says 'a name that is taken' 125 'the name "one-1" is taken' "$lightvm" clone one
check 'one alone has the name that was given' "$lightvm" clone --name alone one
check '  and runs' is alone running
check 'clones --rm --paused' "$lightvm" clone -n 2 --rm --paused --name short one
check '  stand still' is short-2 paused
"$lightvm" kill short-1 short-2
check '  and leave nothing' test -z "$("$lightvm" ps -aq -f name=short)"
says 'a clone of what has ended' 125 'there is no VM "short-1"' "$lightvm" clone short-1
says 'none' 125 '--number: 0 is out of range (1 to 10000)' "$lightvm" clone -n 0 one
says 'a port that is taken' 125 "port $port" "$lightvm" clone --name other -p "127.0.0.1:$port:7" one
check '  nothing of it is left' test -z "$("$lightvm" ps -aq -f name=other)"
says 'no network' 125 'none of: passt' "$lightvm" clone --net none one
"$lightvm" rm -f one one-1 one-2 one-3 alone

# What cannot be shared.
"$lightvm" run -d --name dark --net none "$guest" >/dev/null
says 'a port of a VM without a network' 125 'the VM has no network, and its clones cannot get one' "$lightvm" clone -p "$port:7" dark
says 'no directory' 125 'the directory to save to has no name' "$lightvm" save dark ''
"$lightvm" rm -f dark
head -c 65536 /dev/zero >"$work/disk"
"$lightvm" run -d --name disked --net none --disk "$work/disk" "$guest" >/dev/null
says 'a disk that is written to' 125 "writes to disk $work/disk, which clones cannot share" "$lightvm" clone disked
says '  nor can a second one beside it' 125 "$work/disk" bash -c '"$1" save --leave-running disked "$2" >/dev/null && "$1" restore --name second "$2"' - "$lightvm" "$work/saved"
"$lightvm" save disked >/dev/null
check 'a saved one goes on with its disk' "$lightvm" restore disked
"$lightvm" save disked >/dev/null
touch "$work/disk"
says '  but not with one that was written to since' 125 "its disk $work/disk was written to after it was saved" "$lightvm" restore disked
"$lightvm" rm -f disked
if [ -x /usr/sbin/nginx ]; then
	"$lightvm" run -d --wait --name secret /usr/sbin/nginx -g 'daemon off; master_process off; error_log /dev/stderr;' >/dev/null
	says 'a generator that nothing can tell' 125 'has OpenSSL (' "$lightvm" clone secret
	check '  with --accept-shared-random' "$lightvm" clone --accept-shared-random --name accepted secret
	check '  it runs' is accepted running
	"$lightvm" rm -f secret accepted
else
	skip 'a generator that nothing can tell' 'nginx is not installed'
fi

# On a bridge each has an address; a connection lives over save and restore, and ends in a clone.
if ip link add lvbr type bridge 2>/dev/null && ip addr add 10.88.0.1/24 dev lvbr && ip link set lvbr up; then
	"$lightvm" run -d --wait --name bridged --net bridge:lvbr --ip 10.88.0.10/24 "$guest" 7 >/dev/null
	await 10 'its port' reaches 10.88.0.10 7
	says 'without --ip' 125 'give clones others: --ip FIRST' "$lightvm" clone -n 2 bridged
	exec 8<>/dev/tcp/10.88.0.10/7
	echo count >&8
	read -rt 5 first <&8
	check 'clones with addresses of their own' "$lightvm" clone -n 3 --ip 10.88.0.20/24 --verify bridged
	for i in 0 1 2; do check "  10.88.0.2$i" await 10 'its port' reaches 10.88.0.2$i 7; done
	"$lightvm" rm -f bridged-1 bridged-2 bridged-3
	"$lightvm" save bridged >/dev/null
	echo count >&8 # into the void
	"$lightvm" restore bridged >/dev/null
	read -rt 20 second <&8
	check 'a connection lives over save and restore' test "$second" = "${first% *} $((${first##* } + 1))"
	echo count >&8
	read -rt 5 third <&8
	check '  no line lost or doubled' test "$third" = "${first% *} $((${first##* } + 2))"
	exec 8>&-
	says 'a second one at its address' 125 'with the same address: give this one another: --ip ADDRESS' bash -c '"$1" save -R bridged "$2" >/dev/null; exec "$1" restore --name twin "$2"' - "$lightvm" "$work/bridged"
	says 'passt in the place of its bridge' 125 'which passt does not make' "$lightvm" restore --name other --net passt "$work/bridged"
	check 'with another address' "$lightvm" restore --name twin --ip 10.88.0.30/24 "$work/bridged"
	check '  which it has' await 10 'its port' reaches 10.88.0.30 7
	"$lightvm" rm -f bridged twin
else
	skip 'clones on a bridge' 'no bridge can be made here'
fi
finish
