# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Servers as VMs behind a tap, or behind passt, and as processes or containers behind a veth pair, one at a time; the client runs on the host. Sourced after
# bench/lib.sh; sets $work and $files, and has net_gone take away what was made. Needs root.
work=$(mktemp -d)
files=$work/files # of servers, which find them at that place wherever they run
mkdir "$files"
tap=lvbt$$ space=lvbn$$ veth=lvbv$$ vm='' pids=()
vm_ip=10.213.77.2 space_ip=10.213.78.2 passt_port=18080

stop_servers() {
	local pid
	[ -z "$vm" ] || "$lightvm" kill "$vm" >/dev/null 2>&1 || :
	[ -z "$vm" ] || "$lightvm" rm -f "$vm" >/dev/null 2>&1 || :
	vm=''
	for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || :; done
	pids=()
}
drop_space() {
	ip link del "$veth" 2>/dev/null || :
	ip netns del "$space" 2>/dev/null || :
}
net_gone() {
	stop_servers
	ip link del "$tap" 2>/dev/null || :
	drop_space
	rm -rf "$work"
}
make_tap() {
	ip tuntap add "$tap" mode tap vnet_hdr
	ip addr add 10.213.77.1/24 dev "$tap"
	ip link set "$tap" up
}
make_space() {
	ip netns add "$space"
	ip link add "$veth" type veth peer name eth0 netns "$space"
	ip addr add 10.213.78.1/24 dev "$veth"
	ip link set "$veth" up
	ip -n "$space" addr add $space_ip/24 dev eth0
	ip -n "$space" link set eth0 up
	ip -n "$space" link set lo up
}

in_vm() { vm=$("${calm[@]}" "$lightvm" run -d -m "${vm_memory:-128M}" --net "tap:$tap" --ip "$vm_ip/24" --copy "$files:$files:ro" "$@"); }
in_vm_passt() { vm=$("${calm[@]}" "$lightvm" run -d -m "${vm_memory:-128M}" -p "127.0.0.1:$passt_port:80" --copy "$files:$files:ro" "$@"); }
in_space() { "${calm[@]}" ip netns exec "$space" "$@" >/dev/null 2>&1 & pids+=($!); }
open_at() { (: <>"/dev/tcp/$1/$2") 2>/dev/null; }

# nginx_files: $files/root/{1k,256k,1m} and a configuration that serves them on port 80, for "$nginx -c $files/nginx.conf -e stderr".
nginx_files() {
	nginx=$(PATH=$PATH:/usr/sbin command -v nginx)
	mkdir -p "$files/root"
	head -c 1024 /dev/zero >"$files/root/1k"
	head -c $((256 << 10)) /dev/zero >"$files/root/256k"
	head -c $((1 << 20)) /dev/zero >"$files/root/1m"
	cat >"$files/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/lvbench-nginx.pid; error_log stderr; events { }
http { access_log off; client_body_temp_path /tmp/lvbench-nginx; proxy_temp_path /tmp/lvbench-nginx; fastcgi_temp_path /tmp/lvbench-nginx;
	uwsgi_temp_path /tmp/lvbench-nginx; scgi_temp_path /tmp/lvbench-nginx; keepalive_requests 100000000;
	server { listen 80 backlog=4096; root $files/root; } }
CONF
}

# stream IP SECONDS OPTION...: Gbit/s that the receiver of one TCP stream got, of iperf3's server there.
stream() {
	local ip=$1 secs=$2
	shift 2
	await 20 "iperf3 at $ip" open_at "$ip" 5201
	"${calm[@]}" iperf3 -c "$ip" -t "$secs" -J "$@" | jq '.end.sum_received.bits_per_second / 1e9 * 1000 | round / 1000'
}
