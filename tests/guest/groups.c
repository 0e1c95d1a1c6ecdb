/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast on the loopback: who hears what, by which options. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "check.h"

static struct in_addr loopback;

static struct sockaddr_in at(const char *address, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

static int listener(int port)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in any = at("0.0.0.0", port);

	CHECK(!setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) && !bind(s, (struct sockaddr *)&any, sizeof(any)));
	return s;
}

static int membership(int s, int option, const char *group, in_addr_t address, int interface)
{
	struct ip_mreqn request = { .imr_address.s_addr = address, .imr_ifindex = interface };

	inet_pton(AF_INET, group, &request.imr_multiaddr);
	return setsockopt(s, IPPROTO_IP, option, &request, sizeof(request));
}

static int heard(int s)
{
	char text[16];
	int count = 0;

	while (recv(s, text, sizeof(text), 0) > 0)
		count++;
	return count;
}

int main(void)
{
	int a = listener(5353), b = listener(5353), other = listener(5353), sender = socket(AF_INET, SOCK_DGRAM, 0), zero = 0, one = 1;
	struct sockaddr_in group = at("239.1.2.3", 5353), second = at("239.1.2.4", 5353);
	struct group_req request = { .gr_interface = 1 };
	struct in_addr via;
	socklen_t n = sizeof(via);

	loopback.s_addr = htonl(INADDR_LOOPBACK);
	IS(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof(loopback)), 0);
	IS(getsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &via, &n), 0);
	CHECK(via.s_addr == loopback.s_addr);
	IS(membership(a, IP_ADD_MEMBERSHIP, "239.1.2.3", loopback.s_addr, 0), 0);
	IS(membership(b, IP_ADD_MEMBERSHIP, "239.1.2.3", 0, 1), 0);
	FAILS(membership(b, IP_ADD_MEMBERSHIP, "239.1.2.3", 0, 1), EADDRINUSE);
	IS(setsockopt(other, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof(zero)), 0);
	IS(sendto(sender, "x", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	IS(heard(a), 1);
	IS(heard(b), 1);
	IS(heard(other), 0);
	IS(setsockopt(other, IPPROTO_IP, IP_MULTICAST_ALL, &one, sizeof(one)), 0);
	IS(sendto(sender, "x", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	IS(heard(a) + heard(b) + heard(other), 3);
	IS(sendto(sender, "x", 1, 0, (struct sockaddr *)&second, sizeof(second)), 1);
	IS(heard(a) + heard(b) + heard(other), 0);
	memcpy(&request.gr_group, &second, sizeof(second));
	IS(setsockopt(a, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request)), 0);
	IS(sendto(sender, "x", 1, 0, (struct sockaddr *)&second, sizeof(second)), 1);
	IS(heard(a), 1);
	heard(b), heard(other);
	IS(setsockopt(a, IPPROTO_IP, MCAST_LEAVE_GROUP, &request, sizeof(request)), 0);
	IS(membership(a, IP_DROP_MEMBERSHIP, "239.1.2.3", loopback.s_addr, 0), 0);
	FAILS(membership(a, IP_DROP_MEMBERSHIP, "239.1.2.3", loopback.s_addr, 0), EADDRNOTAVAIL);
	close(b); /* leaves with it */
	IS(sendto(sender, "x", 1, 0, (struct sockaddr *)&group, sizeof(group)), 1);
	IS(heard(a) + heard(other), 0);
	FAILS(membership(a, IP_ADD_MEMBERSHIP, "10.0.0.1", loopback.s_addr, 0), EINVAL);
	FAILS(membership(a, IP_ADD_MEMBERSHIP, "239.1.2.3", htonl(0x01020304), 0), ENODEV);
	FAILS(membership(a, IP_ADD_MEMBERSHIP, "239.1.2.3", 0, 99), ENODEV);
	FAILS(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &zero, sizeof(zero)), EINVAL);
	FAILS(setsockopt(a, IPPROTO_IP, IP_MULTICAST_ALL, &(int){ 2 }, sizeof(int)), EINVAL);
	FAILS(setsockopt(a, IPPROTO_IP, IP_MULTICAST_IF, &(int){ 0x01020304 }, sizeof(int)), EADDRNOTAVAIL);
	IS(setsockopt(a, IPPROTO_IP, IP_MULTICAST_LOOP, &zero, 1), 0);
	n = sizeof(zero);
	zero = 5;
	IS(getsockopt(a, IPPROTO_IP, IP_MULTICAST_LOOP, &zero, &n), 0);
	IS(zero, 0);
	return check_end();
}
