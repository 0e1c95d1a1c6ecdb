#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A server that speaks first, and has a short backlog, is reached by a published port, a tap and a bridge; in a network namespace.
# timeout: 60
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
gcc -O1 -o "$work/greeter" "$top/tests/data/greeter.c" || { not_ok 'the server' 'is not compiled'; finish; }
listens() { "$lightvm" logs "$1" | grep -q 'greeter listens'; }

# greeted NAME HOST PORT RUN-OPTION...
greeted() {
	local name=$1 host=$2 port=$3
	shift 3
	"$lightvm" run -d --name "$name" "$@" "$work/greeter" >"$work/out" 2>&1 || { cat "$work/out"; not_ok "$name" 'does not start'; return; }
	check "$name: the server listens" await 20 'the server in the VM' listens "$name"
	check "$name: 20 clients are greeted" python3 "$top/tests/data/greeted.py" "$host" "$port" 20
	check "$name: 20 clients at once, more than the backlog" within 30 python3 "$top/tests/data/crowd.py" "$host" "$port" 20
	check "$name: clients that use one port again" within 60 python3 "$top/tests/data/same_port.py" "$host" "$port" 20
	"$lightvm" rm -f "$name" >/dev/null
}

port=$(free_port)
greeted published 127.0.0.1 "$port" -p "$port:2525"
if [ -c /dev/net/tun ]; then
	ip tuntap add lvtap0 mode tap
	ip addr add 10.9.0.1/24 dev lvtap0
	ip link set lvtap0 up
	greeted tap 10.9.0.2 2525 --net tap:lvtap0 --ip 10.9.0.2/24
	ip link add lvbr0 type bridge
	ip addr add 10.8.0.1/24 dev lvbr0
	ip link set lvbr0 up
	greeted bridge 10.8.0.2 2525 --net bridge:lvbr0 --ip 10.8.0.2/24
else
	skip 'tap and bridge' '/dev/net/tun is missing'
fi
finish
