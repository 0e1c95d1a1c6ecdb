#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvmd over TCP: TLS, and only for clients whose certificate was signed by who is named for that.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
pki=$work/pki
mkdir "$pki"

# authority NAME; certificate NAME AUTHORITY PURPOSE [DAYS]
authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -days 2 -keyout "$pki/$1.key" -out "$pki/$1.pem"; }
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$pki/$1.key" -out "$pki/$1.csr" &&
		openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.pem" -CAkey "$pki/$2.key" -CAcreateserial -days "${4:-2}" -out "$pki/$1.pem" \
			-extfile <(printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%s\n' "$3")
}
{ authority ours && authority others && certificate server ours serverAuth && certificate client ours clientAuth && certificate stranger others clientAuth &&
	certificate wrong ours serverAuth; } >"$work/openssl.log" 2>&1 || { cat "$work/openssl.log"; not_ok "certificates" "openssl made none"; finish; }
chmod 600 "$pki"/*.key
port=$(free_port)
options=(--tls-listen "127.0.0.1:$port" --tls-certificate "$pki/server.pem" --tls-key "$pki/server.key" --tls-clients "$pki/ours.pem")

# ---- options that make no sense
says "a part is missing" 1 "--tls-listen needs --tls-key FILE, too" "$lightvmd" --tls-listen 127.0.0.1:1 --tls-certificate "$pki/server.pem"
says "a part for nothing" 1 "--tls-key is for --tls-listen" "$lightvmd" --tls-key "$pki/server.key"
says "an address that is none" 1 '"localhost" is not an address' "$lightvmd" "${options[@]/127.0.0.1:$port/localhost:1}"
says "no port" 1 '"127.0.0.1" is not ADDRESS:PORT' "$lightvmd" "${options[@]/127.0.0.1:$port/127.0.0.1}"
says "a file that is not there" 1 "$pki/none.pem: No such file" "$lightvmd" "${options[@]/server.pem/none.pem}"
says "one that holds nothing of that kind" 1 "not a PEM file" "$lightvmd" "${options[@]/$pki\/server.pem/\/usr\/bin\/true}"
says "a key of another certificate" 1 "certificate and key do not fit" "$lightvmd" "${options[@]/server.key/client.key}"
chmod 644 "$pki/server.key"
says "a key that others can read" 1 "others may read it (mode 644)" "$lightvmd" "${options[@]}"
chmod 600 "$pki/server.key"

# ---- connections
start "$lightvmd" "${options[@]}" 2>>"$work/daemon.log"
daemon=$pid
check "it starts" await 10 api GET /v1/health
secure() { curl -sS --max-time $((20 * ${LV_TIME_FACTOR:-1})) --cacert "$pki/ours.pem" "$@"; }
with() { secure --cert "$pki/$1.pem" --key "$pki/$1.key" "${@:2}"; }
url=https://127.0.0.1:$port
check "a client with a certificate is served" bash -c '[[ $1 == *\"api\":\"v1\"* ]]' - "$(with client "$url/v1/version")"
check "and may make a VM" bash -c '[[ $1 == *\"state\":\"running\"* ]]' - "$(with client -H 'Content-Type: application/json' \
	-d '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "far", "net": {"kind": "none"}}' "$url/v1/vms")"
check "and wait for its end" bash -c '[[ $1 == *"has not ended after 1 s"* ]]' - "$(with client "$url/v1/vms/far/wait?seconds=1")"
check "and follow its log" bash -c '[ "$1" = 28 ]' - "$(with client --max-time 2 "$url/v1/vms/far/logs?follow=true" >"$work/out" 2>&1; echo $?)"
says_403() { # NAME TEXT CURL...
	local name=$1 text=$2 answer
	shift 2
	answer=$("$@" 2>&1)
	if [[ $answer == *'"forbidden"'*"$text"* ]]; then ok "$name"; else not_ok "$name" "$answer"; fi
}
says_403 "one without is refused" "for clients with a certificate" secure "$url/v1/vms"
says_403 "one of somebody else's" "issuer is unknown" with stranger "$url/v1/vms"
says_403 "one that is not meant for clients" "client's certificate" with wrong "$url/v1/vms"
says "plain HTTP is refused" 52 "Empty reply" curl -sS --max-time 20 "http://127.0.0.1:$port/v1/vms"
says "TLS 1.1 is refused" 35 "" secure --tls-max 1.1 --cert "$pki/client.pem" --key "$pki/client.key" "$url/v1/vms"
check "a client that trusts nobody of ours does not go on" bash -c '! curl -s --max-time 20 "$1"' - "$url/v1/health"
check "the Unix socket is served as before" api GET /v1/vms
cat >"$work/half.py" <<'PY'
import socket, sys
held = []
for i in range(200):  # connects, and says nothing or half of it
    client = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    if i % 2:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
    held.append(client)
PY
check "200 who say nothing, or half a hello" python3 "$work/half.py" "$port"
check "keep nobody out" bash -c '[[ $1 == *\"api\"* ]]' - "$(with client "$url/v1/version")"
with client -X DELETE "$url/v1/vms/far?force=true" >"$work/out"
kill "$daemon"
wait "$daemon"
check "it ends in order" test $? = 0
finish
