/* SPDX-License-Identifier: Apache-2.0 */
/* How connections end, are refused and are taken apart, and what a TCP socket says of itself then. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
static char buffer[100];

static struct sockaddr_in at(const char *ip, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(ip) };
}

static struct sockaddr_in name(int fd)
{
	struct sockaddr_in a = { 0 };
	socklen_t len = sizeof(a);

	getsockname(fd, (struct sockaddr *)&a, &len);
	return a;
}

static int listener(const char *ip)
{
	struct sockaddr_in a = at(ip, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return bind(fd, ADDRESS(a)) || listen(fd, 3) ? -1 : fd;
}

static void pair(int p[2])
{
	int server = listener("127.0.0.1");
	struct sockaddr_in a = name(server);

	p[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(p[0], ADDRESS(a)))
		CHECK(!"connected");
	p[1] = accept(server, NULL, NULL);
	close(server);
}

static void close_both(const int p[2])
{
	close(p[0]);
	close(p[1]);
}

static int polled(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

/* Until the other side's doing has arrived. */
static int awaited(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 2000) == 1 ? p.revents : 0;
}

static int number(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) ? -1 : value;
}

static int state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -1 : info.tcpi_state;
}

static void await_state(int fd, int wanted)
{
	for (int i = 0; i < 2000 && state(fd) != wanted; i++)
		poll(NULL, 0, 1);
	IS(state(fd), wanted);
}

static void check_refused(void)
{
	int closed = listener("127.0.0.1"), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = name(closed);

	close(closed);
	FAILS(connect(fd, ADDRESS(a)), ECONNREFUSED);
	IS(number(fd, SOL_SOCKET, SO_ERROR), 0);
	IS(polled(fd, POLLIN | POLLOUT), POLLOUT | POLLHUP); /* as one that was never used */
	FAILS(recv(fd, buffer, 1, 0), ENOTCONN);
	FAILS(connect(fd, ADDRESS(a)), ECONNREFUSED);
	close(fd);
	struct sockaddr_in own = at("127.0.0.1", 0);

	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(fd, ADDRESS(own)));
	own = name(fd);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!bind(fd, ADDRESS(own))); /* a port that bind() named stays the socket's */
	FAILS(connect(fd, ADDRESS(a)), ECONNREFUSED);
	CHECK(name(fd).sin_port == own.sin_port);
	close(fd);
}

static void check_addresses(void)
{
	int server = listener("127.0.0.1"), other = listener("127.1.2.3"), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = name(other), from;
	socklen_t len = sizeof(from);

	CHECK(connect(fd, ADDRESS(a)) == 0);
	CHECK(accept(other, (struct sockaddr *)&from, &len) >= 0 && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	a = name(server);
	a.sin_addr.s_addr = inet_addr("127.9.9.9"); /* the listener has another one of this host */
	FAILS(connect(fd, ADDRESS(a)), ECONNREFUSED);
	a = at("224.0.0.1", 80);
	FAILS(connect(fd, ADDRESS(a)), ENETUNREACH);
	a = at("255.255.255.255", 80);
	FAILS(connect(fd, ADDRESS(a)), ENETUNREACH);
	IS(number(fd, IPPROTO_IP, IP_TTL), 64);
	close(fd);
	close(server);
	close(other);
}

static void check_half_closed(void)
{
	int p[2];

	pair(p);
	IS(state(p[0]), TCP_ESTABLISHED);
	CHECK(shutdown(p[0], SHUT_WR) == 0);
	IS(awaited(p[1], POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	await_state(p[0], TCP_FIN_WAIT2);
	IS(state(p[1]), TCP_CLOSE_WAIT);
	FAILS(recv(p[0], buffer, 0, MSG_DONTWAIT), EAGAIN);
	IS(send(p[1], "after", 5, 0), 5);
	IS(awaited(p[0], POLLIN), POLLIN);
	IS(recv(p[0], buffer, 0, 0), 0);
	IS(recv(p[0], buffer, sizeof(buffer), 0), 5);
	CHECK(shutdown(p[1], SHUT_WR) == 0);
	IS(awaited(p[0], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	await_state(p[1], TCP_CLOSE);
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	FAILS(getpeername(p[1], (struct sockaddr *)&a, &len), ENOTCONN);
	FAILS(shutdown(p[1], SHUT_WR), ENOTCONN);
	close_both(p);
}

static void check_deaf(void)
{
	int p[2];

	pair(p);
	CHECK(shutdown(p[1], SHUT_RD) == 0);
	IS(recv(p[1], buffer, 1, 0), 0);
	IS(send(p[0], "x", 1, 0), 1);
	for (int i = 0; i < 2000 && !(ioctl(p[1], FIONREAD, buffer) == 0 && buffer[0] == 1); i++)
		poll(NULL, 0, 1);
	IS(recv(p[1], buffer, sizeof(buffer), 0), 1); /* what comes all the same */
	IS(recv(p[1], buffer, sizeof(buffer), 0), 0);
	close_both(p);
}

static void check_reset(void)
{
	int p[2];

	pair(p);
	close(p[1]);
	IS(awaited(p[0], POLLIN), POLLIN);
	IS(send(p[0], "x", 1, 0), 1); /* answered with a reset, since nobody will read it */
	IS(awaited(p[0], 0), POLLERR | POLLHUP);
	IS(recv(p[0], buffer, 1, 0), 0);
	FAILS(send(p[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	close(p[0]);
	pair(p);
	IS(send(p[0], "unread", 6, 0), 6);
	IS(awaited(p[1], POLLIN), POLLIN);
	close(p[1]);
	IS(awaited(p[0], 0), POLLERR | POLLHUP);
	FAILS(recv(p[0], buffer, 1, 0), ECONNRESET);
	IS(recv(p[0], buffer, 1, 0), 0);
	close(p[0]);
}

static void check_disconnect(void)
{
	int p[2], server;

	pair(p);
	CHECK(connect(p[0], &nobody, sizeof(nobody)) == 0);
	IS(awaited(p[1], POLLIN), POLLIN | POLLERR | POLLHUP);
	FAILS(recv(p[1], buffer, 1, 0), ECONNRESET);
	FAILS(send(p[0], "x", 1, 0), ECONNRESET);
	IS(state(p[0]), TCP_CLOSE);
	server = listener("127.0.0.1");
	struct sockaddr_in a = name(server);

	CHECK(connect(p[0], ADDRESS(a)) == 0);
	IS(send(p[0], "again", 5, 0), 5);
	CHECK(connect(server, &nobody, sizeof(nobody)) == 0); /* listens no more */
	FAILS(accept(server, NULL, NULL), EINVAL);
	close(server);
	close_both(p);
}

static void check_unsent(void)
{
	int p[2], n;

	pair(p);
	CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(ioctl(p[0], TIOCOUTQ, &n) == 0 && n == 0);
	while (send(p[0], buffer, sizeof(buffer), 0) > 0)
		;
	CHECK(ioctl(p[0], TIOCOUTQ, &n) == 0 && n > 0);
	close_both(p);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	check_refused();
	check_addresses();
	check_half_closed();
	check_deaf();
	check_reset();
	check_disconnect();
	check_unsent();
	return check_end();
}
