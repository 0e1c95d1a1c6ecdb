#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a bridge a guest sends under its own addresses only, and nothing of the bridge's own protocols; with spoof=on what it likes.
# timeout: 60
if [ -z "${LV_IN_NETNS:-}" ]; then
	[ -c /dev/net/tun ] || { echo 'skip spoof - /dev/net/tun is missing'; exit 0; }
	export LV_IN_NETNS=1
	if [ "$(id -u)" = 0 ]; then exec unshare -n "$0"; else exec unshare -rn "$0"; fi
fi
. "$(dirname "$0")/lib.sh"
ip link set lo up
ip link add lvbr0 type bridge || { skip spoof 'no bridge can be made here'; finish; }
ip link set lvbr0 up
# Says of each forged frame of any interface what it is, until the honest one comes.
cat >"$work/listen.py" <<'PY'
import socket, sys
listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
listener.settimeout(30)
open(sys.argv[1] + ".ready", "w").close()
kinds = set()
while True:
    frame = listener.recv(2048)
    if frame[54:60] == b"honest":
        break
    if frame[54:60] == b"forged":
        foreign = frame[6:12] == bytes([2, 0, 0, 0, 0, 99])
        kinds.add("address" if foreign else "bridge" if frame[0] == 1 else {0x0806: "arp", 0x0800: "ip"}.get(frame[12] << 8 | frame[13], "other"))
open(sys.argv[1], "w").write(" ".join(sorted(kinds)) + "\n")
PY
for spoof in '' ,spoof=on; do
	start python3 "$work/listen.py" "$work/seen$spoof"
	await 10 'the listener' test -e "$work/seen$spoof.ready"
	within 20 "$lightvm" run --rm --net "bridge:lvbr0$spoof" --ip 10.8.0.2/24 "$build/tests/guest/guest_hostile" forged 1 net >"$work/out" 2>"$work/err"
	check "bridge:lvbr0$spoof: the guest lives on" test $? = 42
	check '  and the honest frame came out' await 10 'the frame' test -s "$work/seen$spoof"
done
check 'nothing forged comes out' grep -qx '' "$work/seen"
check 'with spoof=on all of it does' grep -qx 'address arp bridge ip' "$work/seen,spoof=on"
finish
