/* SPDX-License-Identifier: Apache-2.0 */
/* Edges of sockets: who refuses what with which word, connections that end and begin again, and IPv6 beside IPv4. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static char buffer[70000];
static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

static struct sockaddr_in local4(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static struct sockaddr_in6 local6(void)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
}

static int get(int fd, int level, int option)
{
	int value = -1000;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) ? -1 : value;
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static int port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &len) ? -1 : ntohs(a.sin6_port);
}

/* What happened within five seconds. */
static int awaited(int fd, int events)
{
	struct pollfd one = { .fd = fd, .events = (short)events };

	return poll(&one, 1, 5000) == 1 ? one.revents : 0;
}

static int now(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	poll(&one, 1, 0);
	return one.revents;
}

/* ---- TCP ---- */

static void again_after_unspec(void)
{
	struct sockaddr_in a = local4();
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server = -1;

	CHECK(!bind(listener, ADDRESS(a)) && !listen(listener, 4) && !getsockname(listener, (struct sockaddr *)&a, &len));
	CHECK(!connect(client, ADDRESS(a)) && (server = accept(listener, NULL, NULL)) >= 0);
	IS(connect(client, &nobody, sizeof(nobody)), 0);
	FAILS(getpeername(client, (struct sockaddr *)&a, &len), ENOTCONN);
	CHECK(awaited(server, POLLIN) & POLLERR);
	IS(connect(client, ADDRESS(a)), 0);
	FAILS(recv(client, buffer, 1, MSG_DONTWAIT), EAGAIN);
	close(client);
	client = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(bind(client, (struct sockaddr *)&a, 15), EINVAL);
	a = (struct sockaddr_in){ .sin_family = AF_UNSPEC };
	IS(bind(client, ADDRESS(a)), 0); /* old programs say no family */
	a = local4();
	a.sin_family = AF_UNSPEC;
	FAILS(bind(client, ADDRESS(a)), EAFNOSUPPORT);
	close(client);
	close(server);
	close(listener);
	FAILS(socket(AF_INET, SOCK_STREAM, 999), EINVAL);
	FAILS(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
}

static void refused_at_once(void)
{
	struct sockaddr_in6 a = local6();
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK(!bind(fd, ADDRESS(a)) && !getsockname(fd, (struct sockaddr *)&a, &len));
	FAILS(connect(client, ADDRESS(a)), ECONNREFUSED);
	close(fd);
	close(client);
}

static void mtu_of_the_way(int family, struct sockaddr *to, socklen_t len, int level, int option, int mtu)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	FAILS(get(fd, level, option), ENOTCONN);
	CHECK(!connect(fd, to, len));
	IS(get(fd, level, option), mtu);
	close(fd);
}

/* A small SO_SNDBUF is a bound; TCP_INFO is of the connection. */
static void buffers_and_info(void)
{
	struct sockaddr_in a = local4();
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server = -1;
	struct tcp_info info = { 0 };
	ssize_t n, sent = 0;

	IS(get(client, SOL_SOCKET, SO_SNDBUF), 16384);
	CHECK(!bind(listener, ADDRESS(a)) && !listen(listener, 4) && !getsockname(listener, (struct sockaddr *)&a, &len));
	IS(set(client, SOL_SOCKET, SO_SNDBUF, 20000), 0);
	IS(set(listener, SOL_SOCKET, SO_RCVBUF, 20000), 0);
	CHECK(!connect(client, ADDRESS(a)) && (server = accept(listener, NULL, NULL)) >= 0);
	IS(get(client, SOL_SOCKET, SO_SNDBUF), 40000);
	IS(send(client, "ping", 4, 0), 4);
	IS(recv(server, buffer, 4, 0), 4);
	IS(send(server, "pong", 4, 0), 4);
	IS(recv(client, buffer, 4, MSG_WAITALL), 4);
	len = sizeof(info);
	CHECK(!getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &len) && len >= 104);
	CHECK(info.tcpi_state == TCP_ESTABLISHED && info.tcpi_rtt > 0 && info.tcpi_rtt < 10000000 && info.tcpi_snd_mss > 500 && info.tcpi_snd_cwnd > 0);
	CHECK(info.tcpi_rto >= 100000 && info.tcpi_unacked == 0 && info.tcpi_last_data_recv < 60000);
	len = 1;
	info.tcpi_state = 0;
	CHECK(!getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &len) && len == 1 && info.tcpi_state == TCP_ESTABLISHED);
	/* Nobody reads: what is taken ends with the buffers, and goes on when somebody does. */
	while ((n = send(client, buffer, 10000, MSG_DONTWAIT)) > 0)
		sent += n;
	CHECK(errno == EAGAIN && sent > 10000 && sent < 1000000);
	IS(now(client) & POLLOUT, 0);
	CHECK(!getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, (len = sizeof(info), &len)));
	while (sent > 0 && (n = recv(server, buffer, sizeof(buffer), 0)) > 0)
		sent -= n;
	IS(sent, 0);
	IS(set(server, SOL_SOCKET, SO_SNDBUF, 4 << 20), 0);
	IS(now(server) & POLLOUT, POLLOUT);
	CHECK(awaited(client, POLLOUT) == POLLOUT);
	close(client);
	close(server);
	close(listener);
}

/* ---- datagrams ---- */

static void unreachable(int family, struct sockaddr *to, socklen_t len)
{
	int fd = socket(family, SOCK_DGRAM, 0), held = socket(family, SOCK_DGRAM, 0);

	CHECK(!bind(held, to, len) && !getsockname(held, to, &len));
	close(held);
	CHECK(!connect(fd, to, len));
	IS(send(fd, "x", 1, 0), 1);
	CHECK(awaited(fd, POLLIN) & POLLERR);
	FAILS(recv(fd, buffer, 1, 0), ECONNREFUSED);
	IS(send(fd, "x", 1, 0), 1);
	FAILS(send(fd, "x", 1, 0), ECONNREFUSED);
	IS(get(fd, SOL_SOCKET, SO_ERROR), 0);
	IS(connect(fd, &nobody, sizeof(nobody)), 0);
	IS(port_of(fd), 0); /* which it had of itself */
	FAILS(sendto(fd, "x", 1, 0, to, 0), EINVAL);
	FAILS(send(fd, "x", 1, 0), EDESTADDRREQ);
	close(fd);
}

/* What MSG_ERRQUEUE tells of a datagram that nobody took; how much of it comes back is the answerer's choice. */
static void error_queue(int family, struct sockaddr *to, socklen_t len, int level, int option, int origin)
{
	union { char bytes[256]; struct cmsghdr one; } control;
	struct sockaddr_in6 name;
	struct iovec part = { buffer, 100 };
	struct msghdr m = { .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct sock_extended_err *told = (void *)CMSG_DATA(&control.one);
	int fd = socket(family, SOCK_DGRAM, 0), held = socket(family, SOCK_DGRAM, 0);

	((struct sockaddr_in *)to)->sin_port = 0;
	CHECK(!bind(held, to, len) && !getsockname(held, to, &len));
	close(held);
	FAILS(recvmsg(fd, &m, MSG_ERRQUEUE), EAGAIN);
	IS(set(fd, level, option, 1), 0);
	IS(sendto(fd, "lost", 4, 0, to, len), 4);
	CHECK(awaited(fd, 0) & POLLERR);
	CHECK(recvmsg(fd, &m, MSG_ERRQUEUE) >= 0 && m.msg_flags & MSG_ERRQUEUE);
	CHECK(m.msg_namelen == len && ((struct sockaddr_in *)&name)->sin_port == ((struct sockaddr_in *)to)->sin_port);
	CHECK(control.one.cmsg_level == level && control.one.cmsg_type == option);
	IS(control.one.cmsg_len, CMSG_LEN(sizeof(*told) + len));
	CHECK(told->ee_errno == ECONNREFUSED && told->ee_origin == origin && told->ee_code == (family == AF_INET ? 3 : 4));
	IS(SO_EE_OFFENDER(told)->sa_family, family);
	IS(get(fd, SOL_SOCKET, SO_ERROR), 0);
	IS(now(fd) & POLLERR, 0);
	FAILS(recvmsg(fd, &m, MSG_ERRQUEUE), EAGAIN);
	close(fd);
}

static void datagrams(void)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 }, from;
	struct sockaddr_in a4 = local4();
	socklen_t len = sizeof(from);
	struct iovec part = { buffer, sizeof(buffer) };
	struct mmsghdr many[2] = { { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } } };
	struct timespec patience = { .tv_sec = 5 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), other = socket(AF_INET6, SOCK_DGRAM, 0);

	CHECK(!bind(fd, ADDRESS(a6)));
	a4.sin_port = htons((uint16_t)port_of(fd));
	IS(sendto(other, "four", 4, 0, ADDRESS(a4)), 4); /* IPv4's own address, on a socket of IPv6 */
	IS(recvfrom(fd, buffer, sizeof(buffer), MSG_OOB, (struct sockaddr *)&from, &len), 4);
	CHECK(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
	a6 = local6();
	a6.sin6_port = a4.sin_port;
	close(other);
	other = socket(AF_INET6, SOCK_DGRAM, 0);
	memset(buffer, 'v', 60000);
	IS(sendto(other, buffer, 60000, 0, ADDRESS(a6)), 60000); /* larger than one packet */
	memset(buffer, 0, 60000);
	IS(recv(fd, buffer, sizeof(buffer), 0), 60000);
	CHECK(buffer[0] == 'v' && buffer[59999] == 'v');
	IS(sendto(other, "a", 1, 0, ADDRESS(a6)), 1);
	IS(sendto(other, "b", 1, 0, ADDRESS(a6)), 1);
	IS(recvmmsg(fd, many, 2, 0, &patience), 2);
	CHECK(patience.tv_sec < 5); /* what is left of it */
	many[0].msg_hdr.msg_name = &from;
	many[0].msg_hdr.msg_namelen = (socklen_t)-1;
	FAILS(recvmsg(fd, &many[0].msg_hdr, MSG_DONTWAIT), EINVAL);
	IS(set(fd, SOL_SOCKET, SO_RCVBUF, -1), 0);
	CHECK(get(fd, SOL_SOCKET, SO_RCVBUF) > 100000); /* as much as may be */
	close(fd);
	close(other);
}

/* ---- IPv6 alone ---- */

static void only_v6(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 }, mapped = any, link = any;
	int fd = socket(AF_INET6, SOCK_STREAM, 0), bound = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK(!bind(bound, ADDRESS(any)));
	FAILS(set(bound, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL); /* too late */
	IS(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	mapped.sin6_port = htons((uint16_t)port_of(bound));
	FAILS(connect(fd, ADDRESS(mapped)), ENETUNREACH);
	mapped.sin6_port = 0;
	FAILS(bind(fd, ADDRESS(mapped)), EINVAL);
	inet_pton(AF_INET6, "fe80::1", &link.sin6_addr);
	link.sin6_port = htons(9);
	FAILS(connect(fd, ADDRESS(link)), EINVAL); /* of which link? */
	FAILS(bind(fd, ADDRESS(link)), EINVAL);
	close(fd);
	close(bound);
}

/* ---- Unix ---- */

static void unix_ends(int type)
{
	struct sockaddr_un name = { AF_UNIX, "\0name" };
	int pair[2], n = 0, fd = socket(AF_UNIX, type, 0);

	IS(shutdown(fd, SHUT_RDWR), 0); /* of one that is not connected, too */
	CHECK((now(fd) & (POLLIN | POLLRDHUP | POLLHUP)) == (POLLIN | POLLRDHUP | POLLHUP));
	close(fd);
	fd = socket(AF_UNIX, type, 0);
	IS(bind(fd, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path)), 0);
	IS(bind(fd, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path)), 0);
	close(fd);
	CHECK(!socketpair(AF_UNIX, type, 0, pair));
	IS(send(pair[0], "12345", 5, 0), 5);
	IS(send(pair[0], "6", 1, 0), 1);
	CHECK(!ioctl(pair[1], FIONREAD, &n));
	IS(n, type == SOCK_DGRAM ? 5 : 6);
	close(pair[1]); /* with what nobody has read */
	if (type == SOCK_DGRAM)
		FAILS(send(pair[0], "x", 1, MSG_NOSIGNAL), ECONNREFUSED);
	else
		FAILS(recv(pair[0], buffer, 1, MSG_DONTWAIT), ECONNRESET);
	close(pair[0]);
}

static void unix_names(void)
{
	struct sockaddr_un name = { AF_UNIX, "\0both" };
	const socklen_t len = offsetof(struct sockaddr_un, sun_path) + 5;
	int stream = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	/* Abstract names are a type's own. */
	IS(bind(stream, (struct sockaddr *)&name, len), 0);
	FAILS(connect(other, (struct sockaddr *)&name, len), ECONNREFUSED);
	IS(bind(datagram, (struct sockaddr *)&name, len), 0);
	close(stream);
	close(other);
	/* Who is connected hears its peer only; who loses it is not connected to the next of that name. */
	struct sockaddr_un own = { AF_UNIX, "\0mine" };
	int client = socket(AF_UNIX, SOCK_DGRAM, 0), stranger = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(!bind(client, (struct sockaddr *)&own, len));
	IS(connect(client, (struct sockaddr *)&name, len), 0);
	FAILS(sendto(stranger, "x", 1, 0, (struct sockaddr *)&own, len), EPERM);
	FAILS(connect(stranger, (struct sockaddr *)&own, len), EPERM);
	IS(sendto(datagram, "y", 1, 0, (struct sockaddr *)&own, len), 1);
	IS(recv(client, buffer, 1, 0), 1);
	close(datagram);
	FAILS(send(client, "x", 1, 0), ECONNREFUSED);
	FAILS(send(client, "x", 1, 0), ENOTCONN);
	close(client);
	close(stranger);
}

static void unix_messages(void)
{
	union { char bytes[64]; struct cmsghdr one; } control;
	struct iovec part = { buffer, 10 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(4) };
	struct sockaddr_un name = { AF_UNIX, "\0name" };
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !set(pair[1], SOL_SOCKET, SO_PASSCRED, 1));
	FAILS(sendto(pair[0], "x", 1, 0, ADDRESS(name)), EISCONN);
	IS(send(pair[0], "x", 1, 0), 1);
	IS(recvmsg(pair[1], &m, 0), 1);
	CHECK(m.msg_flags & MSG_CTRUNC);
	IS(m.msg_controllen, CMSG_LEN(4)); /* as much of the credentials as fits */
	CHECK(control.one.cmsg_type == SCM_CREDENTIALS && control.one.cmsg_len == CMSG_LEN(4));
	close(pair[0]);
	close(pair[1]);
}

/* ---- interfaces ---- */

static void interfaces(void)
{
	struct ifaddrs *list, *one;
	bool inet = false, early6 = false, local = false;

	CHECK(!getifaddrs(&list));
	for (one = list; one; one = one->ifa_next) {
		int family = one->ifa_addr ? one->ifa_addr->sa_family : 0;
		early6 |= family == AF_INET6 && !inet; /* IPv4 comes first */
		inet |= family == AF_INET;
		if (family == AF_INET6 && !strcmp(one->ifa_name, "lo"))
			local = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr) && one->ifa_flags & 0x10000; /* IFF_LOWER_UP */
	}
	CHECK(local && inet && !early6);
	freeifaddrs(list);
}

int main(void)
{
	struct sockaddr_in a4 = local4();
	struct sockaddr_in6 a6 = local6();

	alarm(60);
	again_after_unspec();
	buffers_and_info();
	refused_at_once();
	unreachable(AF_INET, ADDRESS(a4));
	unreachable(AF_INET6, ADDRESS(a6));
	mtu_of_the_way(AF_INET, ADDRESS(a4), IPPROTO_IP, IP_MTU, 65535);
	mtu_of_the_way(AF_INET6, ADDRESS(a6), IPPROTO_IPV6, IPV6_MTU, 65536);
	error_queue(AF_INET, ADDRESS(a4), IPPROTO_IP, IP_RECVERR, SO_EE_ORIGIN_ICMP);
	error_queue(AF_INET6, ADDRESS(a6), IPPROTO_IPV6, IPV6_RECVERR, SO_EE_ORIGIN_ICMP6);
	datagrams();
	only_v6();
	unix_ends(SOCK_STREAM);
	unix_ends(SOCK_SEQPACKET);
	unix_ends(SOCK_DGRAM);
	unix_names();
	unix_messages();
	interfaces();
	return check_end();
}
