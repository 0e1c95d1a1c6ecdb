#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What of the host a guest behind passt reaches: not its loopback, unless it was asked for; but its name server, wherever that listens.
# In a network and mount namespace with a resolv.conf of its own.
# timeout: 60
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)

mkdir "$work/www"
echo secret >"$work/www/file"
start /usr/bin/python3 "$top/tests/data/servers.py" 127.0.0.1 "$work/www" >"$work/service" 2>&1
await 10 'the service on the loopback' grep -q ready "$work/service" || cat "$work/service"
# With a published port passt is there before the program: on a slow machine its start takes longer than ARP waits (no route to host).
fetch() { "$lightvm" run --rm --net "$1" -p "127.0.0.1:$(free_port):9" "$busybox" wget -q -O - http://10.0.2.2:8000/file >"$work/got" 2>"$work/err"; cat "$work/got" "$work/err"; }
closed() { fetch passt; grep -q refused "$work/err" && ! grep -q secret "$work/got"; }
check 'the loopback of the host is closed' closed
opened() { fetch passt,host; grep -q secret "$work/got"; }
check 'and open with --net passt,host' opened
check 'the kind is kept in config.json' bash -c "'$lightvm' run --name kept --net passt,host '$busybox' true && '$lightvm' inspect kept | grep -q '\"host_loopback\": true'"

# A UDP port that is published on the loopback: who asks there is answered, and nobody else is reached by that.
musl-gcc -static -o "$work/answer" "$top/tests/data/udp_answer.c"
answers() { # NET [IP:] FOUND
	"$lightvm" run -d --name answer --net "$1" -p "${2}5300:53/udp" "$work/answer" >"$work/out" 2>&1 || cat "$work/out"
	within 20 python3 "$top/tests/e2e/udp_loopback.py" 5300 $((15 * ${LV_TIME_FACTOR:-1})) >"$work/found" 2>&1
	"$lightvm" inspect answer | jq -c '.[0].record.devices[] | select(.type == "net").error'
	"$lightvm" rm -f answer >/dev/null
	cat "$work/found"
	[ "$(xargs <"$work/found")" = "$3" ]
}
check 'a UDP port on the loopback answers there, and the rest stays closed' answers passt 127.0.0.1: answered
check 'one on every address does, too' answers passt '' answered
check 'with --net passt,host the rest is open' answers passt,host 127.0.0.1: 'answered udp tcp'

# Where clouds tell every program of a machine its keys. Nobody listens: who gets there is refused.
ip addr add 169.254.169.254/32 dev lo
metadata() { timeout 30 "$lightvm" run --rm --net "$1" "$busybox" nc -w 3 169.254.169.254 80 </dev/null >"$work/got" 2>&1; cat "$work/got"; grep -q "$2" "$work/got"; }
check 'link-local addresses are closed' metadata passt 'timed out'
check 'they are open with --net passt,host' metadata passt,host refused

# A name server on the loopback, as systemd-resolved's and dnsmasq's are.
echo 'nameserver 127.0.0.53' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)"
start /usr/bin/python3 "$top/tests/data/servers.py" 127.0.0.53 "$work" >"$work/servers" 2>&1
await 10 'the name server' grep -q ready "$work/servers" || cat "$work/servers"
resolves() { "$lightvm" run --rm "$busybox" nslookup there.test >"$work/names" 2>&1; cat "$work/names"; grep -q '10\.9\.9\.9' "$work/names"; }
check 'names are resolved where the resolver is on the loopback' resolves
finish
