/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams and Unix sockets: how many wait for a reader, what is lost, what a control message may be. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static char buffer[4096];

static int polled(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static int fill(int fd, size_t size)
{
	int n = 0;

	while (send(fd, buffer, size, MSG_DONTWAIT) == (ssize_t)size)
		n++;
	return errno == EAGAIN ? n : -1;
}

static void check_queue(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "\0guest-local" };
	int to = socket(AF_UNIX, SOCK_DGRAM, 0), from = socket(AF_UNIX, SOCK_DGRAM, 0), epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET };

	CHECK(!bind(to, ADDRESS(a)) && !connect(from, ADDRESS(a)));
	IS(fill(from, 1), 11);
	IS(polled(from, POLLOUT), 0);
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, from, &event) && epoll_wait(epoll, &event, 1, 0) == 0);
	IS(recv(to, buffer, 1, 0), 1);
	IS(epoll_wait(epoll, &event, 1, 0), 1);
	IS(fill(from, 1), 1);
	close(to);
	IS(polled(from, POLLOUT), POLLOUT);
	FAILS(send(from, "x", 1, 0), ECONNREFUSED);
	close(from);
	close(epoll);
}

static void check_room(void)
{
	int p[2], n;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	IS(fill(p[0], sizeof(buffer)), 44);
	CHECK(!ioctl(p[1], FIONREAD, &n) && n == 44 * (int)sizeof(buffer));
	CHECK(!ioctl(p[0], TIOCOUTQ, &n) && n > 44 * (int)sizeof(buffer));
	IS(recv(p[1], buffer, sizeof(buffer), 0), sizeof(buffer));
	IS(polled(p[0], POLLOUT), 0); /* not before most of it has been read */
	IS(fill(p[0], sizeof(buffer)), 1);
	close(p[0]);
	close(p[1]);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	IS(fill(p[0], 1), 278); /* a byte is not all that a message takes */
	close(p[0]);
	close(p[1]);
	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
	IS(fill(p[0], 1), 278);
	n = 1;
	CHECK(!setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &n, sizeof(n)));
	socklen_t len = sizeof(n);

	CHECK(!getsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &n, &len) && n == 4608);
	close(p[0]);
	close(p[1]);
}

static void check_control(void)
{
	int p[2];
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { "text", 4 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&m);

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = 99 };
	FAILS(sendmsg(p[0], &m, 0), EINVAL);
	header->cmsg_level = SOL_IP; /* nobody's here */
	IS(sendmsg(p[0], &m, 0), 4);
	close(p[0]);
	close(p[1]);
}

/* There is a signal for streams only; the default action would end this program. */
static void check_broken(void)
{
	int p[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p));
	close(p[1]);
	FAILS(send(p[0], "x", 1, 0), EPIPE);
	close(p[0]);
	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
	CHECK(!shutdown(p[0], SHUT_WR));
	FAILS(send(p[0], "x", 1, 0), EPIPE);
	CHECK(!shutdown(p[0], SHUT_RD));
	FAILS(send(p[1], "x", 1, 0), EPIPE);
	close(p[0]);
	close(p[1]);
}

static void check_udp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0), n = 0;
	socklen_t len = sizeof(a);

	CHECK(!bind(to, ADDRESS(a)) && !getsockname(to, (struct sockaddr *)&a, &len));
	a.sin_family = AF_UNSPEC;
	IS(sendto(from, "old", 3, 0, ADDRESS(a)), 3);
	IS(recv(to, buffer, sizeof(buffer), 0), 3);
	a.sin_family = AF_INET;
	IS(sendto(from, "lost", 4, 0, ADDRESS(a)), 4);
	FAILS(recv(to, (void *)8, 4, 0), EFAULT);
	FAILS(recv(to, buffer, 4, MSG_DONTWAIT), EAGAIN);
	CHECK(!connect(from, ADDRESS(a)) && !shutdown(from, SHUT_WR));
	FAILS(send(from, "x", 1, 0), EPIPE);
	CHECK(!connect(from, &nobody, sizeof(nobody)));
	FAILS(send(from, "x", 1, 0), EDESTADDRREQ);
	close(from);
	from = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 20000; i++)
		sendto(from, "", 0, 0, ADDRESS(a));
	while (recv(to, buffer, 1, MSG_DONTWAIT) == 0)
		n++;
	CHECK(n > 100 && n < 20000); /* an empty datagram takes room, too */
	close(to);
	close(from);
}

static void *shut_later(void *fd)
{
	poll(NULL, 0, 20);
	shutdown(*(int *)fd, SHUT_RDWR);
	return NULL;
}

/* A thread that waits for a datagram is woken so, although the socket is not connected. */
static void check_woken(void)
{
	struct timeval patience = { 20, 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	pthread_t thread;

	CHECK(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
	CHECK(!pthread_create(&thread, NULL, shut_later, &fd));
	IS(recv(fd, buffer, 1, 0), 0);
	pthread_join(thread, NULL);
	FAILS(shutdown(fd, SHUT_RD), ENOTCONN);
	close(fd);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	check_queue();
	check_room();
	check_control();
	check_broken();
	check_udp();
	check_woken();
	return check_end();
}
