#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a request costs a server behind a tap: doorbells, trips to the monitor, wake-ups. Where any of them were lost, bench/asks would hear nothing for ten seconds, and fail.
# timeout: 120
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { skip 'doorbells of a request' 'nginx is not installed'; finish; }
ip tuntap add lvtap0 mode tap vnet_hdr 2>/dev/null || { skip 'doorbells of a request' 'no tap can be made here'; finish; }
ip addr add 10.9.0.1/24 dev lvtap0
ip link set lvtap0 up
mkdir "$work/root"
head -c 1024 /dev/zero >"$work/root/1k"
head -c 1048576 /dev/zero >"$work/root/1m"
cat >"$work/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/bells-nginx.pid; error_log stderr; events { }
http { access_log off; client_body_temp_path /tmp/bells-nginx; proxy_temp_path /tmp/bells-nginx; fastcgi_temp_path /tmp/bells-nginx;
	uwsgi_temp_path /tmp/bells-nginx; scgi_temp_path /tmp/bells-nginx; keepalive_requests 100000000;
	server { listen 80; root $work/root; } }
CONF
"$lightvm" run -d --wait --name bells --net tap:lvtap0 --ip 10.9.0.2/24 --copy "$work:$work:ro" "$nginx" -c "$work/nginx.conf" -e stderr >"$work/out" 2>&1 ||
	{ cat "$work/out"; not_ok 'nginx behind a tap' 'it does not start'; finish; }

counters() { "$lightvm" inspect bells | jq -r '.[0].record | (.devices[] | select(.type == "net")) as $net | "\(.rings.doorbells_rung) \(.vm_exits.all) \($net.wakes)"'; }
# How many there are rests on threads that look for the next one a while, and have a processor for that. That none is lost does not.
quiet=true
[ "${LV_TIME_FACTOR:-1}" = 1 ] || quiet=false
# each WHAT MOST-BELLS MOST-EXITS MOST-WAKES ARG...: for a request of asks; no more than so many.
each() {
	local what=$1 most=("$2" "$3" "$4") before after n i names=(doorbells exits wake-ups)
	shift 4
	before=($(counters))
	n=$("$build/bench/asks" -t 2 "$@" 2>"$work/err" | jq .requests)
	after=($(counters))
	check "$what: all are answered" test "${n:-0}" -gt 50 || { cat "$work/err"; return; }
	for i in 0 1 2; do
		echo "# $what: $((after[i] - before[i])) ${names[i]} for $n requests"
		$quiet || { skip "$what: at most ${most[i]} ${names[i]} a request" 'this machine is slow, or busy'; continue; }
		check "$what: at most ${most[i]} ${names[i]} a request" awk -v took=$((after[i] - before[i])) -v n="$n" -v most="${most[i]}" 'BEGIN { exit took > n * most }'
	done
}
each '32 connections' 1 0.2 0.3 -c 32 10.9.0.2 80 http /1k
each 'one connection' 1.2 1.3 1.2 -c 1 10.9.0.2 80 http /1k
each 'a connection for each' 1 0.5 1 -c 32 -n 10.9.0.2 80 http /1k
each 'answers of 1 MiB' 8 2 4 -c 4 10.9.0.2 80 http /1m
"$lightvm" rm -f bells >/dev/null
finish
