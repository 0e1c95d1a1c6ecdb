/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets over loopback, where the two ends are one thread: what was sent is there, and who may have a port. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "check.h"

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static char buffer[1000];

static struct sockaddr_in local(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int socket_at(int type, struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, type, 0);

	if (bind(fd, ADDRESS(*a)) || getsockname(fd, (struct sockaddr *)a, &len))
		return -1;
	return fd;
}

static int listener(struct sockaddr_in *a, int backlog)
{
	int fd = socket_at(SOCK_STREAM, a);

	return listen(fd, backlog) ? -1 : fd;
}

static void tcp_pair(int pair[2])
{
	struct sockaddr_in a = local();
	int server = listener(&a, 1);

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(pair[0], ADDRESS(a)) == 0 && (pair[1] = accept(server, NULL, NULL)) >= 0);
	close(server);
}

static int polled(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static bool selected(int fd)
{
	struct timeval none = { 0, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &none) == 1;
}

static bool epolled(int fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	bool seen = !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) && epoll_wait(epoll, &e, 1, 0) == 1;

	close(epoll);
	return seen;
}

/* Each way of looking is the first to look after a send of its own. */
static void check_seen(int from, int to)
{
	struct timeval wait = { 0, 1000 }, ever = { 0, 0 };
	int n = 0;

	CHECK(send(from, "1", 1, 0) == 1 && polled(to, POLLIN) == POLLIN && recv(to, buffer, 9, 0) == 1);
	CHECK(send(from, "2", 1, 0) == 1 && selected(to) && recv(to, buffer, 9, 0) == 1);
	CHECK(send(from, "3", 1, 0) == 1 && epolled(to) && recv(to, buffer, 9, 0) == 1);
	CHECK(send(from, "4", 1, 0) == 1 && ioctl(to, FIONREAD, &n) == 0 && n == 1 && recv(to, buffer, 9, 0) == 1);
	CHECK(send(from, "5", 1, 0) == 1 && recv(to, buffer, 9, MSG_DONTWAIT) == 1);
	setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	CHECK(send(from, "6", 1, 0) == 1 && recv(to, buffer, 9, 0) == 1);
	setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &ever, sizeof(ever));
}

static void check_there_at_once(void)
{
	struct sockaddr_in a = local(), b = local();
	int one = socket_at(SOCK_DGRAM, &a), two = socket_at(SOCK_DGRAM, &b), pair[2];

	CHECK(connect(one, ADDRESS(b)) == 0);
	check_seen(one, two);
	close(one);
	close(two);
	tcp_pair(pair);
	check_seen(pair[0], pair[1]);
	check_seen(pair[1], pair[0]);
	IS(shutdown(pair[0], SHUT_WR), 0);
	CHECK(polled(pair[1], POLLIN | POLLRDHUP) == (POLLIN | POLLRDHUP));
	close(pair[1]);
	CHECK(polled(pair[0], POLLIN) == (POLLIN | POLLHUP));
	close(pair[0]);
	tcp_pair(pair);
	send(pair[0], "unread", 6, 0);
	close(pair[1]);
	FAILS(recv(pair[0], buffer, 9, MSG_DONTWAIT), ECONNRESET);
	close(pair[0]);
}

static int so_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? -1 : error;
}

static void check_connect_without_waiting(void)
{
	struct sockaddr_in a = local(), nobody = local();
	int taken = socket_at(SOCK_STREAM, &nobody), server = listener(&a, 1), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	FAILS(connect(fd, ADDRESS(nobody)), EINPROGRESS);
	IS(so_error(fd), ECONNREFUSED);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	FAILS(connect(fd, ADDRESS(nobody)), EINPROGRESS);
	CHECK(polled(fd, POLLOUT) == (POLLOUT | POLLERR | POLLHUP));
	FAILS(connect(fd, ADDRESS(nobody)), ECONNREFUSED);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	FAILS(connect(fd, ADDRESS(a)), EINPROGRESS);
	CHECK(polled(server, POLLIN) == POLLIN);
	CHECK(polled(fd, POLLOUT) == POLLOUT);
	IS(so_error(fd), 0);
	IS(connect(fd, ADDRESS(a)), 0);
	FAILS(connect(fd, ADDRESS(a)), EISCONN);
	close(fd);
	close(server);
	close(taken);
}

/* A sender that waits for an acknowledgement does not wait for a timer. A round of it took 100 ms. */
static void check_small_writes(void)
{
	int pair[2], rounds = 0;
	int64_t start = now_ms();

	tcp_pair(pair);
	for (; rounds < 200; rounds++) {
		send(pair[0], "a", 1, 0);
		recv(pair[1], buffer, 1, 0);
		send(pair[0], "b", 1, MSG_MORE);
		if (recv(pair[1], buffer, 1, MSG_DONTWAIT) != -1 || send(pair[0], "c", 1, 0) != 1)
			break;
		if (recv(pair[1], buffer, 2, MSG_WAITALL) != 2)
			break;
	}
	IS(rounds, 200);
	CHECK(now_ms() - start < 5000);
	close(pair[0]);
	close(pair[1]);
}

/* A datagram in several sends. */
static void check_more(void)
{
	struct sockaddr_in a = local(), b = local();
	int to = socket_at(SOCK_DGRAM, &a), other = socket_at(SOCK_DGRAM, &b), fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < 2; i++) {
		IS(sendto(fd, "one ", 4, MSG_MORE, ADDRESS(a)), 4);
		FAILS(recv(to, buffer, 100, MSG_DONTWAIT), EAGAIN);
		IS(sendto(fd, "two ", 4, MSG_MORE, ADDRESS(b)), 4); /* where the first one went */
		IS(send(fd, "three", 5, 0), 5);
		CHECK(recv(to, buffer, 100, MSG_DONTWAIT) == 13 && !memcmp(buffer, "one two three", 13));
	}
	FAILS(recv(other, buffer, 100, MSG_DONTWAIT), EAGAIN);
	FAILS(send(fd, "x", 1, 0), EDESTADDRREQ);
	IS(sendto(fd, "held", 4, MSG_MORE, ADDRESS(a)), 4);
	close(fd); /* nobody completes it */
	FAILS(recv(to, buffer, 100, MSG_DONTWAIT), EAGAIN);
	close(to);
	close(other);
}

static void check_recvmmsg(void)
{
	struct timespec past = { -1, 0 }, large = { 1, 2000000000 }, none = { 0, 0 };
	struct sockaddr_in a = local();
	int fd = socket_at(SOCK_DGRAM, &a);
	struct iovec part = { buffer, 10 };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } } };

	FAILS(recvmmsg(fd, m, 2, 0, &past), EINVAL);
	FAILS(recvmmsg(fd, m, 2, 0, &large), EINVAL);
	sendto(fd, "one", 3, 0, ADDRESS(a));
	sendto(fd, "more", 4, 0, ADDRESS(a));
	CHECK(recvmmsg(fd, m, 2, 0, &none) == 1 && m[0].msg_len == 3);
	CHECK(recvmmsg(fd, m, 2, MSG_WAITFORONE, NULL) == 1 && m[0].msg_len == 4);
	close(fd);
}

static void check_errors(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), local_fd = socket(AF_UNIX, SOCK_STREAM, 0), value, two[2];
	socklen_t len = sizeof(value);

	FAILS(getsockname(fd, NULL, &len), EFAULT);
	FAILS(getsockopt(fd, 500, 1, &value, &len), EOPNOTSUPP);
	FAILS(setsockopt(fd, 500, 1, &value, sizeof(value)), ENOPROTOOPT);
	FAILS(getsockopt(local_fd, 500, 1, &value, &len), EOPNOTSUPP);
	FAILS(setsockopt(local_fd, 500, 1, &value, sizeof(value)), EOPNOTSUPP);
	FAILS(socketpair(AF_INET, SOCK_STREAM, 0, two), EOPNOTSUPP);
	FAILS(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_UDP, two), EOPNOTSUPP);
	FAILS(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, two), EPROTONOSUPPORT);
	FAILS(socketpair(AF_INET, SOCK_STREAM, IPPROTO_ICMP, two), EPROTONOSUPPORT);
	FAILS(socketpair(99, SOCK_STREAM, 0, two), EAFNOSUPPORT);
	CHECK(socketpair(AF_UNIX, SOCK_RAW, 0, two) == 0 && write(two[0], "x", 1) == 1 && read(two[1], buffer, 9) == 1);
	close(fd);
	close(local_fd);
	close(two[0]);
	close(two[1]);
}

/* ---- who may have a port ---- */

static int bind_with(int type, struct sockaddr_in a, int option)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1;

	if (option)
		setsockopt(fd, SOL_SOCKET, option, &one, sizeof(one));
	if (bind(fd, ADDRESS(a)) == 0)
		return fd;
	close(fd);
	errno = EADDRINUSE;
	return -1;
}

static void check_bind(void)
{
	static unsigned char seen[65536];
	struct sockaddr_in a = local(), b;
	int fd[200], distinct = 0, one, two;

	for (int i = 0; i < 200; i++) {
		socklen_t len = sizeof(b);

		fd[i] = bind_with(SOCK_STREAM, a, SO_REUSEADDR);
		getsockname(fd[i], (struct sockaddr *)&b, &len);
		distinct += !seen[b.sin_port]++;
	}
	IS(distinct, 200);
	for (int i = 1; i < 200; i++)
		close(fd[i]);
	a = b;
	one = bind_with(SOCK_STREAM, a, SO_REUSEADDR);
	two = bind_with(SOCK_STREAM, a, SO_REUSEADDR);
	CHECK(one >= 0 && two >= 0);
	FAILS(bind_with(SOCK_STREAM, a, 0), EADDRINUSE);
	IS(listen(one, 1), 0);
	FAILS(listen(two, 1), EADDRINUSE);
	FAILS(bind_with(SOCK_STREAM, a, SO_REUSEADDR), EADDRINUSE);
	FAILS(bind_with(SOCK_STREAM, a, SO_REUSEPORT), EADDRINUSE);
	close(fd[0]);
	close(one);
	close(two);
}

static void check_reuse_port(void)
{
	struct sockaddr_in a = local();
	int fd[3], used[3] = { 0 }, one = 1, accepted = 0, received = 0;
	socklen_t len = sizeof(a);

	for (int i = 0; i < 3; i++) {
		fd[i] = bind_with(SOCK_STREAM, a, SO_REUSEPORT);
		CHECK(fd[i] >= 0 && listen(fd[i], 200) == 0 && getsockname(fd[i], (struct sockaddr *)&a, &len) == 0);
	}
	FAILS(bind_with(SOCK_STREAM, a, 0), EADDRINUSE);
	for (int n = 0; n < 150; n++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(client, ADDRESS(a)))
			break;
		for (int i = 0; i < 3; i++) {
			int child = accept(fd[i], NULL, NULL);

			used[i] += child >= 0;
			accepted += child >= 0;
			close(child);
		}
		close(client);
		if (n == 99)
			close(fd[0]); /* the others take its part */
	}
	IS(accepted, 150);
	CHECK(used[0] > 0 && used[1] > 0 && used[2] > 0);
	close(fd[1]);
	close(fd[2]);
	a = local();
	fd[0] = bind_with(SOCK_DGRAM, a, SO_REUSEPORT);
	CHECK(fd[0] >= 0 && getsockname(fd[0], (struct sockaddr *)&a, &len) == 0);
	fd[1] = bind_with(SOCK_DGRAM, a, SO_REUSEPORT);
	CHECK(fd[1] >= 0);
	FAILS(bind_with(SOCK_DGRAM, a, SO_REUSEADDR), EADDRINUSE);
	used[0] = used[1] = 0;
	for (int n = 0; n < 100; n++) {
		int client = socket(AF_INET, SOCK_DGRAM, 0);

		sendto(client, "x", 1, 0, ADDRESS(a));
		for (int i = 0; i < 2; i++)
			while (recv(fd[i], buffer, 9, 0) == 1) {
				received++;
				used[i]++;
			}
		close(client);
	}
	IS(received, 100);
	CHECK(used[0] > 0 && used[1] > 0);
	CHECK(getsockopt(fd[0], SOL_SOCKET, SO_REUSEPORT, &one, &len) == 0 && one == 1);
	close(fd[0]);
	close(fd[1]);
}

static void check_backlog(void)
{
	enum { CLIENTS = 400 };
	struct sockaddr_in a = local();
	int server = listener(&a, 1000), fd[CLIENTS], connected = 0, accepted = 0;

	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fd[i], ADDRESS(a));
		connected += polled(fd[i], POLLOUT) == POLLOUT;
	}
	IS(connected, CLIENTS);
	fcntl(server, F_SETFL, O_NONBLOCK);
	for (int child; (child = accept(server, NULL, NULL)) >= 0; accepted++)
		close(child);
	IS(accepted, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	close(server);
}

static void check_shut_listener(void)
{
	struct sockaddr_in a = local();
	int server = listener(&a, 5), waiting = socket(AF_INET, SOCK_STREAM, 0), late = socket(AF_INET, SOCK_STREAM, 0);

	close(server); /* the port is free, and is named now: else shutdown() gives it back */
	server = listener(&a, 5);

	IS(connect(waiting, ADDRESS(a)), 0);
	IS(shutdown(server, SHUT_WR), 0);
	IS(shutdown(server, SHUT_RDWR), 0);
	FAILS(accept(server, NULL, NULL), EINVAL);
	FAILS(recv(waiting, buffer, 9, MSG_DONTWAIT), ECONNRESET);
	FAILS(connect(late, ADDRESS(a)), ECONNREFUSED);
	FAILS(bind_with(SOCK_STREAM, a, 0), EADDRINUSE);
	IS(listen(server, 5), 0);
	IS(connect(late, ADDRESS(a)), 0);
	close(server);
	FAILS(recv(late, buffer, 9, MSG_DONTWAIT), ECONNRESET);
	close(late);
	close(waiting);
}

/* A client that uses its port again, when the server was the first to close. */
static void check_same_ports(void)
{
	struct sockaddr_in a = local(), mine = local();
	int server = listener(&a, 5), rounds = 0, one = 1;
	struct timeval patience = { 5, 0 };
	socklen_t len = sizeof(mine);

	for (; rounds < 20; rounds++) {
		int client = socket(AF_INET, SOCK_STREAM, 0), child;

		setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (bind(client, ADDRESS(mine)) || connect(client, ADDRESS(a)) || getsockname(client, (struct sockaddr *)&mine, &len))
			break;
		child = accept(server, NULL, NULL);
		if (write(client, buffer, sizeof(buffer)) < 0 || read(child, buffer, sizeof(buffer)) < 0)
			break;
		shutdown(child, SHUT_WR);
		if (read(client, buffer, 9) != 0)
			break;
		close(client);
		if (read(child, buffer, sizeof(buffer)) != 0)
			break;
		close(child);
	}
	IS(rounds, 20);
	close(server);
}

int main(void)
{
	check_bind();
	check_reuse_port();
	check_backlog();
	check_shut_listener();
	check_same_ports();
	check_there_at_once();
	check_connect_without_waiting();
	check_small_writes();
	check_more();
	check_recvmmsg();
	check_errors();
	return check_end();
}
