#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux guests by lightvmd's API: exec to its end, and as a connection.
# timeout: 180
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
. "$(dirname "$0")/lib_daemon.sh"
need_linux daemon_linux
check "it starts" start_daemon
answers "a Linux guest" 201 '"state"' POST /v1/vms "{\"image\": \"$(command -v busybox)\", \"args\": [\"busybox\", \"sleep\", \"1000\"], \"kernel\": \"linux\", \"name\": \"guest\", \"net\": {\"kind\": \"none\"}}"
exec_api() { api POST /v1/vms/guest/exec "$1"; }
exec_api '{"args": ["/usr/bin/busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]}' >"$work/out"
check "exec: what it says, and how it ends" test "$(jq -c '[.exit_status, .stdout, .stderr, .cut]' "$work/body")" = '[3,"out\n","err\n",false]'
exec_api '{"args": ["/usr/bin/busybox", "sh", "-c", "cat; echo $A; pwd; id -u"], "stdin": "given\n", "env": ["A=b"], "cwd": "/tmp", "user": "33"}' >"$work/out"
check "exec: input, environment, directory, user" test "$(jq -r .stdout "$work/body" | tr '\n' ' ')" = 'given b /tmp 33  '
exec_api '{"args": ["/usr/bin/busybox", "head", "-c", "3000000", "/dev/zero"]}' >"$work/out"
check "exec: more than is kept is dropped, and said" test "$(jq -c '[.exit_status, (.stdout | length), .cut]' "$work/body")" = '[0,1048576,true]'
answers "exec: no such program, as a shell tells it" 200 '"exit_status":127' POST /v1/vms/guest/exec '{"args": ["no-such-program"]}'
cat >"$work/session.py" <<'PY'
import json, socket, struct, sys
STDIN, STDOUT, STDERR, CREDIT, EXIT = 16, 34, 35, 36, 37
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
client.connect(sys.argv[1])
body = json.dumps({"args": ["/usr/bin/busybox", "cat"]}).encode()
client.sendall(b"POST /v1/vms/guest/exec HTTP/1.1\r\nHost: l\r\nConnection: Upgrade\r\nUpgrade: lightvm\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
head = b""
while b"\r\n\r\n" not in head:
    head += client.recv(1)
assert head.startswith(b"HTTP/1.1 101 "), head
def read(n):
    data = b""
    while len(data) < n:
        piece = client.recv(n - len(data))
        assert piece, "the end"
        data += piece
    return data
for data in (b"hello\n", b""):
    client.sendall(struct.pack("<II", STDIN, len(data)) + data)
said, kind = b"", 0
while kind != EXIT:
    kind, size = struct.unpack("<II", read(8))
    data = read(size)
    said += data if kind == STDOUT else b""
assert said == b"hello\n", said
assert struct.unpack("<i", data)[0] == 0
PY
check "exec: as a connection" python3 "$work/session.py" "$socket"
# ---- files, as archives that nobody keeps whole
mkdir -p "$work/tree/sub"
echo text >"$work/tree/sub/file"
ln -s ../else "$work/tree/link"
head -c 20000000 /dev/urandom >"$work/tree/big"
put() { curl -s -m 90 -o "$work/body" -w '%{http_code}' --unix-socket "$socket" -X PUT -H 'Content-Type: application/x-tar' "${@:2}" "http://l/v1/vms/guest/archive?path=$1"; }
get() { curl -sf -m 90 --unix-socket "$socket" "http://l/v1/vms/guest/archive?path=$1"; }
is() { local want=$1 got; shift; got=$("$@"); [ "$got" = "$want" ] || { echo "not $want: $got"; return 1; }; }
tar -C "$work/tree" -cf "$work/tree.tar" .
check "archive: into the guest, 20 MB of it" is 200 put /tmp/new -T "$work/tree.tar"
check "  and it says what" test "$(jq -c '[.files, .bytes, .left_out]' "$work/body")" = '[2,20000005,[]]'
# back PATH NAME WHAT: the guest's PATH, which is called NAME in the archive, is as the host's WHAT.
back() {
	rm -rf "$work/back" && mkdir "$work/back" || return 1
	get "$1" >"$work/back.tar" && tar -C "$work/back" -xf "$work/back.tar" 2>"$work/said" || return 1
	[ ! -s "$work/said" ] || { cat "$work/said"; return 1; }
	diff -r --no-dereference "$3" "$work/back/$2"
}
check "archive: out of it" back /tmp/new new "$work/tree"
check "  what is in a directory" back /tmp/new/. . "$work/tree"
check "  a file of /proc, which does not tell its size" bash -c 'curl -sf --unix-socket "$1" "http://l/v1/vms/guest/archive?path=/proc/version" | tar -xO version | grep -q Linux' - "$socket"
check "archive: compressed, and in chunks" is 200 put / -H 'Transfer-Encoding: chunked' --data-binary @<(tar -C "$work/tree" -czf - sub)
check "  is there, at the root" back /sub sub "$work/tree/sub"
check "archive: one that ends in the middle" is 400 put /tmp/cut --data-binary @<(head -c 2000000 "$work/tree.tar")
check "  and it says so" grep -q 'no whole tar archive' "$work/body"
check "archive: names that lead out" is 400 put /tmp --data-binary @<(tar -C "$work" -Pcf - --transform 's,^,../../,' back.tar 2>/dev/null)
check "archive: no such directory above it" is 404 put /no/such/place --data-binary @<(tar -C "$work/tree" -cf - sub)
answers "archive: no such file" 404 'no-such-file' GET '/v1/vms/guest/archive?path=/no-such-file'
exec_api '{"args": ["/usr/bin/busybox", "sh", "-c", "mkdir -p /tmp/small && mount -t tmpfs -o size=1m small /tmp/small"]}' >"$work/out"
check "archive: more than there is room for" is 503 put /tmp/small --data-binary @"$work/tree.tar"
check "  and the guest says so" grep -q 'No space' "$work/body"
status() { "${@:2}"; local got=$?; [ $got = "$1" ] || { echo "status $got, not $1"; false; }; }
check "archive: a limit of what is read breaks it off" status 18 get '/tmp/new&max_size=1000' # of curl: not all has come
check "archive: clients that go away in the middle" python3 - "$socket" <<'PY'
import socket, sys
for what in (b"PUT", b"GET") * 4:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(sys.argv[1])
    client.sendall(what + b" /v1/vms/guest/archive?path=/tmp/new HTTP/1.1\r\nHost: l\r\n" + (b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000 if what == b"PUT" else b"\r\n"))
    if what == b"GET":
        client.recv(100)
    client.close()
PY
check "  leave nothing that works for them" await 20 bash -c '! pgrep -x lightvm-tar >/dev/null'
api GET /v1/health >"$work/out"
check "  and the daemon answers" status_is 200
answers "top" 200 '"parent"' GET /v1/vms/guest/top
answers "update: what was not there at its start" 400 'more than' PATCH /v1/vms/guest '{"memory": 68719476736}'
answers "stats" 200 '"cpu_ns"' GET /v1/vms/guest/stats
answers "what the guest says of itself" 200 '"memory_total"' GET /v1/vms/guest
answers "a kernel is listed" 200 '"name":"general"' GET /v1/kernels
answers "stop" 200 '"state":"exited"' POST /v1/vms/guest/stop
answers "exec: it has ended" 409 'ended' POST /v1/vms/guest/exec '{"args": ["true"]}'
answers "delete" 204 '' DELETE /v1/vms/guest

# ---- as a service: its agent tells when the program listens
port=$(free_port)
mkdir -p "$work/www"
echo here >"$work/www/page"
check "a Linux guest as a service" "$lightvm" service add web -p "127.0.0.1:$port:80" --idle 1s --kernel linux -v "$work/www:/www" -- "$(command -v busybox)" httpd -f -p 80 -h /www
check "  no VM runs" is '[]' bash -c '"$1" service inspect web | jq -c .now.vms' - "$lightvm"
check "  the first connection is answered" is here curl -sf -m 60 "http://127.0.0.1:$port/page"
check "  it rests" await 30 is '' "$lightvm" ps -aq
check "  again" is here curl -sf -m 60 "http://127.0.0.1:$port/page"
"$lightvm" service rm web
check "one that listens elsewhere" "$lightvm" service add elsewhere -p "127.0.0.1:$port:81" --wait 8s --kernel linux -v "$work/www:/www" -- "$(command -v busybox)" httpd -f -p 80 -h /www
check "  is not served" bash -c '! curl -s -m 60 "http://127.0.0.1:$1/page"' - "$port"
check "  and it says why" bash -c '"$1" service inspect elsewhere | jq -r .now.error | grep -q "does not listen on port 81 after 8 s"' - "$lightvm"
"$lightvm" service rm elsewhere
finish
