#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# Services of lightvmd: VMs that start when somebody connects, 500 at once with nothing lost, stopped when they are idle; a VM for each connection;
# kill -9 of lightvmd; sockets of the service manager; bad input.
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

port=$(free_port)
mkdir -p "$work/www"
head -c 30000 /dev/urandom | base64 >"$work/www/page"
cat >"$work/nginx.conf" <<CONF
daemon off;
master_process off;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 2048; }
http {
	access_log off;
	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
	server { listen 80 backlog=1024; location / { root $work/www; } }
}
CONF
# clients COUNT PORT: so many connections that are all open before the first asks; each wants the whole page. Says how many got it.
cat >"$work/clients.py" <<'PY'
import resource, selectors, socket, sys, time
count, port, page = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "rb").read()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
clients, wait = {}, selectors.DefaultSelector()
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.setblocking(False)
    wait.register(s, selectors.EVENT_READ)
    clients[s] = b""
for s in clients:
    s.send(b"GET /page HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
good, end = 0, time.time() + 90
while wait.get_map() and time.time() < end:
    for key, _ in wait.select(1):
        s = key.fileobj
        try:
            piece = s.recv(1 << 16)
        except ConnectionError:
            piece = b""
        clients[s] += piece
        if not piece:
            wait.unregister(s)
            good += clients[s].endswith(b"\r\n\r\n" + page)
print(good)
PY
# upper COUNT PORT: so many at once, each sends a line of its own and wants it back in capitals.
cat >"$work/upper.py" <<'PY'
import concurrent.futures, socket, sys
def one(i):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=90)
    s.sendall(b"line %d\n" % i)
    s.shutdown(socket.SHUT_WR)
    said = b""
    while piece := s.recv(4096):
        said += piece
    return said == b"LINE %d\n" % i
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(sum(pool.map(one, range(int(sys.argv[1])))))
PY
is() { local want=$1 got; shift; got=$("$@"); [ "$got" = "$want" ] || { echo "not $want: $got"; return 1; }; }
now() { "$lightvm" service inspect "$1" | jq -r ".now.$2"; }
has() { is "$3" now "$1" "$2"; }
web=(web --port "127.0.0.1:$port:80" -m 256M -v "$work/nginx.conf:$work/nginx.conf" -v "$work/www:$work/www" -v /etc/nginx:/etc/nginx -- /usr/sbin/nginx
	-c "$work/nginx.conf" -e /dev/stderr)

# ---- without lightvmd, and bad input
says 'services need lightvmd' 125 "services are lightvmd's, and none runs" "$lightvm" service ls
check 'lightvmd starts' start_daemon
check 'there are none' is '[]' "$lightvm" service ls --format json
says 'no port' 125 'Give --port' "$lightvm" service add x /bin/true
says 'a port that is none' 125 '"70000" is not [ADDR:]PORT[:GUEST]' "$lightvm" service add x -p 70000 /bin/true
says 'a port with too much' 125 'is not [ADDR:]PORT[:GUEST]' "$lightvm" service add x -p 127.0.0.1:1:2:3 /bin/true
says 'an address that is none' 125 'is not [ADDR:]PORT[:GUEST]' "$lightvm" service add x -p 1.2.3:80 /bin/true
says 'a time that is none' 125 '--idle: "soon"' "$lightvm" service add x -p 80 --idle soon /bin/true
says 'no program' 125 'what does it run' "$lightvm" service add x -p 80
says 'a program that is not there' 125 'there is no program "nowhere"' "$lightvm" service add x -p 80 nowhere
says 'a name that is a path' 125 'name: "../x"' "$lightvm" service add ../x -p "$port" /bin/true
says 'one that is not there' 125 'there is no service "x"' "$lightvm" service inspect x
says 'removing one that is not there' 125 'there is no service "x"' "$lightvm" service rm x
says 'the second one, too, is told' 125 'there is no service "y"' "$lightvm" service rm x y
answers 'an unknown key' 400 'prot: there is no such key' POST /v1/services '{"name": "x", "prot": 1}'
answers 'no VM' 400 'vm: missing' POST /v1/services "{\"name\": \"x\", \"port\": $port}"
answers 'a VM with a name' 400 'vm.name: is not for' POST /v1/services "{\"name\": \"x\", \"port\": $port, \"vm\": {\"name\": \"y\"}}"
answers 'a number out of range' 400 'port:' POST /v1/services '{"name": "x", "port": 70000, "vm": {}}'
answers 'none of that is there' 200 '{"services":[]}' GET /v1/services

# ---- a VM for all
check 'a service is added' "$lightvm" service add --idle 1s "${web[@]}"
says '  not twice' 125 'there is a service "web" already' "$lightvm" service add "${web[@]}"
says '  nor another one on its port' 125 "port $port of 127.0.0.1: Address already in use" "$lightvm" service add other -p "127.0.0.1:$port" /bin/true
check '  no VM runs' has web 'vms | length' 0
check 'the first connection is answered' curl -sf -m 60 -o "$work/got" "http://127.0.0.1:$port/page"
check '  by the page' cmp "$work/got" "$work/www/page"
check '  with one VM' has web 'vms | length' 1
check '  which stops when nobody is connected' await 30 has web 'vms | length' 0
check '  and leaves nothing' is '' "$lightvm" ps -aq
# ---- its passt is started ahead of the next connection
passts() { pgrep -P "$daemon" passt | wc -l; }
the_passt() { pgrep -P "$daemon" passt; }
check 'a passt waits for the next VM' await 10 is 1 passts
waiting=$(the_passt)
check '  which the next VM has' is 1 python3 "$work/clients.py" 1 "$port" "$work/www/page"
check '    and it ends with it' await 20 bash -c '! kill -0 "$1"' - "$waiting"
check '  another one waits' await 10 is 1 passts
kill -9 "$(the_passt)"
check '  if it is killed' await 10 is 0 passts
check '    the next connection is served' is 1 python3 "$work/clients.py" 1 "$port" "$work/www/page"
check '  it rests' await 30 has web 'vms | length' 0
check '  one waits again' await 10 is 1 passts
kill -STOP "$(the_passt)"
"$lightvm" service rm web
check '  the service is removed while it is stopped' await 10 is '' "$lightvm" ps -aq
kill -CONT "$(the_passt)"
check '    and it ends' await 10 is 0 passts
check 'a service is added again' "$lightvm" service add --idle 1s "${web[@]}"
check '  which nobody has used has none' is 0 passts

check '500 at once, and no VM: nothing is lost' is 500 python3 "$work/clients.py" 500 "$port" "$work/www/page"
check '  one VM served them' has web started 1
check '  no connection is left' await 10 has web connections 0

# ---- the same for a port that is published: all connections come in while the VM's monitor stands still, so that no handshake gets on
"$lightvm" service rm web
await 30 is '' "$lightvm" ps -aq
plain=$((port + 20))
"$lightvm" run -d --rm --name plain -p "127.0.0.1:$plain:80" "${web[@]:3}" >/dev/null
check 'a port that is published' is 1 python3 "$work/clients.py" 1 "$plain" "$work/www/page"
check '  500 at once: nothing is lost' is 500 python3 "$work/clients.py" 500 "$plain" "$work/www/page"
monitor=$("$lightvm" inspect -f record.pid plain)
check '  its monitor stands still' kill -STOP "$monitor"
start python3 "$work/clients.py" 500 "$plain" "$work/www/page" >"$work/stopped.out"
clients=$pid
reached() { [ "$(ls "/proc/$(pgrep -f "passt.*127.0.0.1/$plain:80")/fd" | wc -l)" -gt 400 ]; }
check '  500 that come while it stands still' await 10 reached
kill -CONT "$monitor"
wait "$clients"
check '    nothing is lost, either' is 500 cat "$work/stopped.out"
"$lightvm" kill plain >/dev/null
await 10 is '' "$lightvm" ps -aq

# ---- lightvmd is killed
check 'added anew, with more patience' "$lightvm" service add --idle 10m "${web[@]}"
check '  it serves' is 1 python3 "$work/clients.py" 1 "$port" "$work/www/page"
vm=$(now web 'vms[0].id')
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check 'lightvmd is killed, and starts again' start_daemon
check '  the service is there, with the VM that it had' await 20 has web 'vms[0].id' "$vm"
check '  and serves' is 20 python3 "$work/clients.py" 20 "$port" "$work/www/page"
"$lightvm" kill "$vm" >/dev/null
check 'its VM is killed: the next connection starts another' is 5 python3 "$work/clients.py" 5 "$port" "$work/www/page"
check '  which is another one' test "$(now web 'vms[0].id')" != "$vm"
answers 'it is removed' 204 '' DELETE /v1/services/web
check '  its VM, too' await 30 is '' "$lightvm" ps -aq
check '  and nobody listens' bash -c '! (: <>"/dev/tcp/127.0.0.1/$1")' - "$port"

# ---- many services
for i in 1 2 3 4 5 6; do
	"$lightvm" service add "many$i" -p "127.0.0.1:$((port + i)):80" --idle 1ms -m 256M -v "$work/nginx.conf:$work/nginx.conf" -v "$work/www:$work/www" -v /etc/nginx:/etc/nginx -- /usr/sbin/nginx \
		-c "$work/nginx.conf" -e /dev/stderr
	check "service $i of 6" is 1 python3 "$work/clients.py" 1 "$((port + i))" "$work/www/page"
done
check '  they rest' await 30 is '' "$lightvm" ps -aq
check '  and no more than 4 have one that waits' await 10 is 4 passts
before=$(the_passt)
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check '  lightvmd is killed: they end, too' await 10 bash -c 'for p in $1; do ! kill -0 $p || exit 1; done' - "$before"
check '  and starts again' start_daemon
"$lightvm" service rm many1 many2 many3 many4 many5 many6

# ---- a VM that fails
check 'a service whose program ends at once' "$lightvm" service add fails -p "127.0.0.1:$port" /bin/false
check '  closes the connection' bash -c '! curl -s -m 30 "http://127.0.0.1:$1/"' - "$port"
check '  says why' bash -c '"$1" service inspect fails | jq -r .now.error | grep -q "ended before its program listened: exited (1)"' - "$lightvm"
check '  counts it' has fails failed 1
"$lightvm" service rm fails

# ---- a VM for each connection
check 'each connection its own VM' "$lightvm" service add upper -p "127.0.0.1:$port" --per-connection --max 4 -- tr a-z A-Z
check '  24 of them, 4 at once' is 24 python3 "$work/upper.py" 24 "$port"
check '  24 VMs' has upper started 24
check '  which are gone' await 20 has upper 'vms | length' 0
check '  and leave nothing' is '' "$lightvm" ps -aq
"$lightvm" service rm upper

check 'one whose program answers at once' "$lightvm" service add echo -p "127.0.0.1:$port" --per-connection cat
exec 7<>"/dev/tcp/127.0.0.1/$port"
check '  a connection' await 20 has echo 'vms[0].state' ready
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
printf 'still here\n' >&7
check '  goes on while lightvmd is killed' bash -c 'read -rt 20 line <&7 && [ "$line" = "still here" ]'
check '  lightvmd starts again' start_daemon 7>&-
check '    and knows it as one of its VMs' await 20 has echo 'vms | length' 1
exec 7>&-
check '  it ends with its connection' await 20 has echo 'vms | length' 0
"$lightvm" service rm echo
check 'nothing is left on disk' test -z "$(ls "$LIGHTVM_KEPT/services")"
finish
