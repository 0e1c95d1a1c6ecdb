#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Services by address: a ping or a SYN to a VM's address on a bridge starts the VM and is answered by it, again and again; kill -9 of lightvmd; failures; bad input.
# And what they stand on: a connection that comes before the program listens is not refused. All between network namespaces of the test's own.
if [ -z "${LV_IN_NETNS:-}" ]; then
	[ -c /dev/net/tun ] || { echo 'skip service_address - /dev/net/tun is missing'; exit 0; }
	export LV_IN_NETNS=1
	if [ "$(id -u)" = 0 ]; then exec unshare -nm "$0"; else exec unshare -rnm "$0"; fi
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
busybox=$(command -v busybox)
ip link set lo up
ip link add lvbr0 type bridge || { skip service_address 'no bridge can be made here'; finish; }
ip addr add 10.5.0.1/24 dev lvbr0
ip link set lvbr0 up
# A neighbour on the bridge, in a network of its own.
start unshare -n sleep 600
neighbour=$pid
other() { [ "$(readlink "/proc/$neighbour/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
await 10 other
ip link add lvv0 type veth peer name lvv1 netns "$neighbour" || { skip service_address 'no pair of interfaces can be made here'; finish; }
ip link set lvv0 master lvbr0 up
there() { nsenter -t "$neighbour" -n "$@"; }
there ip link set lo up
there ip addr add 10.5.0.9/24 dev lvv1
there ip link set lvv1 up

cat >"$work/nginx.conf" <<CONF
daemon off;
master_process off;
error_log stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
	server { listen 80 backlog=512; return 200 "here"; }
}
CONF
is() { local want=$1 got; shift; got=$("$@"); [ "$got" = "$want" ] || { echo "not $want: $got"; return 1; }; }
now() { "$lightvm" service inspect "$1" | jq -r ".now.$2"; }
has() { is "$3" now "$1" "$2"; }
rests() { has "$1" 'vms | length' 0; }
ping_is_answered() { "$@" "$busybox" ping -c 1 -W 10 10.5.0.77; }
page() { is here "$@" curl -sf -m 20 http://10.5.0.77/; }
web=(web --net bridge:lvbr0 --ip 10.5.0.77/24 -m 64M -v "$work/nginx.conf:/nginx.conf" -- /usr/sbin/nginx -c /nginx.conf -e stderr)
interface() { ip link show lvs0a05004d; }

# ---- bad input
check 'lightvmd starts' start_daemon
says 'neither port nor address' 125 'Give --port, or --net bridge:NAME and --ip' "$lightvm" service add x /bin/true
says 'an address that is none' 125 '--ip: "10.5.0/24" is not A.B.C.D/BITS' "$lightvm" service add x --net bridge:lvbr0 --ip 10.5.0/24 /bin/true
says 'an address behind passt' 125 'a tap or bridge, and an ip there' "$lightvm" service add x --ip 10.5.0.77/24 /bin/true
says 'a VM for each connection of it' 125 'per_connection: an address has one VM' "$lightvm" service add x --net bridge:lvbr0 --ip 10.5.0.77/24 --per-connection /bin/true
says 'more VMs than one' 125 'max: an address has one VM' "$lightvm" service add x --net bridge:lvbr0 --ip 10.5.0.77/24 --max 2 /bin/true
says 'a gateway that is none' 125 '--gateway: "x" is not an IPv4 address' "$lightvm" service add x --net bridge:lvbr0 --ip 10.5.0.77/24 --gateway x /bin/true
says 'a bridge that is none' 125 'there is no such bridge' "$lightvm" service add x --net bridge:lvnone --ip 10.5.0.77/24 /bin/true
answers 'no mask' 400 'net.netmask: not a mask' POST /v1/services '{"name": "x", "vm": {"image": "/bin/true", "net": {"kind": "bridge", "name": "lvbr0", "ip": "10.5.0.77"}}}'
answers 'queues' 400 'vm.net.queues: 2: one that waits' POST /v1/services \
	'{"name": "x", "vm": {"image": "/bin/true", "net": {"kind": "bridge", "name": "lvbr0", "ip": "10.5.0.77", "netmask": "255.255.255.0", "queues": 2}}}'
answers 'a port of the guest' 400 'guest_port: is for a service with a port' POST /v1/services \
	'{"name": "x", "guest_port": 80, "vm": {"image": "/bin/true", "net": {"kind": "bridge", "name": "lvbr0", "ip": "10.5.0.77", "netmask": "255.255.255.0"}}}'
answers 'none of that is there' 200 '{"services":[]}' GET /v1/services

# ---- it serves
# Longer than the second after which a client repeats a SYN that was lost.
check 'a service is added' "$lightvm" service add --idle 2s "${web[@]}"
says '  its address is not had twice' 125 'another VM uses it' "$lightvm" service add other --net bridge:lvbr0 --ip 10.5.0.77/24 /bin/true
check '  it is listed by its address' bash -c '"$1" service ls | grep -q "10.5.0.77 on lvbr0"' - "$lightvm"
check '  no VM runs' rests web
check 'a neighbour pings: the first one is answered' ping_is_answered there
check '  by one VM' has web started 1
check '  which stops when it has sent nothing' await 20 rests web
check '  and leaves nothing' is '' "$lightvm" ps -aq
for i in 2 4 6; do
	check "again ($i): a SYN is answered by the page" page there
	check '  it rests' await 20 rests web
	check '  the host pings' ping_is_answered
	check '  it rests again' await 20 rests web
	check "  $((i + 1)) VMs were started" has web started $((i + 1))
done
knows() { there ip neighbour show 10.5.0.77 | grep -q 02:4c:0a:05:00:4d; }
check 'the neighbour knows the MAC address that all of them have' knows
check 'packets for others start nothing' bash -c '"$1" ping -c 2 -W 1 10.5.0.78 >&2; :' - "$busybox"
check '  nor does what is broadcast' has web started 7

# ---- lightvmd is killed
await 20 rests web
"$lightvm" service rm web
check 'it is removed: its tap is gone' await 10 bash -c '! ip link show lvs0a05004d'
check 'with more patience' "$lightvm" service add --idle 10m "${web[@]}"
clients() { there bash -c 'for i in $(seq 60); do curl -sf -m 20 http://10.5.0.77/ >/dev/null & pids+=($!); done; n=0; for p in "${pids[@]}"; do wait $p && n=$((n + 1)); done; echo $n'; }
check '60 at once, and no VM: all are answered' is 60 clients
check '  by one' has web started 1
check '  it serves on' page there
vm=$(now web 'vms[0].id')
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check 'lightvmd is killed: the VM serves on' page there
check '  it starts again' start_daemon
check '  and knows its VM' await 10 has web 'vms[0].id' "$vm"
"$lightvm" kill "$vm" >/dev/null
another() { [ "$(now web 'vms[0].id')" != "$vm" ] && interface; } # somebody may ask for the address at any time
check 'its VM is killed: the tap is made anew' await 20 another
check '  and the next packet starts another' await 20 page there
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
"$lightvm" kill "$("$lightvm" ps -q)" >/dev/null
ip link del lvbr0
check 'without its bridge lightvmd starts' start_daemon
check '  and says what it waits for' await 10 bash -c '"$1" service inspect web | jq -r .now.error | grep -q "there is no such bridge"' - "$lightvm"
ip link add lvbr0 type bridge
ip addr add 10.5.0.1/24 dev lvbr0
ip link set lvbr0 up
ip link set lvv0 master lvbr0
check '  when it is there the service is, too' await 20 interface
check '  and serves' await 20 page there
"$lightvm" service rm web
check 'removed, it leaves nothing' await 20 is '' "$lightvm" ps -aq

# ---- a VM that fails
check 'a service whose program ends at once' "$lightvm" service add fails --net bridge:lvbr0 --ip 10.5.0.77/24 -- /bin/false
check '  is no page' bash -c '! curl -sf -m 2 http://10.5.0.77/'
check '  and starts no more than a few' bash -c '[ "$("$1" service inspect fails | jq .now.started)" -lt 8 ]' - "$lightvm"
"$lightvm" service rm fails

# ---- a port of the host before it: its VM is reached without passt
port=$(free_port)
check 'a service with a port, and a VM on the bridge' "$lightvm" service add ported -p "127.0.0.1:$port:80" --net bridge:lvbr0 --ip 10.5.0.79/24 -m 64M -v "$work/nginx.conf:/nginx.conf" -- /usr/sbin/nginx -c /nginx.conf -e stderr
check '  serves' is here curl -sf -m 20 "http://127.0.0.1:$port/"
"$lightvm" service rm ported

# ---- a tap that somebody has prepared needs no right of lightvmd's
ip tuntap add lvtap0 mode tap
ip addr add 10.6.0.1/24 dev lvtap0
ip link set lvtap0 up
check 'on a tap' "$lightvm" service add tap --idle 300ms --net tap:lvtap0 --ip 10.6.0.77/24 -m 64M -v "$work/nginx.conf:/nginx.conf" -- /usr/sbin/nginx -c /nginx.conf -e stderr
check '  a ping is answered' "$busybox" ping -c 1 -W 10 10.6.0.77
check '  it rests' await 20 rests tap
check '  a page is served' is here curl -sf -m 20 http://10.6.0.77/
"$lightvm" service rm tap
await 20 is '' "$lightvm" ps -aq

# ---- datagrams that come while the program is at work on something else
cat >"$work/busy.py" <<'PY'
import socket, time
end = time.monotonic() + 0.3
while time.monotonic() < end:
    pass
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 7))
while True:
    data, peer = server.recvfrom(2000)
    server.sendto(data, peer)
PY
cat >"$work/ask.py" <<'PY'
import os, socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(20 * int(os.environ.get("LV_TIME_FACTOR", "1")))
client.connect(("10.6.0.79", 7))
for data in (b"first", b"x" * 1000):
    client.send(data)
print(client.recv(2000) == b"first" and client.recv(2000) == b"x" * 1000)
PY
check 'a service that begins with half a second of work' "$lightvm" service add busy --idle 10s --net tap:lvtap0 --ip 10.6.0.79/24 -v "$work/busy.py:/busy.py" -- /usr/bin/python3 /busy.py
check '  answers the very datagrams that started it' is True python3 "$work/ask.py"
"$lightvm" service rm busy
await 20 is '' "$lightvm" ps -aq

# ---- connections before the program listens
cat >"$work/late.py" <<'PY'
import socket, sys, time
time.sleep(float(sys.argv[1]))
if sys.argv[2] != "0":
    s = socket.create_server(("", int(sys.argv[2])))
    s.accept()[0].sendall(b"late\n")
time.sleep(60)
PY
late() { "$lightvm" run -d --rm --name late --net tap:lvtap0 --ip 10.6.0.78/24 -v "$work/late.py:/late.py" /usr/bin/python3 /late.py "$@" && "$busybox" ping -c 1 -W 10 10.6.0.78; }
check 'a VM that listens after a second' late 1 7000
check '  has a connection wait for that' bash -c 'read -rt 10 line <>/dev/tcp/10.6.0.78/7000 && [ "$line" = late ]'
"$lightvm" kill late >/dev/null
await 10 is '' "$lightvm" ps -aq
check 'one that never listens' late 0 0
refusal() { local begun=${EPOCHREALTIME/./}; ! (: <>/dev/tcp/10.6.0.78/7000) 2>/dev/null && took=$(((${EPOCHREALTIME/./} - begun) / 1000)); }
check '  refuses the first' refusal
check '    after a while' test "$took" -ge 1000
check '  and the next one' refusal
check '    at once' test "$took" -lt 1000
"$lightvm" kill late >/dev/null
finish
