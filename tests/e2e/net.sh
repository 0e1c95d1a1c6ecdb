#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Networks: tap and bridge, ICMP echo, UDP, DNS by the C library, two VMs that talk to each other; in a network namespace.
# timeout: 120
if [ -z "${LV_IN_NETNS:-}" ]; then
	[ -c /dev/net/tun ] || { echo 'skip networks - /dev/net/tun is missing'; exit 0; }
	export LV_IN_NETNS=1
	if [ "$(id -u)" = 0 ]; then exec unshare -n "$0"; else exec unshare -rn "$0"; fi
fi
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
ip link set lo up

# A tap with the host's end at 10.9.0.1.
ip tuntap add lvtap0 mode tap
ip addr add 10.9.0.1/24 dev lvtap0
ip link set lvtap0 up
"$lightvm" run -d --name tap --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 /usr/bin/iperf3 -s --forceflush >"$work/out" 2>&1 || { cat "$work/out"; not_ok 'a VM on a tap' 'does not start'; }
check 'ICMP echo' await 10 'an answer to ping' "$busybox" ping -c 1 -W 1 10.9.0.2
check 'ICMP echo, 1400 bytes' "$busybox" ping -c 1 -W 2 -s 1400 10.9.0.2
check 'ICMP echo, in fragments' "$busybox" ping -c 1 -W 2 -s 4000 10.9.0.2
"$busybox" ping -q -A -c 200 -W 2 10.9.0.2 >"$work/ping"
cat "$work/ping"
check 'ICMP echo, 200 of 200' grep -q '200 packets received' "$work/ping"
listening() { "$lightvm" logs tap | grep -q 'Server listening'; }
check 'the server listens' await 10 'iperf3 in the VM' listening
# The server closes its listener between two clients and opens it again: a client that comes in between is reset.
client() { local try; for try in 1 2 3; do within 20 iperf3 -c 10.9.0.2 -t 1 "$@" && return; done; return 1; }
check 'TCP through the tap' client
check 'TCP through the tap, reverse' client -R
refused() { within 3 curl -s "http://10.9.0.2:81/" || [ $? = 7 ]; }
check 'a closed port refuses' refused
"$lightvm" kill tap >/dev/null

musl-gcc -static -o "$work/answer" "$top/tests/data/udp_answer.c"
"$lightvm" run -d --name answer --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 "$work/answer" >"$work/out" 2>&1 || cat "$work/out"
answering() { "$lightvm" logs answer | grep -q answers; }
await 20 'the program that answers' answering
check 'the address is the new VM'"'"'s' await 10 'an answer to ping' "$busybox" ping -c 1 -W 1 10.9.0.2
check 'UDP through the tap, every datagram of 1500' within 30 python3 "$top/tests/data/udp_window.py" 10.9.0.2 1500 $((25 * ${LV_TIME_FACTOR:-1}))
"$lightvm" kill answer >/dev/null

# A program that has the network up, and begins to listen when it is told to.
cat >"$work/late.c" <<'C'
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one;
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || puts("up") < 0 || fflush(stdout) || getchar() != '\n' || listen(fd, 8))
		return 1;
	while ((one = accept(fd, NULL, NULL)) >= 0) {
		write(one, "hello\n", 6);
		close(one);
	}
	return 2;
}
C
gcc -o "$work/late" "$work/late.c"
mkfifo "$work/late.in"
exec {tell}<>"$work/late.in" # to write only, it would wait for a reader
start "$lightvm" run --name late --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 "$work/late" <"$work/late.in" >"$work/late.out" 2>&1
await 10 'the line "up"' grep -q up "$work/late.out"
check 'connections that come before the program listens wait for that' within 30 bash -c "python3 '$top/tests/e2e/early_syn.py' 10.9.0.1 10.9.0.2 80 >&$tell"
exec {tell}>&-
"$lightvm" kill late >/dev/null

# From the VM: a server and a name server on the host's end.
mkdir -p "$work/www"
head -c 3000000 /dev/urandom >"$work/www/file"
start /usr/bin/python3 "$top/tests/data/servers.py" 10.9.0.1 "$work/www" >"$work/servers" 2>&1
await 10 'the servers of the test' grep -q ready "$work/servers" || cat "$work/servers"
"$lightvm" run --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 "$busybox" wget -q -O - http://10.9.0.1:8000/file >"$work/got" 2>"$work/err"
check 'wget of 3 MB' cmp "$work/got" "$work/www/file"
cat >"$work/resolve.c" <<'C'
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
	int r = getaddrinfo(argv[1], "80", &hints, &list);
	if (r)
		return printf("%s\n", gai_strerror(r)), 1;
	printf("%s\n", inet_ntoa(((struct sockaddr_in *)list->ai_addr)->sin_addr));
	return 0;
}
C
gcc -o "$work/resolve" "$work/resolve.c"
musl-gcc -static -o "$work/resolve-musl" "$work/resolve.c"
for kind in resolve resolve-musl; do
	answer=$("$lightvm" run --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 --dns 10.9.0.1 "$work/$kind" there.test 2>"$work/err")
	if [ "$answer" = 10.9.9.9 ]; then ok "DNS: $kind"; else cat "$work/err"; not_ok "DNS: $kind" "answer '$answer'"; fi
	answer=$("$lightvm" run --net tap:lvtap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 --dns 10.9.0.1 "$work/$kind" missing.test 2>"$work/err")
	if [ $? = 1 ]; then ok "DNS: $kind, no such name"; else cat "$work/err"; not_ok "DNS: $kind, no such name" "answer '$answer'"; fi
done

# Two VMs on a bridge, with the addresses given; DHCP from nobody must end the wait, not hang.
ip link add lvbr0 type bridge
ip addr add 10.8.0.1/24 dev lvbr0
ip link set lvbr0 up
"$lightvm" run -d --name server --net bridge:lvbr0 --ip 10.8.0.2/24 /usr/bin/iperf3 -s --forceflush >"$work/out" 2>&1 || { cat "$work/out"; not_ok 'a VM on a bridge' 'does not start'; }
check 'a VM on a bridge' await 10 'an answer to ping' "$busybox" ping -c 1 -W 1 10.8.0.2
listening() { "$lightvm" logs server | grep -q 'Server listening'; }
await 10 'iperf3 in the VM' listening
within 30 "$lightvm" run --net bridge:lvbr0 --ip 10.8.0.3/24 /usr/bin/iperf3 -c 10.8.0.2 -t 1 >"$work/out" 2>"$work/err"
status=$?
tail -n 4 "$work/out"
[ $status = 0 ] || cat "$work/err"
check 'a VM talks to a VM' test $status = 0
"$lightvm" rm -f server >/dev/null
gone() { ! ip -o link show master lvbr0 | grep -q .; }
check 'no tap is left in the bridge' await 5 'the end of its taps' gone
finish
