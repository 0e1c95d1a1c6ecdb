#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Linux guests by lightvmd's API: exec to its end, and as a connection.
# timeout: 120
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
answers "stats" 200 '"cpu_ns"' GET /v1/vms/guest/stats
answers "what the guest says of itself" 200 '"memory_total"' GET /v1/vms/guest
answers "a kernel is listed" 200 '"name":"general"' GET /v1/kernels
answers "stop" 200 '"state":"exited"' POST /v1/vms/guest/stop
answers "exec: it has ended" 409 'ended' POST /v1/vms/guest/exec '{"args": ["true"]}'
answers "delete" 204 '' DELETE /v1/vms/guest
finish
