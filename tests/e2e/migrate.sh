#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VMs that move between two hosts (lib_migrate.sh).
# timeout: 240
. "$(dirname "$0")/lib.sh"

. "$(dirname "$0")/lib_migrate.sh"
port=$(free_port)

# ---- who knows whom
says "a host without a key" 125 'this host has no key yet; "lightvm host init" makes one' a "$lightvm" host show
says "it cannot listen either" 125 'this host has no key yet' a "$lightvm" host serve
fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
check "a key has a fingerprint" test "${#fa}" = 64
says "a key is not replaced unasked" 125 "this host has a key already; --renew replaces it" a "$lightvm" host init
check "its file is its owner's alone" test "$(stat -c %a "$work/kept-a/hosts" "$work/kept-a/hosts/own.pem" | tr '\n' ' ')" = "700 600 "
says "a fingerprint that is none" 125 '"12ab" is neither a fingerprint (64 hexadecimal digits) nor a file: No such file' a "$lightvm" host add big 127.0.0.1 12ab
says "a file that is no certificate" 125 "/etc/passwd: no certificate in PEM" a "$lightvm" host add big 127.0.0.1 /etc/passwd
says "an address that is none" 125 '"there" is not an address in numbers, as 192.0.2.7 or [2001:db8::7]' a "$lightvm" host add big there "$fb"
says "a name that cannot be" 125 '"a/b" cannot be a host' a "$lightvm" host add a/b 127.0.0.1 "$fb"
check "a host is added" a "$lightvm" host add big "127.0.0.1:$port" "$fb"
says "no name twice" 125 'there is a host "big" already' a "$lightvm" host add big 127.0.0.1 "$fb"
says "no fingerprint twice" 125 'this fingerprint is that of host "big"' a "$lightvm" host add large 127.0.0.1 "$fb"
b "$lightvm" host show >"$work/b.pem"
check "a certificate is as good as its fingerprint" a "$lightvm" host rm big
check "it is" a "$lightvm" host add big "127.0.0.1:$port" "$work/b.pem"
check "the same host" test "$(a "$lightvm" host show --format json big | python3 -c 'import json,sys; print(json.load(sys.stdin)["fingerprint"])')" = "$fb"
says "a host that is not there" 125 'there is no host "none"' a "$lightvm" host rm none
says "one of two" 125 'there is no host "nor"' a "$lightvm" host rm none nor
mkfifo "$work/fifo"
says "a pipe is not waited for" 125 "fifo\" is neither a fingerprint (64 hexadecimal digits) nor a file: Invalid argument" within 10 "$work/as-a" "$lightvm" host add pipe 127.0.0.1 "$work/fifo"
chmod 644 "$work/kept-a/hosts/own.pem"
says "a key that others can read is none" 125 "may be read by others (mode 644" a "$lightvm" host show
chmod 600 "$work/kept-a/hosts/own.pem"

# ---- what cannot be moved, and to where
check "a VM" start_vm one --pid-file "$work/pid"
says "nobody listens" 125 "127.0.0.1:$port: Connection refused; is \"lightvm host serve\" running there?" a "$lightvm" migrate one big
says "no host of that name" 125 'there is no host "none"' a "$lightvm" migrate one none
mkdir "$work/volume"
a "$lightvm" run -d --name live -v "$work/volume:/x" "$work/count" >/dev/null
says "one with a live volume" 125 "has a live volume at /x, a directory of its host, and does not move" a "$lightvm" migrate live big
a "$lightvm" rm -f live >/dev/null
says "no host" 125 "$("$lightvm" migrate --help | sed -n 's/^[Uu]sage: //p'); without HOST only with --resolve or --recover" a "$lightvm" migrate one
says "--with-storage" 125 "--with-storage is not there yet" a "$lightvm" migrate --with-storage one big
says "no memory that another host waits for" 125 "has no memory that another host waits for" a "$lightvm" migrate --recover one
says "no migration to hear of" 125 "does not wait for the outcome of a migration" a "$lightvm" migrate --resolve ask one
start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" 2>"$work/serve.log"
server=$pid
check "the other host listens" await 10 "the other host" port_open "$port"

# ---- trust
says "one who is not known there" 125 '"lightvm host add" has to be run there, with the fingerprint' a "$lightvm" migrate one big
check "there is told who it was" await 10 "a line" grep -q "${fa:0:16}...: not a host that this one knows" "$work/serve.log"
b "$lightvm" host add small 127.0.0.1 "$fa"
a "$lightvm" host rm big
a "$lightvm" host add big "127.0.0.1:$port" "${fb/${fb:0:1}/$([ "${fb:0:1}" = 0 ] && echo 1 || echo 0)}"
says "another key than is known" 125 "or its key is another one: its fingerprint is $fb" a "$lightvm" migrate one big
a "$lightvm" host rm big
a "$lightvm" host add big "127.0.0.1:$port" "$fb"
bash -c "head -c 100000 /dev/urandom >/dev/tcp/127.0.0.1/$port" 2>/dev/null # ends by a reset, or not
check "what is no TLS does no harm" kill -0 "$server"
check "  and others are answered" port_open "$port"
check "the VM runs on all the while" test "$(states a)" = one:running

# ---- refused by the other host
b "$lightvm" run -d --name one "$work/count" >/dev/null
says "its name is taken there" 125 'runs on here: there is a VM with the name "one" here already' a "$lightvm" migrate one big
b "$lightvm" rm -f one >/dev/null
check "nothing is left there" nothing_at b
a "$lightvm" run -d --name bridged --net bridge:nobr0 "$work/count" >/dev/null 2>&1 && not_ok "a bridge that is not there" "it started"

# ---- a source that is trusted, and not honest
a "$lightvm" save --leave-running one "$work/offer" >/dev/null
truncate -s 1M "$work/secret"
offer() { grep -qF -- "$1" <<<"$(within 20 "$(dirname "$0")/migrate_hostile.py" "$port" "$work/kept-a/hosts/own.pem" "$work/offer/vm.json" "${@:2}")"; }
check "an offer as it should be" offer WANTED '{}'
check "no disk, which would be a file of this host" offer "its disk $work/secret is in no directory from which this host takes disks" '{"disks": [{"path": "'"$work/secret"'"}]}'
check "no kernel by its path, and no initrd" offer "kernel_sha256: missing, or not 64 hexadecimal digits, of a Linux guest" '{"linux": {"kernel": "'"$work/secret"'", "initrd": "/etc/shadow"}}'
check "  nor without" offer "kernel_sha256: missing, or not 64 hexadecimal digits, of a Linux guest" '{"linux": {"kernel": "'"$work/secret"'"}}'
check "  nor one that is not here" offer 'its kernel (SHA-256 012345678901) is not here: "lightvm kernel ls" has those that are' '{"linux": {"kernel": "'"$work/secret"'"}, "kernel_sha256": "0123456789012345678901234567890123456789012345678901234567890123", "kernel_size": 1048576}'
check "  nor any file, however large" offer "kernel_size: missing, or 3221225473 bytes, which is not between 1 and 3221225472" '{"linux": {"kernel": "'"$work/secret"'"}, "kernel_sha256": "0123456789012345678901234567890123456789012345678901234567890123", "kernel_size": 3221225473}'
check "no directory of this host as a live volume" offer "has a live volume at /x, a directory of its host" '{"mounts": [{"path": "/x", "kind": "volume", "source": "/etc"}]}'
check "no compressed memory" offer "compressed: there is no file of a VM that arrives" '{"compressed": {"method": "zstd", "size": 1}}'
check "no other saved VM below it, which would be one of this host" offer "parent: a VM arrives whole" '{"parent": {"path": "'"$work/offer"'", "state_sha256": "'"$(sha256sum <"$work/offer/state" | cut -d" " -f1)"'"}}'
check "none in the foreground" offer "runs in the foreground of a command" '{"detached": false}'
check "no image without end" offer "its image has" '{"image_size": 4611686018427387904}'
check "nothing is left of any" await 10 "nothing" nothing_at b
rm -f "$work"/cache-b/images/*.lvm
start "$(dirname "$0")/migrate_hostile.py" "$port" "$work/kept-a/hosts/own.pem" "$work/offer/vm.json" '{}' 0 < <(sleep 20) >"$work/sent"
hostile=$pid
check "a piece of an image comes" await 10 "it" grep -q sent "$work/sent"
in_cache() { find "$work/cache-b/images" -type f -size +0; }
receiver=$(pgrep -P "$server" | tail -n 1)
kill -9 "$receiver"
wait "$hostile" 2>/dev/null
check "nothing of it is left when its process is killed" test -z "$(in_cache)"

# ---- it moves
nonce=$(a "$lightvm" logs one | head -n 1 | cut -d' ' -f1)
id=$(a "$lightvm" ps -q)
check "it moves" within 60 "$work/as-a" "$lightvm" migrate --stop-and-copy one big
check "it is gone from here" nothing_at a
check "it runs there, under its id and name" test "$(states b) $(b "$lightvm" ps -q)" = "one:running $id"
check "it goes on" await 10 "turns" said b one 3
turns_follow() { b "$lightvm" logs one | awk -v nonce="$nonce" '$1 != nonce || (NR > 1 && $2 != last + 1) { exit 1 } { last = $2 }'; }
check "no turn is lost or twice, and its memory is what it was" turns_follow
check "its process is another one's business there" test "$(jq -r .pid_file "$work/b/vms/$id/config.json")" = null
check "the image was sent" test -n "$(find "$work/cache-b/images" -name '*.lvm')"

# Its image is there by now.
sed -i "s/\"id\": \"$id\"/\"id\": \"$(tr 0-9a-f 1-9a-f0 <<<"$id")\"/; s/\"name\": \"one\"/\"name\": \"two\"/" "$work/offer/vm.json"
check "not more memory than it may have" offer "more memory than the VM may have" '{}' $((1 << 36))

# ---- options
says "two ways at once" 125 "--stop-and-copy is one way, --pre-copy another" b "$lightvm" migrate --stop-and-copy --pre-copy one small
says "two others" 125 "one of --pre-copy, --post-copy and --hybrid" b "$lightvm" migrate --post-copy --hybrid one small
says "two ways at once, otherwise" 125 "--stop-and-copy is one way, --hybrid another" b "$lightvm" migrate --stop-and-copy --hybrid one small
says "a time that is none" 125 '--max-downtime: "soon" is not a time' b "$lightvm" migrate --max-downtime soon one small

# ---- and back, which says what it took
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$((port + 1))" 2>"$work/serve-a.log"
b "$lightvm" host rm small
b "$lightvm" host add small "127.0.0.1:$((port + 1))" "$fa"
await 10 "this host" port_open $((port + 1))
back() {
	within 60 "$work/as-b" "$lightvm" migrate --format json one small | tee "$work/report" | python3 -c '
import json, sys
report = json.load(sys.stdin)
assert report["runs"] == "destination" and report["image_bytes"] == 0, report
assert 0 < report["downtime_ms"] <= report["total_ms"], report
assert 2 <= report["rounds"] <= 9 and report["memory_bytes"] > 1 << 18 and report["encryption"] in ("kernel", "process"), report'
}
check "it moves back, and its image is not sent again" back
digits() { python3 -c 'import re,sys; found=re.findall(r"ms\": ([0-9.e-]+)", sys.stdin.read()); assert len(found) > 3 and all(len(t.partition(".")[2]) <= 3 for t in found), found' <"$work/report"; }
check "  its times are told to the microsecond" digits
check "  serve tells that it has come, which is no warning" await 10 "a line" grep -qx "lightvm: from big: $id one has come" "$work/serve-a.log"
check "it runs here again" test "$(states a)" = one:running
check "nothing is left there" nothing_at b

# ---- another limit
"$work/as-a" "$lightvm" update -m 32M one
says "not less than it has" 125 "--memory 4M: VM $id has " a "$lightvm" migrate -m 4M one big
says "not more than it may have" 125 "may have 32M here, and gets no more on the way" a "$lightvm" migrate -m 1G one big
check "less than before" within 60 "$work/as-a" "$lightvm" migrate -m 24M one big
limits() { "$work/as-$1" "$lightvm" inspect one | jq .[0].config.memory; "$work/as-$1" "$lightvm" stats --no-stream --format json one | jq .[0].memory_limit; }
check "it has that there" test "$(limits b)" = $'25165824\n25165824'
check "it goes on" await 10 "turns" said b one 3
b "$lightvm" migrate one small
check "and keeps it" test "$(limits a)" = $'25165824\n25165824'

# ---- paused before
a "$lightvm" pause one
check "one that is paused moves" within 60 "$work/as-a" "$lightvm" migrate one big
check "and stays so" test "$(states b)" = one:paused
check "until it is resumed" b "$lightvm" resume one
check "it runs" test "$(states b)" = one:running
kill $server
wait $server
finish
