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
fetch() { "$lightvm" run --rm --net "$1" "$busybox" wget -q -O - http://10.0.2.2:8000/file >"$work/got" 2>"$work/err"; cat "$work/got" "$work/err"; }
closed() { fetch passt; grep -q refused "$work/err" && ! grep -q secret "$work/got"; }
check 'the loopback of the host is closed' closed
opened() { fetch passt,host; grep -q secret "$work/got"; }
check 'and open with --net passt,host' opened
check 'the kind is kept in config.json' bash -c "'$lightvm' run --name kept --net passt,host '$busybox' true && '$lightvm' inspect kept | grep -q '\"host_loopback\": true'"

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
