#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An address and a name server by DHCP, also where a live volume lies over /etc.
# timeout: 120
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
"$busybox" udhcpd --help >/dev/null 2>&1 || { skip DHCP 'busybox has no udhcpd here'; finish; }
ip link add lvbr0 type bridge 2>/dev/null && ip addr add 10.8.0.1/24 dev lvbr0 && ip link set lvbr0 up || { skip DHCP 'no bridge can be made here'; finish; }

# leased NAME OPTION...: a VM of that name, which has 10.8.0.77 of a server that has given it to nobody yet.
leased() {
	local name=$1 status=0 server
	shift
	: >"$work/leases"
	printf '%s\n' 'start 10.8.0.77' 'end 10.8.0.77' 'interface lvbr0' "lease_file $work/leases" "pidfile $work/pid" 'option subnet 255.255.255.0' 'option dns 10.8.0.1' >"$work/conf"
	"$busybox" udhcpd -f "$work/conf" &
	server=$!
	"$lightvm" run -d --name "$name" --net bridge:lvbr0 "$@" "$busybox" sleep 1000 >/dev/null
	await 20 'an answer to ping' "$busybox" ping -c 1 -W 1 10.8.0.77 || status=1
	kill "$server"
	wait "$server"
	return $status
}

check 'an address' leased plain
check 'the name server' test "$("$lightvm" cp plain:/etc/resolv.conf - | tar -xO)" = 'nameserver 10.8.0.1'
"$lightvm" rm -f plain >/dev/null
# The answer comes in the midst of whatever waits: the server of a volume is not asked then, and what is the host's stays as it is.
mkdir "$work/etc"
check 'an address, with a live volume over /etc' leased live -v "$work/etc:/etc"
check 'nothing is written into the volume' test -z "$(ls -A "$work/etc")"
"$lightvm" rm -f live >/dev/null
finish
