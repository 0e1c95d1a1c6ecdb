/* SPDX-License-Identifier: Apache-2.0 */
/* Options of sockets: what was set is read back and honoured, or refused; control messages come where they were asked for. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static char buffer[1000];

static struct sockaddr_in local(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int receiver(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(*a);

	*a = local();
	return bind(fd, ADDRESS(*a)) || getsockname(fd, (struct sockaddr *)a, &len) ? -1 : fd;
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int get(int fd, int level, int option)
{
	int value = -1000;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) ? -2000 : value;
}

/* One message, with what came beside it. */
static struct msghdr message, *received;
static char control[512];
static struct sockaddr_in from;

static ssize_t receive(int fd)
{
	static struct iovec part = { buffer, sizeof(buffer) };

	message = (struct msghdr){ .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control) };
	received = &message;
	return recvmsg(fd, &message, 0);
}

static void *beside(int level, int type, size_t size)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(received); c; c = CMSG_NXTHDR(received, c))
		if (c->cmsg_level == level && c->cmsg_type == type && c->cmsg_len == CMSG_LEN(size))
			return CMSG_DATA(c);
	return NULL;
}

static int number_beside(int type)
{
	int number = -1;
	void *at = beside(IPPROTO_IP, type, sizeof(number));

	if (at)
		memcpy(&number, at, sizeof(number));
	return number;
}

static ssize_t send_with(int fd, struct sockaddr_in to, int type, const void *data, size_t size)
{
	char space[128] = { 0 };
	struct iovec part = { "with", 4 };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1, .msg_control = space,
		.msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	return sendmsg(fd, &m, 0);
}

static void check_received_with(void)
{
	struct sockaddr_in a;
	int to = receiver(&a), fd = socket(AF_INET, SOCK_DGRAM, 0), ttl = 33;
	uint8_t tos = 0x28;
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(0x7f000002) }, *got;

	CHECK(sendto(fd, "bare", 4, 0, ADDRESS(a)) == 4 && receive(to) == 4 && received->msg_controllen == 0);
	CHECK(!set(to, IPPROTO_IP, IP_PKTINFO, 1) && !set(to, IPPROTO_IP, IP_RECVTTL, 1) && !set(to, IPPROTO_IP, IP_RECVTOS, 1));
	CHECK(!set(fd, IPPROTO_IP, IP_TTL, 9) && !set(fd, IPPROTO_IP, IP_TOS, 0x10));
	CHECK(sendto(fd, "marked", 6, 0, ADDRESS(a)) == 6 && receive(to) == 6);
	got = beside(IPPROTO_IP, IP_PKTINFO, sizeof(*got));
	CHECK(got && got->ipi_addr.s_addr == htonl(INADDR_LOOPBACK) && got->ipi_spec_dst.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(got && got->ipi_ifindex == (int)if_nametoindex("lo"));
	IS(number_beside(IP_TTL), 9);
	CHECK(beside(IPPROTO_IP, IP_TOS, 1) && *(uint8_t *)beside(IPPROTO_IP, IP_TOS, 1) == 0x10);
	/* for one datagram only */
	CHECK(send_with(fd, a, IP_TTL, &ttl, sizeof(ttl)) == 4 && receive(to) == 4 && number_beside(IP_TTL) == 33);
	CHECK(send_with(fd, a, IP_TOS, &tos, sizeof(tos)) == 4 && receive(to) == 4 && *(uint8_t *)beside(IPPROTO_IP, IP_TOS, 1) == 0x28);
	CHECK(send_with(fd, a, IP_PKTINFO, &info, sizeof(info)) == 4 && receive(to) == 4 && from.sin_addr.s_addr == htonl(0x7f000002));
	CHECK(sendto(fd, "plain", 5, 0, ADDRESS(a)) == 5 && receive(to) == 5 && number_beside(IP_TTL) == 9);
	CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && *(uint8_t *)beside(IPPROTO_IP, IP_TOS, 1) == 0x10);
	ttl = 256;
	FAILS(send_with(fd, a, IP_TTL, &ttl, sizeof(ttl)), EINVAL);
	FAILS(send_with(fd, a, 77, &ttl, sizeof(ttl)), EINVAL);
	close(fd);
	close(to);
}

static void check_stamps(void)
{
	struct sockaddr_in a;
	int to = receiver(&a), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct timeval now, micro = { 0 };
	struct timespec nano = { 0 };

	CHECK(set(to, SOL_SOCKET, SO_TIMESTAMP, 1) == 0 && get(to, SOL_SOCKET, SO_TIMESTAMP) == 1);
	gettimeofday(&now, NULL);
	CHECK(sendto(fd, "when", 4, 0, ADDRESS(a)) == 4 && receive(to) == 4 && beside(SOL_SOCKET, SCM_TIMESTAMP, sizeof(micro)));
	memcpy(&micro, beside(SOL_SOCKET, SCM_TIMESTAMP, sizeof(micro)), sizeof(micro));
	CHECK(micro.tv_sec >= now.tv_sec && micro.tv_sec < now.tv_sec + 60 && micro.tv_usec < 1000000);
	CHECK(set(to, SOL_SOCKET, SO_TIMESTAMPNS, 1) == 0 && get(to, SOL_SOCKET, SO_TIMESTAMPNS) == 1 && get(to, SOL_SOCKET, SO_TIMESTAMP) == 0);
	CHECK(sendto(fd, "when", 4, 0, ADDRESS(a)) == 4 && receive(to) == 4 && beside(SOL_SOCKET, SCM_TIMESTAMPNS, sizeof(nano)));
	memcpy(&nano, beside(SOL_SOCKET, SCM_TIMESTAMPNS, sizeof(nano)), sizeof(nano));
	CHECK(nano.tv_sec >= now.tv_sec && nano.tv_sec < now.tv_sec + 60 && nano.tv_nsec < 1000000000);
	CHECK(set(to, SOL_SOCKET, SO_TIMESTAMPNS, 0) == 0 && sendto(fd, "when", 4, 0, ADDRESS(a)) == 4 && receive(to) == 4 &&
		received->msg_controllen == 0);
	close(fd);
	close(to);
}

static void check_lost(void)
{
	struct sockaddr_in a;
	int to = receiver(&a), fd = socket(AF_INET, SOCK_DGRAM, 0), sent = 0;
	uint32_t lost = 0;

	CHECK(!set(to, SOL_SOCKET, SO_RXQ_OVFL, 1) && get(to, SOL_SOCKET, SO_RXQ_OVFL) == 1 && !set(to, SOL_SOCKET, SO_RCVBUF, 4096));
	for (; sent < 100; sent++)
		sendto(fd, buffer, sizeof(buffer), 0, ADDRESS(a));
	while (recv(to, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		sent--;
	CHECK(sent > 0 && sendto(fd, "x", 1, 0, ADDRESS(a)) == 1 && receive(to) == 1 && beside(SOL_SOCKET, SO_RXQ_OVFL, 4));
	memcpy(&lost, beside(SOL_SOCKET, SO_RXQ_OVFL, 4), 4);
	CHECK(lost == (uint32_t)sent);
	close(fd);
	close(to);
}

#define KEPT(fd, level, option, value) CHECK(set(fd, level, option, value) == 0 && get(fd, level, option) == (value))

static void check_read_back(void)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

	KEPT(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
	KEPT(tcp, SOL_SOCKET, SO_REUSEPORT, 1);
	KEPT(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
	socklen_t name = IFNAMSIZ; /* sshd asks: bound to no device */
	CHECK(!getsockopt(tcp, SOL_SOCKET, SO_BINDTODEVICE, buffer, &name) && !name);
	KEPT(tcp, SOL_SOCKET, SO_OOBINLINE, 1);
	KEPT(udp, SOL_SOCKET, SO_BROADCAST, 1);
	KEPT(udp, SOL_SOCKET, SO_DONTROUTE, 1);
	KEPT(udp, SOL_SOCKET, SO_NO_CHECK, 1);
	KEPT(udp, SOL_SOCKET, SO_PRIORITY, 3);
	KEPT(tcp, SOL_SOCKET, SO_RCVLOWAT, 7);
	FAILS(set(tcp, SOL_SOCKET, SO_SNDLOWAT, 7), ENOPROTOOPT);
	KEPT(udp, IPPROTO_IP, IP_TTL, 77);
	KEPT(tcp, IPPROTO_IP, IP_TOS, 0x10);
	KEPT(udp, IPPROTO_IP, IP_MULTICAST_TTL, 5);
	KEPT(udp, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	KEPT(udp, IPPROTO_IP, IP_RECVERR, 1);
	KEPT(udp, IPPROTO_IP, IP_PKTINFO, 1);
	KEPT(udp, IPPROTO_IP, IP_FREEBIND, 1);
	FAILS(set(udp, IPPROTO_IP, IP_TTL, 0), EINVAL);
	FAILS(set(udp, IPPROTO_IP, IP_TTL, 256), EINVAL);
	FAILS(set(udp, IPPROTO_IP, IP_MTU_DISCOVER, 99), EINVAL);
	CHECK(set(udp, IPPROTO_IP, IP_TTL, -1) == 0 && get(udp, IPPROTO_IP, IP_TTL) == 64);
	KEPT(tcp, IPPROTO_TCP, TCP_NODELAY, 1);
	KEPT(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 33);
	KEPT(tcp, IPPROTO_TCP, TCP_KEEPINTVL, 7);
	KEPT(tcp, IPPROTO_TCP, TCP_KEEPCNT, 5);
	KEPT(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, 9000);
	KEPT(tcp, IPPROTO_TCP, TCP_SYNCNT, 3);
	KEPT(tcp, IPPROTO_TCP, TCP_MAXSEG, 1000);
	KEPT(tcp, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
	FAILS(set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
	IS(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	FAILS(set(tcp, IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
	FAILS(set(tcp, IPPROTO_TCP, TCP_SYNCNT, 0), EINVAL);
	FAILS(set(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), EINVAL);
	FAILS(set(tcp, IPPROTO_TCP, TCP_MAXSEG, 10), EINVAL);
	FAILS(setsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7), ENOENT);
	IS(setsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	close(tcp);
	close(udp);
}

static void tcp_pair(int pair[2])
{
	struct sockaddr_in a = local();
	socklen_t len = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(server, ADDRESS(a)) && !getsockname(server, (struct sockaddr *)&a, &len) && !listen(server, 1));
	CHECK(!connect(pair[0], ADDRESS(a)) && (pair[1] = accept(server, NULL, NULL)) >= 0);
	close(server);
}

/* What an accepted connection has from who listens, and what it waits for then. */
static void check_inherited(void)
{
	struct sockaddr_in a = local();
	socklen_t len = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), accepted = -1;
	struct timeval soon = { 0, 20000 }, late = { 4, 0 }, has[2] = { 0 };
	socklen_t size = sizeof(has[0]);

	IS(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
	IS(setsockopt(server, SOL_SOCKET, SO_SNDTIMEO, &late, sizeof(late)), 0);
	IS(set(server, SOL_SOCKET, SO_RCVBUF, 20000), 0);
	IS(set(server, SOL_SOCKET, SO_SNDBUF, 30000), 0);
	IS(set(server, SOL_SOCKET, SO_BROADCAST, 1), 0);
	IS(set(server, SOL_SOCKET, SO_PRIORITY, 5), 0);
	IS(set(server, IPPROTO_IP, IP_FREEBIND, 1), 0);
	IS(set(server, IPPROTO_IP, IP_TTL, 77), 0);
	IS(set(server, IPPROTO_TCP, TCP_USER_TIMEOUT, 7000), 0);
	CHECK(!bind(server, ADDRESS(a)) && !getsockname(server, (struct sockaddr *)&a, &len) && !listen(server, 1));
	CHECK(!connect(client, ADDRESS(a)) && (accepted = accept(server, NULL, NULL)) >= 0);
	CHECK(!getsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &has[0], &size) && !getsockopt(accepted, SOL_SOCKET, SO_SNDTIMEO, &has[1], &size));
	CHECK(has[0].tv_sec == 0 && has[0].tv_usec >= 20000 && has[0].tv_usec < 40000 && has[1].tv_sec == 4);
	IS(get(accepted, SOL_SOCKET, SO_RCVBUF), 40000);
	IS(get(accepted, SOL_SOCKET, SO_SNDBUF), 60000);
	IS(get(accepted, SOL_SOCKET, SO_BROADCAST), 1);
	IS(get(accepted, SOL_SOCKET, SO_PRIORITY), 0);
	IS(get(accepted, IPPROTO_IP, IP_FREEBIND), 1);
	IS(get(accepted, IPPROTO_IP, IP_TTL), 77);
	IS(get(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 7000);
	FAILS(recv(accepted, buffer, 1, 0), EAGAIN);
	close(accepted);
	close(client);
	close(server);
}

/* Nothing to read before that many bytes are there. */
static void check_low_water(void)
{
	int pair[2] = { -1, -1 };
	struct pollfd p = { .events = POLLIN };
	struct timeval soon = { 0, 20000 };

	tcp_pair(pair);
	p.fd = pair[1];
	IS(set(pair[1], SOL_SOCKET, SO_RCVLOWAT, 10), 0);
	IS(send(pair[0], "12345", 5, 0), 5);
	IS(poll(&p, 1, 0), 0);
	IS(recv(pair[1], buffer, 100, MSG_DONTWAIT), 5);
	IS(send(pair[0], "12345", 5, 0), 5);
	IS(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
	int64_t start = now_ms();
	IS(recv(pair[1], buffer, 100, 0), 5); /* what there is, when the time is over */
	CHECK(now_ms() - start >= 18);
	CHECK(send(pair[0], "1234567890", 10, 0) == 10 && poll(&p, 1, 0) == 1 && recv(pair[1], buffer, 100, 0) == 10);
	close(pair[0]);
	IS(poll(&p, 1, 0), 1);
	close(pair[1]);
}

/* Who does not answer is given up in the time that was said. */
static void check_user_timeout(void)
{
	struct sockaddr_in a = local();
	socklen_t len = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0), fd[4];
	struct pollfd p = { .events = POLLOUT };

	CHECK(!bind(server, ADDRESS(a)) && !getsockname(server, (struct sockaddr *)&a, &len) && !listen(server, 0));
	for (int i = 0; i < 3; i++) { /* fills the backlog; further attempts are not answered */
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fd[i], ADDRESS(a));
	}
	p.fd = fd[3] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	IS(set(fd[3], IPPROTO_TCP, TCP_USER_TIMEOUT, 1500), 0);
	FAILS(connect(fd[3], ADDRESS(a)), EINPROGRESS);
	int64_t start = now_ms();
	IS(poll(&p, 1, 15000), 1);
	CHECK(now_ms() - start >= 1000);
	IS(get(fd[3], SOL_SOCKET, SO_ERROR), ETIMEDOUT);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	close(server);
}

/* A connection is offered when it has brought data, or without any when the time is over. */
static void check_defer_accept(void)
{
	struct sockaddr_in a = local();
	socklen_t len = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), talks = socket(AF_INET, SOCK_STREAM, 0),
		silent = socket(AF_INET, SOCK_STREAM, 0), conn = -1;
	struct pollfd p = { .fd = server, .events = POLLIN };

	CHECK(!set(server, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1) && get(server, IPPROTO_TCP, TCP_DEFER_ACCEPT) == 1);
	CHECK(!bind(server, ADDRESS(a)) && !getsockname(server, (struct sockaddr *)&a, &len) && !listen(server, 5));
	IS(connect(talks, ADDRESS(a)), 0);
	IS(poll(&p, 1, 0), 0);
	FAILS(accept(server, NULL, NULL), EAGAIN);
	IS(send(talks, "first", 5, 0), 5);
	CHECK(poll(&p, 1, 0) == 1 && (conn = accept(server, NULL, NULL)) >= 0 && recv(conn, buffer, 9, MSG_DONTWAIT) == 5);
	close(conn);
	close(talks);
	int64_t start = now_ms();
	IS(connect(silent, ADDRESS(a)), 0);
	CHECK(poll(&p, 1, 10000) == 1 && now_ms() - start >= 500 && (conn = accept(server, NULL, NULL)) >= 0);
	close(conn);
	close(silent);
	silent = socket(AF_INET, SOCK_STREAM, 0);
	IS(connect(silent, ADDRESS(a)), 0);
	close(server);
	CHECK(recv(silent, buffer, 9, MSG_DONTWAIT) <= 0);
	close(silent);
}

/* unbound and other name servers keep their datagrams below the least MTU of IPv6 and do not start where they cannot. */
static void check_mtu6(void)
{
	static char datagram[5000];
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(to);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	CHECK(bind(fd, (struct sockaddr *)&to, len) == 0 && getsockname(fd, (struct sockaddr *)&to, &len) == 0);
	FAILS(set(fd, IPPROTO_IPV6, IPV6_MTU, 1279), EINVAL);
	IS(set(fd, IPPROTO_IPV6, IPV6_MTU, 1280), 0);
	IS(sendto(fd, datagram, 5000, 0, (struct sockaddr *)&to, len), 5000); /* in fragments */
	IS(recv(fd, datagram, 5000, MSG_DONTWAIT), 5000);
	IS(set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO), 0);
	IS(sendto(fd, datagram, 1232, 0, (struct sockaddr *)&to, len), 1232);
	FAILS(sendto(fd, datagram, 1233, 0, (struct sockaddr *)&to, len), EMSGSIZE);
	IS(set(fd, IPPROTO_IPV6, IPV6_MTU, 0), 0);
	IS(sendto(fd, datagram, 1233, 0, (struct sockaddr *)&to, len), 1233);
	close(fd);
}

int main(void)
{
	check_defer_accept();
	check_received_with();
	check_stamps();
	check_lost();
	check_read_back();
	check_mtu6();
	check_inherited();
	check_low_water();
	check_user_timeout();
	return check_end();
}
