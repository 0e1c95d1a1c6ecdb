#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A VM on a bridge moves between two hosts, each a network namespace with a bridge in the same network: a connection that there was goes on, and what it carries is
# neither lost nor doubled.
# timeout: 120
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"

two_networks || { skip "moving on a bridge" "no bridges or veths can be made here"; finish; }
trust_each_other
check "both hosts listen" serve_both

cat >"$work/echo.c" <<'C'
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	char data[4096];
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8))
		return 1;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		for (ssize_t n; (n = read(fd, data, sizeof(data))) > 0;)
			if (write(fd, data, (size_t)n) != n)
				return 2;
		close(fd);
	}
}
C
gcc -O2 -o "$work/echo" "$work/echo.c" || { not_ok "a program" "gcc failed"; finish; }
# Numbers in order, 400 of them under way at most; until the file is there. Says how many came back, and the longest time without one.
cat >"$work/client.py" <<'P'
import os, socket, struct, sys, time
s = socket.create_connection(("10.77.0.10", 7), 10)
s.settimeout(20)
sent = back = 0
longest, last, rest = 0.0, time.monotonic(), b""
while not os.path.exists(sys.argv[1]) or back < sent:
    while sent - back < 400 and not os.path.exists(sys.argv[1]):
        s.sendall(struct.pack("!Q", sent))
        sent += 1
    rest += s.recv(4096)
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    while len(rest) >= 8:
        number = struct.unpack("!Q", rest[:8])[0]
        assert number == back, f"{number} came in place of {back}"
        back, rest = back + 1, rest[8:]
print(f"{back} numbers, the longest time without one was {longest * 1000:.0f} ms")
P
check "a server on the bridge" in_a "$lightvm" run -d --wait --name echo --net bridge:br0 --ip 10.77.0.10/24 "$work/echo"
start python3 "$work/client.py" "$work/stop" >"$work/client.out" 2>&1
client=$pid
check "it moves while it serves" moves a echo
check "it runs there" test "$(states a)/$(states b)" = /echo:running
check "and back, another way" moves b echo --stop-and-copy
check "it runs here" test "$(states a)/$(states b)" = echo:running/
touch "$work/stop"
check "no number was lost or came twice" wait "$client"
cat "$work/client.out"
check "one that connects now is served, too" python3 "$work/client.py" "$work/stop"

# ---- IPv6: one with no other address, of which no ARP could tell
cat >"$work/hears.py" <<'P'
"""hears.py MAC: says "probed" when that one's link-local address has been probed for, which is its own from then on, and ends when it is advertised to everybody, unasked."""
import ipaddress, socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
own = ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]).packed
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
s.bind(("switch", 0x86dd))
s.settimeout(20)
print("listens", flush=True)
while True:
    frame = s.recv(2048)
    ip, icmp = frame[14:54], frame[54:]
    if len(icmp) < 24 or frame[6:12] != mac or ip[6] != 58 or icmp[8:24] != own:
        continue
    if icmp[0] == 135:
        print("probed", flush=True)
    if icmp[0] != 136 or frame[0] != 0x33:
        continue
    words = ip[8:40] + (len(icmp)).to_bytes(4, "big") + bytes([0, 0, 0, 58]) + icmp
    total = sum(int.from_bytes(words[i:i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    assert total == 0xffff, f"checksum {total:#x}"
    assert ip[8:24] == own and ip[24:40] == ipaddress.IPv6Address("ff02::1").packed and frame[:6] == bytes.fromhex("333300000001") and ip[7] == 255, frame.hex()
    assert icmp[4] == 0x20 and icmp[24:32] == b"\2\1" + mac, icmp.hex()
    break
P
mac=02:00:5e:10:00:07
start python3 "$work/hears.py" $mac >"$work/hears" 2>&1
hears=$pid
await 10 "who listens" grep -q listens "$work/hears"
check "one with a link-local address only" in_a "$lightvm" run -d --name six --net bridge:br0 --mac $mac "$work/echo"
check "  it has probed for it" await 20 "a probe" grep -q probed "$work/hears"
# Its own from then on, when a second has passed without an answer: whoever is asked then, answers.
answers() { python3 -c 'import socket; s = socket.socket(socket.AF_INET6); s.settimeout(1)
try: s.connect(("fe80::5eff:fe10:7", 7, 0, socket.if_nametoindex("switch")))
except ConnectionRefusedError: pass'; }
check "  it answers" await 20 "an answer" answers
kill "$hears"
start python3 "$work/hears.py" $mac >"$work/hears" 2>&1
hears=$pid
await 10 "who listens" grep -q listens "$work/hears"
check "  it moves" moves a six
check "  and advertises where it is" wait "$hears"
check "  it answers there" await 20 "an answer" answers
finish
