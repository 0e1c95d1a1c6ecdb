/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets over loopback: TCP, UDP, UNIX pairs, messages with descriptors, errors. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"

static char buffer[200000];

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static int listener(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(*a);

	*a = loopback(0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, ADDRESS(*a)) || listen(fd, 16) || getsockname(fd, (struct sockaddr *)a, &len))
		return -1;
	return fd;
}

static bool read_all(int fd, char *p, size_t n)
{
	while (n) {
		ssize_t r = read(fd, p, n);

		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static void check_tcp(void)
{
	struct sockaddr_in a, peer;
	int server = listener(&a), client = socket(AF_INET, SOCK_STREAM, 0), conn, one = 1, type = 0;
	socklen_t len = sizeof(peer), optlen = sizeof(type);

	CHECK(server >= 0 && a.sin_port != 0);
	IS(connect(client, ADDRESS(a)), 0);
	conn = accept4(server, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	CHECK(conn >= 0 && len == sizeof(peer) && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK(!getpeername(client, (struct sockaddr *)&peer, &len) && peer.sin_port == a.sin_port);
	CHECK(!getsockopt(conn, SOL_SOCKET, SO_TYPE, &type, &optlen) && type == SOCK_STREAM);
	IS(setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	IS(send(client, "ping", 4, 0), 4);
	CHECK(recv(conn, buffer, 100, MSG_PEEK) == 4 && recv(conn, buffer, 100, 0) == 4 && !memcmp(buffer, "ping", 4));
	FAILS(recv(conn, buffer, 1, MSG_DONTWAIT), EAGAIN);
	IS(write(conn, "pong!", 5), 5);
	CHECK(read_all(client, buffer, 5) && !memcmp(buffer, "pong!", 5));
	IS(shutdown(client, SHUT_WR), 0);
	IS(read(conn, buffer, 10), 0);
	IS(write(conn, "late", 4), 4);
	CHECK(read_all(client, buffer, 4) && !memcmp(buffer, "late", 4));
	signal(SIGPIPE, SIG_IGN);
	FAILS(write(client, "x", 1), EPIPE);
	close(conn);
	IS(read(client, buffer, 10), 0);
	FAILS(bind(socket(AF_INET, SOCK_STREAM, 0), ADDRESS(a)), EADDRINUSE);
	close(client);
	close(server);
	client = socket(AF_INET, SOCK_STREAM, 0);
	FAILS(connect(client, ADDRESS(a)), ECONNREFUSED);
	close(client);
}

static void check_nonblocking(void)
{
	struct sockaddr_in a;
	int server = listener(&a), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1, r, conn, on = 1;
	struct pollfd fd = {.fd = client, .events = POLLOUT};
	socklen_t len = sizeof(error);
	ssize_t n, sent = 0;

	IS(ioctl(server, FIONBIO, &on), 0);
	FAILS(accept(server, NULL, NULL), EAGAIN);
	r = connect(client, ADDRESS(a));
	CHECK(r == 0 || errno == EINPROGRESS);
	IS(poll(&fd, 1, 5000), 1);
	CHECK(!getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len) && error == 0);
	fd = (struct pollfd){.fd = server, .events = POLLIN};
	IS(poll(&fd, 1, 5000), 1);
	conn = accept4(server, NULL, NULL, SOCK_NONBLOCK);
	CHECK(conn >= 0);
	while ((n = write(client, buffer, sizeof(buffer))) > 0 && sent < 100 << 20)
		sent += n;
	CHECK(n == -1 && errno == EAGAIN && sent > 1000);
	for (int64_t start = now_ms(); sent > 0 && now_ms() - start < 10000; sent -= n > 0 ? n : 0) {
		fd = (struct pollfd){.fd = conn, .events = POLLIN};
		poll(&fd, 1, 1000);
		n = read(conn, buffer, sizeof(buffer));
	}
	IS(sent, 0);
	fd = (struct pollfd){.fd = client, .events = POLLOUT};
	IS(poll(&fd, 1, 5000), 1);
	close(client);
	fd = (struct pollfd){.fd = conn, .events = POLLIN | POLLRDHUP};
	IS(poll(&fd, 1, 5000), 1);
	CHECK((fd.revents & (POLLIN | POLLRDHUP)) == (POLLIN | POLLRDHUP));
	close(conn);
	close(server);
	client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	r = connect(client, ADDRESS(a));
	fd = (struct pollfd){.fd = client, .events = POLLOUT};
	if (r && errno == EINPROGRESS) {
		poll(&fd, 1, 5000);
		getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len);
		errno = error;
	}
	CHECK(r == -1 && errno == ECONNREFUSED);
	close(client);
}

static void *send_much(void *fd)
{
	unsigned char block[10007];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (unsigned char)(i * 7);
	for (int i = 0; i < 500; i++)
		if (send(*(int *)fd, block, sizeof(block), MSG_NOSIGNAL) != (ssize_t)sizeof(block))
			break;
	shutdown(*(int *)fd, SHUT_WR);
	return NULL;
}

static void check_stream(void)
{
	struct sockaddr_in a;
	int server = listener(&a), client = socket(AF_INET, SOCK_STREAM, 0), conn;
	unsigned long total = 0, sum = 0;
	pthread_t thread;
	ssize_t n;

	connect(client, ADDRESS(a));
	conn = accept(server, NULL, NULL);
	pthread_create(&thread, NULL, send_much, &client);
	while ((n = read(conn, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < n; i++, total++)
			sum = sum * 13 + (unsigned char)buffer[i];
	pthread_join(thread, NULL);
	printf("%lu bytes over TCP, sum %lx\n", total, sum);
	close(conn);
	close(client);
	close(server);
}

static void check_udp(void)
{
	struct sockaddr_in a = loopback(0), from;
	int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
	struct timeval wait = {0, 20000};
	socklen_t len = sizeof(a);
	int64_t start;

	CHECK(!bind(one, ADDRESS(a)) && !getsockname(one, (struct sockaddr *)&a, &len));
	IS(sendto(two, "datagram", 8, 0, ADDRESS(a)), 8);
	IS(sendto(two, "x", 1, 0, ADDRESS(a)), 1);
	IS(sendto(two, "", 0, 0, ADDRESS(a)), 0);
	len = sizeof(from);
	CHECK(recvfrom(one, buffer, 4, 0, (struct sockaddr *)&from, &len) == 4 && !memcmp(buffer, "data", 4));
	IS(recv(one, buffer, 100, 0), 1);
	IS(recv(one, buffer, 100, 0), 0);
	FAILS(recv(one, buffer, 100, MSG_DONTWAIT), EAGAIN);
	IS(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	start = now_ms();
	FAILS(recv(one, buffer, 100, 0), EAGAIN);
	CHECK(now_ms() - start >= 18);
	IS(sendto(one, "back", 4, 0, ADDRESS(from)), 4);
	IS(recv(two, buffer, 100, 0), 4);
	IS(connect(two, ADDRESS(a)), 0);
	IS(send(two, buffer, 1400, 0), 1400);
	IS(recv(one, buffer, sizeof(buffer), 0), 1400);
	FAILS(send(one, "x", 1, 0), EDESTADDRREQ);
	close(one);
	close(two);
}

static int send_descriptor(int sock, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 'F';
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return (int)sendmsg(sock, &m, 0);
}

static int receive_descriptor(int sock)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	int fd = -1;

	if (recvmsg(sock, &m, 0) == 1 && byte == 'F' && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

static void check_unix(void)
{
	int s[2], d[2], p[2], fd;

	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	IS(write(s[0], "left", 4), 4);
	IS(write(s[1], "right", 5), 5);
	CHECK(read(s[1], buffer, 100) == 4 && read(s[0], buffer, 100) == 5);
	IS(pipe(p), 0);
	IS(send_descriptor(s[0], p[0]), 1);
	close(p[0]);
	fd = receive_descriptor(s[1]);
	CHECK(fd >= 0 && write(p[1], "passed", 6) == 6 && read(fd, buffer, 100) == 6);
	close(fd);
	FAILS(write(p[1], "x", 1), EPIPE);
	close(p[1]);
	close(s[0]);
	IS(read(s[1], buffer, 1), 0);
	close(s[1]);
	IS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, d), 0);
	CHECK(write(d[0], "one", 3) == 3 && write(d[0], "three", 5) == 5);
	CHECK(read(d[1], buffer, 100) == 3 && read(d[1], buffer, 100) == 5);
	FAILS(read(d[1], buffer, 100), EAGAIN);
	close(d[0]);
	close(d[1]);
}

static void check_unix_named(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), conn;

	FAILS(connect(client, ADDRESS(a)), ENOENT);
	CHECK(!bind(server, ADDRESS(a)) && !listen(server, 4));
	IS(connect(client, ADDRESS(a)), 0);
	conn = accept(server, NULL, NULL);
	CHECK(conn >= 0 && write(client, "named", 5) == 5 && read(conn, buffer, 100) == 5);
	FAILS(bind(socket(AF_UNIX, SOCK_STREAM, 0), ADDRESS(a)), EADDRINUSE);
	close(conn);
	close(client);
	close(server);
	IS(unlink("socket"), 0);
}

static void check_messages(void)
{
	struct sockaddr_in a = loopback(0);
	struct iovec out[2] = {{"gather", 6}, {" this", 5}}, in[2] = {{buffer, 3}, {buffer + 100, 100}};
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 2};
	int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(a);

	bind(one, ADDRESS(a));
	getsockname(one, (struct sockaddr *)&a, &len);
	m.msg_name = &a;
	m.msg_namelen = sizeof(a);
	IS(sendmsg(two, &m, 0), 11);
	m = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
	IS(recvmsg(one, &m, 0), 11);
	CHECK(!memcmp(buffer, "gat", 3) && !memcmp(buffer + 100, "her this", 8));
	IS(sendto(two, "truncated", 9, 0, ADDRESS(a)), 9);
	m = (struct msghdr){.msg_iov = in, .msg_iovlen = 1};
	CHECK(recvmsg(one, &m, 0) == 3 && (m.msg_flags & MSG_TRUNC));
	close(one);
	close(two);
}

static void *read_after_100_ms(void *fd)
{
	nanosleep(&(struct timespec){0, 100000000}, NULL);
	while (read((int)(long)fd, buffer, sizeof(buffer)) > 0)
		;
	return NULL;
}

/* close() waits for a peer that reads, and no longer than was said for one that does not. */
static void check_linger(bool reads)
{
	struct sockaddr_in a;
	struct linger one = {.l_onoff = 1, .l_linger = reads ? 20 : 1};
	int server = listener(&a), fd = socket(AF_INET, SOCK_STREAM, 0), peer = -1;
	static const char zeroes[65536];
	pthread_t reader;

	CHECK(connect(fd, ADDRESS(a)) == 0 && (peer = accept(server, NULL, NULL)) >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, zeroes, sizeof(zeroes)) > 0)
		;
	CHECK(errno == EAGAIN && setsockopt(fd, SOL_SOCKET, SO_LINGER, &one, sizeof(one)) == 0);
	if (reads)
		pthread_create(&reader, NULL, read_after_100_ms, (void *)(long)peer);
	int64_t start = now_ms();
	IS(close(fd), 0);
	int64_t took = now_ms() - start;
	CHECK(reads ? took >= 90 && took < 15000 : took >= 900);
	if (reads)
		pthread_join(reader, NULL);
	close(peer);
	close(server);
}

static void check_errors(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), value;
	socklen_t len = sizeof(value);

	FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(accept(fd, NULL, NULL), EINVAL);
	FAILS(getpeername(fd, (struct sockaddr *)buffer, &len), ENOTCONN);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	FAILS(recv(fd, buffer, 1, 0), ENOTCONN);
	FAILS(shutdown(fd, SHUT_RDWR), ENOTCONN);
	FAILS(listen(0x7fff, 5), EBADF);
	FAILS(send(1, "x", 1, 0), ENOTSOCK);
	FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len) && value > 0);
	FAILS(getsockopt(fd, SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
	close(fd);
}

int main(void)
{
	check_scratch();
	check_tcp();
	check_nonblocking();
	check_stream();
	check_udp();
	check_unix();
	check_unix_named();
	check_messages();
	check_linger(true);
	check_linger(false);
	check_errors();
	return check_end();
}
