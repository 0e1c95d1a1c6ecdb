#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# IPv6 on the network: addresses by router advertisement and given ones, tap and bridge, from the VM and to it; in a network namespace.
# timeout: 120
if [ -z "${LV_IN_NETNS:-}" ]; then
	[ -c /dev/net/tun ] || { echo 'skip IPv6 - /dev/net/tun is missing'; exit 0; }
	export LV_IN_NETNS=1
	if [ "$(id -u)" = 0 ]; then exec unshare -n "$0"; else exec unshare -rn "$0"; fi
fi
. "$(dirname "$0")/lib.sh"
busybox=$(command -v busybox)
ip link set lo up
ip link add lvbr6 type bridge 2>/dev/null && ip addr add fd00:8::1/64 dev lvbr6 nodad 2>/dev/null || { echo 'skip IPv6 - this kernel has none'; exit 0; }
ip link set lvbr6 up
ip tuntap add lvtap6 mode tap
ip addr add fd00:9::1/64 dev lvtap6 nodad
ip link set lvtap6 up

# With no argument: says hello to whom connects. With an address: connects there until it is answered, says from where, and ends.
cat >"$work/six.c" <<'C'
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
static int serve(struct sockaddr_in6 *any)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one;
	if (bind(fd, (struct sockaddr *)any, sizeof(*any)) || listen(fd, 8) || puts("up") < 0 || fflush(stdout))
		return 1;
	while ((one = accept(fd, NULL, NULL)) >= 0) {
		write(one, "hello\n", 6);
		close(one);
	}
	return 2;
}
int main(int argc, char **argv)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(8006)}, own;
	struct timeval patience = {.tv_sec = 1};
	char text[64];
	socklen_t len = sizeof(own);
	if (argc == 1)
		return serve(&a);
	inet_pton(AF_INET6, argv[1], &a.sin6_addr);
	for (int tries = 0; tries < 60; tries++) {
		int fd = socket(AF_INET6, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a))) {
			ssize_t n = read(fd, text, sizeof(text));
			printf("%.*s", (int)(n > 0 ? n : 0), text);
			getsockname(fd, (struct sockaddr *)&own, &len);
			printf("to %s\n", inet_ntop(AF_INET6, &own.sin6_addr, text, sizeof(text)));
			return 0;
		}
		if (tries == 0)
			printf("first: %s\n", strerror(errno));
		close(fd);
		usleep(100000); /* until there is an address */
	}
	return 3;
}
C
gcc -static -o "$work/six" "$work/six.c"
start "$work/six" >"$work/host" 2>&1
await 10 "the host's server" grep -q up "$work/host"

# serves NAME: the VM of that name says that it listens.
serves() { "$lightvm" logs "$1" 2>/dev/null | grep -q up; }
answers() { "$busybox" ping -6 -c 1 -W 1 "$1" >/dev/null; }
hello() { within 10 "$work/six" "$1" | grep -qx hello; }

# By router advertisement, on a tap.
"$lightvm" run -d --name by-router --net tap:lvtap6 --mac 02:00:00:00:06:01 "$work/six" >"$work/out" 2>&1 || cat "$work/out"
await 30 'the server in the VM' serves by-router
check 'the link-local address answers' await 10 'an answer to ping' answers fe80::ff:fe00:601%lvtap6
start python3 "$top/tests/data/router_advert.py" lvtap6 fd00:9:: >"$work/router" 2>&1
check 'an address by router advertisement answers' await 20 'an answer to ping' answers fd00:9::ff:fe00:601
check 'ICMPv6 echo, in fragments' "$busybox" ping -6 -c 1 -W 2 -s 4000 fd00:9::ff:fe00:601
check 'a connection to the VM' hello fd00:9::ff:fe00:601
"$lightvm" rm -f by-router >/dev/null
out=$(within 30 "$lightvm" run --rm --net tap:lvtap6 --mac 02:00:00:00:06:02 "$work/six" fd00:9::1 2>"$work/err")
if [ "$out" = $'first: Network is unreachable\nhello\nto fd00:9::ff:fe00:602' ] || [ "$out" = $'hello\nto fd00:9::ff:fe00:602' ]; then
	ok 'a connection from the VM'
else
	cat "$work/err"
	not_ok 'a connection from the VM' "$out"
fi

# Given by hand, beside an address of IPv4: on a bridge, with the host and with each other, and beyond a gateway.
ip addr add fd00:77::1/128 dev lo
"$lightvm" run -d --name given --net bridge:lvbr6 --ip 10.6.0.2/24 --ip6 fd00:8::2 "$work/six" >"$work/out" 2>&1 || cat "$work/out"
await 30 'the server in the VM' serves given
check 'a given address answers' await 10 'an answer to ping' answers fd00:8::2
check 'a connection to the given address' hello fd00:8::2
# from WANT ADDRESS [OPTION...]: what a VM that connects to the address says.
from() {
	local want=$1 to=$2 out
	shift 2
	out=$(within 30 "$lightvm" run --rm --net bridge:lvbr6 --ip 10.6.0.3/24 "$@" "$work/six" "$to" 2>"$work/err")
	[ "$out" = "$want" ] || { cat "$work/err"; echo "$out"; return 1; }
}
check 'from VM to VM' from $'hello\nto fd00:8::3' fd00:8::2 --ip6 fd00:8::3/64
check 'from the VM beyond a gateway' from $'hello\nto fd00:8::3' fd00:77::1 --ip6 fd00:8::3 --gateway6 fd00:8::1
"$lightvm" rm -f given >/dev/null
finish
