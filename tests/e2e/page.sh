#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# The page for browsers: who may see it, what it lets nobody do, and how it looks to a real one.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

says "without lightvmd" 125 "the page is lightvmd's, and none runs" "$lightvm" daemon page
start_daemon || not_ok "lightvmd starts" "see above"
answers "by the Unix socket it needs no token" 200 '<title>LightVM</title>' GET /
answers "its script" 200 'textContent' GET /page.js
answers "its style" 200 ':root' GET /page.css

start "$lightvm" daemon page >"$work/url" 2>"$work/page.err"
page=$pid
await 10 test -s "$work/url"
url=$(cat "$work/url")
token=${url#*#}
base=${url%%/#*}
check "an address with a token" grep -qE '^http://127\.0\.0\.1:[0-9]+/#[0-9a-f]{64}$' "$work/url"

# web STATUS TEXT CURL-OPTIONS...: that status, and a body with TEXT
web() {
	local name=$1 status=$2 text=$3 got
	shift 3
	got=$(curl -s --max-time 20 -D "$work/headers" -o "$work/answer" -w '%{http_code}' "$@")
	if [ "$got" = "$status" ] && grep -qF -- "$text" "$work/answer"; then ok "$name"; else
		cat "$work/answer"
		not_ok "$name" "status $got, wanted $status and '$text'"
	fi
}
web "the page itself tells nothing, and needs no token" 200 '<title>LightVM</title>' "$base/"
check "a policy that lets nothing in" grep -qi "^content-security-policy: default-src 'none'; script-src 'self';.* frame-ancestors 'none'" "$work/headers"
check "nothing about other origins" bash -c '! grep -qi "^access-control" "$1"' - "$work/headers"
web "with the token" 200 '"vms"' -H "Authorization: Bearer $token" "$base/v1/vms"
web "without" 401 'not the token' "$base/v1/vms"
web "with a wrong one" 401 'not the token' -H "Authorization: Bearer ${token/[0-9]/x}" "$base/v1/vms"
web "with a part of it" 401 'not the token' -H "Authorization: Bearer ${token:0:63}" "$base/v1/vms"
web "with more than it" 401 'not the token' -H "Authorization: Bearer ${token}0" "$base/v1/vms"
web "as a query" 400 'not known' -H "Authorization: Bearer $token" "$base/v1/vms?token=$token"
web "by another name, as after DNS rebinding" 403 'Host: \"evil.example' -H "Host: evil.example:${base##*:}" -H "Authorization: Bearer $token" "$base/v1/vms"
web "by another port" 403 'is not this page' -H "Host: 127.0.0.1:1" -H "Authorization: Bearer $token" "$base/"
web "localhost is this machine" 200 '"vms"' -H "Host: localhost:${base##*:}" -H "Authorization: Bearer $token" "$base/v1/vms"
web "it changes nothing" 403 'only shows' -H "Authorization: Bearer $token" -X POST -d '{"image": "/usr/bin/true"}' "$base/v1/vms"
web "nor deletes" 403 'only shows' -H "Authorization: Bearer $token" -X DELETE "$base/v1/vms/x"
web "a preflight of another origin is no permission" 405 'not one of its methods' -X OPTIONS -H 'Origin: http://evil.example' -H 'Access-Control-Request-Headers: authorization' "$base/v1/vms"
check "no other address of this machine is served" bash -c '! curl -s --max-time 2 -o /dev/null "http://$(hostname -I 2>/dev/null | cut -d" " -f1):$1/"' - "${base##*:}"

# ---- sockets that it does not take
cat >"$work/hand.py" <<'PY'
import os, socket, struct, sys
def ask(fds):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(sys.argv[1])
    client.settimeout(20)
    socket.send_fds(client, [struct.pack("=IHHII", 0x646D766C, 24, 1, 0, 0)], fds)
    answer = client.recv(65536)
    return struct.unpack_from("=i", answer)[0], answer[16:].decode()
reading, writing = os.pipe()
wide = socket.create_server(("0.0.0.0", 0))
unix = socket.socket(socket.AF_UNIX)
plain = socket.socket()
plain.bind(("127.0.0.1", 0))
def refused(fds, words):
    result, text = ask(fds)
    assert result < 0 and words in text, (result, text)
refused([], "wants a socket and a pipe, not 0 descriptors")
refused([wide.fileno()], "not 1 descriptors")
refused([wide.fileno(), reading], "a socket that others than this machine reach")
refused([unix.fileno(), reading], "not a TCP socket that listens")
refused([plain.fileno(), reading], "not a TCP socket that listens")
refused([reading, reading], "not a TCP socket that listens")
taken = []
for _ in range(20):
    server = socket.create_server(("127.0.0.1", 0))
    taken.append(server)
    result, text = ask([server.fileno(), reading])
    if result:
        break
assert result == -11 and "served 8 times already" in text, (result, text)
PY
check "sockets of others, of other kinds, and too many are refused" python3 "$work/hand.py" "$LIGHTVM_RUN/lightvm.sock"
check "which leaves the page where it was" curl -s -o /dev/null "$base/"
says "a port that is taken" 125 "127.0.0.1:${base##*:}: Address" "$lightvm" daemon page --port "${base##*:}"

# ---- a browser
for name in one two three; do "$lightvm" run -d --name $name /usr/bin/sleep 1000 >"$work/out"; done
"$lightvm" run --name ended /bin/sh -c 'exit 3'
odd=$("$lightvm" inspect -f id two)
python3 - "$XDG_RUNTIME_DIR/lightvm/vms/$odd" <<'PY'
import json, os, sys
os.chdir(sys.argv[1])
config = json.load(open("config.json"))
config["program"] = "/<img src=x onerror=\"window.owned=1\"><script>window.owned=1</script>"
json.dump(config, open("config.json", "w"))
os.unlink("row")
PY
if chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
	python3 "$(dirname "$0")/page.py" "$chromium" "$url" "$lightvm" ${LV_PAGE_PICTURE:+"$LV_PAGE_PICTURE"} >"$work/browser.out" 2>&1 || failures=$((failures + 1))
	cat "$work/browser.out"
else
	skip "a browser" "chromium is missing (scripts/setup --test brings it)"
fi

# ---- its end
kill "$page"
wait "$page" 2>/dev/null
gone() { ! curl -s --max-time 2 -o /dev/null "$base/"; }
check "it ends with its command" await 10 gone
start "$lightvm" daemon page >"$work/url" 2>"$work/page.err"
page=$pid
await 10 test -s "$work/url"
check "each has a token of its own" bash -c '! grep -q "$1" "$2"' - "$token" "$work/url"
"$lightvm" rm -f one two three ended >"$work/out"
kill "$daemon"
wait "$daemon"
check "lightvmd ends in order while somebody looks" test $? = 0
wait "$page"
check "and the command with it, with a word" grep -q "lightvmd has ended" "$work/page.err"
finish
