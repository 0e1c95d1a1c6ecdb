#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where the kernel has kTLS it encrypts what a migration sends; --no-ktls has our process do it. Both arrive. In the rig, whose kernel has the modules.
# timeout: 120
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
modules=${cache:-}/rig-kernel/lib/modules/$(uname -r)/kernel
for module in crypto/gf128mul crypto/ghash-generic crypto/ctr crypto/gcm net/tls/tls; do
	[ -d /sys/module/tls ] || /sbin/insmod "$modules/$module.ko" 2>/dev/null
done
[ -d /sys/module/tls ] || { skip "encryption by the kernel" "this kernel has no module tls, or it cannot be loaded here"; finish; }

port=$(free_port)
fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
a "$lightvm" host add big "127.0.0.1:$port" "$fb"
b "$lightvm" host add small 127.0.0.1 "$fa"
start "$work/as-b" "$lightvm" host serve --listen "127.0.0.1:$port" 2>"$work/serve.log"
check "the other host listens" await 20 "the other host" port_open "$port"
# by WHO NAME OPTION...
by() { "$work/as-a" "$lightvm" migrate --format json "${@:3}" "$2" big | python3 -c 'import json,sys; report = json.load(sys.stdin); assert report["encryption"] == sys.argv[1], report' "$1"; }
check "a VM" start_vm one
check "the kernel encrypts" by kernel one
check "it has come whole" await 20 "turns" said b one 3
check "another VM" start_vm two
check "our process does, if told" by process two --no-ktls
check "it has come whole, too" await 20 "turns" said b two 3
finish
