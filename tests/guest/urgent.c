/* SPDX-License-Identifier: Apache-2.0 */
/* Urgent data of TCP: read apart, in its place, announced, overtaken, left alone. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static char buffer[100];
static volatile int urgent_signals;

static void on_urgent(int signo)
{
	urgent_signals += signo == SIGURG;
}

static void pair(int p[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int server = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);

	CHECK(!bind(server, ADDRESS(a)) && !listen(server, 1) && !getsockname(server, (struct sockaddr *)&a, &len));
	p[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(!connect(p[0], ADDRESS(a)) && (p[1] = accept(server, NULL, NULL)) >= 0);
	close(server);
}

static void close_both(const int p[2])
{
	close(p[0]);
	close(p[1]);
}

static int polled(int fd, int wait)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };

	return poll(&p, 1, wait) == 1 ? p.revents : 0;
}

static int at_mark(int fd)
{
	int mark = -1;

	return ioctl(fd, SIOCATMARK, &mark) ? -1 : mark;
}

/* What a read with these flags gives: the text, "" for the end, "-" for an error. */
static const char *got(int fd, int flags)
{
	ssize_t n = recv(fd, buffer, sizeof(buffer) - 1, flags);

	buffer[n < 0 ? 0 : n] = 0;
	return n < 0 ? "-" : buffer;
}

#define GETS(fd, flags, text) check_say(!strcmp(got(fd, flags), text), #fd " with " #flags " gets " #text, __LINE__)

static void check_apart(void)
{
	int p[2], n;

	pair(p);
	FAILS(recv(p[1], buffer, 1, MSG_OOB), EINVAL);
	IS(at_mark(p[1]), 0);
	CHECK(send(p[0], "abc", 3, 0) == 3 && send(p[0], "x", 1, MSG_OOB) == 1 && send(p[0], "def", 3, 0) == 3);
	while (!(polled(p[1], 2000) & POLLPRI))
		;
	IS(polled(p[1], 0), POLLIN | POLLPRI);
	CHECK(!ioctl(p[1], FIONREAD, &n) && n == 3);
	IS(at_mark(p[1]), 0);
	GETS(p[1], 0, "abc"); /* never across the mark */
	IS(at_mark(p[1]), 1);
	GETS(p[1], MSG_OOB | MSG_PEEK, "x");
	GETS(p[1], MSG_OOB, "x");
	FAILS(recv(p[1], buffer, 1, MSG_OOB), EINVAL);
	IS(at_mark(p[1]), 1);
	GETS(p[1], 0, "def");
	IS(at_mark(p[1]), 0);
	IS(polled(p[1], 0), 0);
	FAILS(recv(p[1], buffer, 1, MSG_DONTWAIT), EAGAIN);
	close_both(p);
}

static void check_inline(void)
{
	int p[2], on = 1, old = -1;
	socklen_t len = sizeof(old);

	pair(p);
	CHECK(!getsockopt(p[1], SOL_SOCKET, SO_OOBINLINE, &old, &len) && old == 0);
	CHECK(!setsockopt(p[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
	CHECK(send(p[0], "123", 3, MSG_OOB) == 3 && send(p[0], "45", 2, 0) == 2);
	while (!(polled(p[1], 2000) & POLLPRI))
		;
	FAILS(recv(p[1], buffer, 1, MSG_OOB), EINVAL);
	GETS(p[1], 0, "12");
	IS(at_mark(p[1]), 1);
	GETS(p[1], 0, "345");
	IS(at_mark(p[1]), 0);
	IS(polled(p[1], 0), 0);
	close_both(p);
}

/* The second one makes the first a loss when the stream stands at it, and an ordinary byte when it does not. */
static void check_overtaken(void)
{
	int p[2];

	pair(p);
	IS(send(p[0], "A", 1, MSG_OOB), 1);
	while (!(polled(p[1], 2000) & POLLPRI))
		;
	IS(send(p[0], "B", 1, MSG_OOB), 1);
	IS(send(p[0], "c", 1, 0), 1);
	while (!(polled(p[1], 2000) & POLLIN))
		;
	GETS(p[1], MSG_OOB, "B");
	GETS(p[1], 0, "c");
	FAILS(recv(p[1], buffer, 1, MSG_DONTWAIT), EAGAIN);
	close_both(p);
	pair(p);
	CHECK(send(p[0], "1", 1, 0) == 1 && send(p[0], "A", 1, MSG_OOB) == 1);
	while (!(polled(p[1], 2000) & POLLPRI))
		;
	IS(send(p[0], "2B", 2, MSG_OOB), 2);
	IS(send(p[0], "3", 1, 0), 1);
	for (int n = 0; n != 3 && !ioctl(p[1], FIONREAD, &n);)
		poll(NULL, 0, 1);
	GETS(p[1], 0, "1A2");
	GETS(p[1], MSG_OOB, "B");
	GETS(p[1], 0, "3");
	close_both(p);
}

/* Each makes the one before a loss while it is on its way in; none gets lost itself, and comes late, again. */
static void check_many(void)
{
	int p[2], there = 0;
	int64_t start = now_ms();

	pair(p);
	for (int i = 0; i < 48 && send(p[0], &"abcdefgh"[i % 8], 1, MSG_OOB) == 1; i++) {
		while (!(polled(p[1], 10000) & POLLPRI))
			;
		there += recv(p[1], buffer, 1, MSG_OOB) == 1 && buffer[0] == 'a' + i % 8;
	}
	IS(there, 48);
	CHECK(now_ms() - start < 3000); /* a retransmission takes a second, and there would be several */
	close_both(p);
}

static void check_told(void)
{
	int p[2], epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLPRI | EPOLLET };
	struct timeval soon = { 2, 0 };
	fd_set set;

	pair(p);
	signal(SIGURG, on_urgent);
	CHECK(!fcntl(p[1], F_SETOWN, getpid()) && !epoll_ctl(epoll, EPOLL_CTL_ADD, p[1], &event));
	IS(send(p[0], "!", 1, MSG_OOB), 1);
	FD_ZERO(&set);
	FD_SET(p[1], &set);
	int ready;

	while ((ready = select(p[1] + 1, NULL, NULL, &set, &soon)) < 0 && errno == EINTR)
		FD_SET(p[1], &set);
	CHECK(ready == 1 && FD_ISSET(p[1], &set));
	IS(urgent_signals, 1);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.events & EPOLLPRI);
	IS(epoll_wait(epoll, &event, 1, 0), 0);
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	CHECK(recvmsg(p[1], &message, MSG_OOB) == 1 && message.msg_flags == MSG_OOB && buffer[0] == '!');
	IS(send(p[0], "?", 1, MSG_OOB), 1);
	while (!(polled(p[1], 2000) & POLLPRI))
		;
	close(p[0]);
	while (!(polled(p[1], 2000) & POLLIN))
		;
	GETS(p[1], 0, "");
	FAILS(recv(p[1], buffer, 1, MSG_OOB), EINVAL);
	close(p[1]);
	close(epoll);
}

static void check_none(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	FAILS(sendto(udp, "x", 1, MSG_OOB, ADDRESS(a)), EOPNOTSUPP);
	IS(at_mark(udp), -1);
	close(udp);
}

int main(void)
{
	check_apart();
	check_inline();
	check_overtaken();
	check_many();
	check_told();
	check_none();
	return check_end();
}
