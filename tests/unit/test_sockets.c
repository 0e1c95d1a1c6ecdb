/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of libos over lwIP's loopback interface, run on the host. */
#include "tests/unit/socket_calls.h"
#include "tests/unit/user_faults.h"

#include "libos/net/net.h"

static void test_tcp_talks(void **state)
{
	int pair[2];
	char buffer[100];
	tcp_pair(pair);
	assert_int_equal(send_text(pair[0], "hello"), 5);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), sizeof(buffer), MSG_PEEK, 0, 0), 5);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 3, 0, 0, 0), 3);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer + 3), 50, 0, 0, 0), 2);
	assert_memory_equal(buffer, "hello", 5);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 50, MSG_DONTWAIT, 0, 0), -EAGAIN);
	assert_int_equal(send_text(pair[1], "answer"), 6);
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 50, 0, 0, 0), 6);
	close_pair(pair);
}

static void test_tcp_names(void **state)
{
	int listener = listen_on(7000, 5), client = connect_to(7000);
	union address addr;
	uint32_t len = sizeof(addr);
	int server = CALL(accept, listener, P(&addr), P(&len));
	assert_true(server >= 0);
	assert_int_equal(len, sizeof(struct sockaddr_in));
	assert_int_equal(__builtin_bswap16(addr.in.sin_port), port_of(client));
	assert_int_equal(port_of(server), 7000);
	len = sizeof(addr);
	assert_int_equal(CALL(getpeername, client, P(&addr), P(&len)), 0);
	assert_int_equal(__builtin_bswap16(addr.in.sin_port), 7000);
	assert_int_equal(CALL(getpeername, listener, P(&addr), P(&len)), -ENOTCONN);
	fd_close(listener);
	fd_close(client);
	fd_close(server);
}

static uint8_t pattern(size_t at)
{
	return at * 2654435761u >> 13;
}

/* Both ends are of one thread, so neither may wait. */
static void test_tcp_bulk(void **state)
{
	enum { SIZE = 8 << 20, PIECE = 100000 };
	static uint8_t out[PIECE], in[PIECE];
	int pair[2];
	size_t sent = 0, received = 0;
	tcp_pair(pair);
	while (received < SIZE) {
		size_t n = MIN(SIZE - sent, PIECE);
		for (size_t i = 0; i < n; i++)
			out[i] = pattern(sent + i);
		long result = n ? CALL(sendto, pair[0], P(out), n, MSG_DONTWAIT, 0, 0) : 0;
		assert_true(result >= 0 || result == -EAGAIN);
		sent += MAX(result, 0);
		test_pump();
		result = CALL(recvfrom, pair[1], P(in), PIECE, MSG_DONTWAIT, 0, 0);
		assert_true(result > 0 || result == -EAGAIN);
		for (long i = 0; i < result; i++)
			assert_int_equal(in[i], pattern(received + i));
		received += MAX(result, 0);
	}
	assert_int_equal(sent, SIZE);
	close_pair(pair);
}

static void test_tcp_window_fills(void **state)
{
	static char buffer[65536];
	int pair[2];
	long total = 0, result;
	tcp_pair(pair);
	do {
		result = CALL(sendto, pair[0], P(buffer), sizeof(buffer), MSG_DONTWAIT, 0, 0);
		test_pump();
		total += MAX(result, 0);
	} while (result > 0);
	assert_int_equal(result, -EAGAIN);
	assert_false(events_of(pair[0]) & EPOLLOUT);
	while (total > 0) {
		result = CALL(recvfrom, pair[1], P(buffer), sizeof(buffer), 0, 0, 0);
		assert_true(result > 0);
		total -= result;
	}
	assert_true(events_of(pair[0]) & EPOLLOUT);
	close_pair(pair);
}

static void test_tcp_end(void **state)
{
	int pair[2];
	char buffer[10];
	tcp_pair(pair);
	assert_int_equal(events_of(pair[1]), EPOLLOUT | EPOLLWRNORM);
	send_text(pair[0], "last");
	assert_int_equal(CALL(shutdown, pair[0], SHUT_WR), 0);
	assert_int_equal(events_of(pair[1]), EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLOUT | EPOLLWRNORM);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, 0, 0, 0), 4);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, 0, 0, 0), 0);
	assert_int_equal(send_text(pair[1], "reply"), 5);
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 10, 0, 0, 0), 5);
	fd_close(pair[1]);
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 10, 0, 0, 0), 0);
	assert_true(events_of(pair[0]) & EPOLLHUP);
	/* The pcb is in TIME-WAIT now and is freed without a word; the socket must not care. */
	test_clock_offset += 10 * NS_PER_S;
	test_pump();
	int before = test_sigpipes;
	assert_int_equal(send_text(pair[0], "x"), -EPIPE);
	assert_int_equal(test_sigpipes, before + 1);
	assert_int_equal(CALL(sendto, pair[0], P("x"), 1, MSG_NOSIGNAL, 0, 0), -EPIPE);
	assert_int_equal(test_sigpipes, before + 1);
	assert_int_equal(port_of(pair[0]) != 0, 1);
	fd_close(pair[0]);
}

static void test_tcp_reset(void **state)
{
	int pair[2], error;
	uint32_t len = sizeof(error);
	char buffer[10];
	struct linux_linger linger = {1, 0};
	tcp_pair(pair);
	assert_int_equal(CALL(setsockopt, pair[1], SOL_SOCKET, SO_LINGER, P(&linger), sizeof(linger)), 0);
	fd_close(pair[1]);
	assert_true(events_of(pair[0]) & EPOLLERR);
	assert_int_equal(CALL(getsockopt, pair[0], SOL_SOCKET, SO_ERROR, P(&error), P(&len)), 0);
	assert_int_equal(error, ECONNRESET);
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 10, 0, 0, 0), 0);
	fd_close(pair[0]);
	/* unread data at close is a reset, too */
	tcp_pair(pair);
	send_text(pair[0], "unread");
	test_pump();
	fd_close(pair[1]);
	test_pump();
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 10, 0, 0, 0), -ECONNRESET);
	fd_close(pair[0]);
}

static void test_tcp_refused(void **state)
{
	struct sockaddr_in addr = loopback(1);
	int fd = make(AF_INET, SOCK_STREAM), error;
	uint32_t len = sizeof(error);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -ECONNREFUSED);
	fd_close(fd);
	fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -EINPROGRESS);
	assert_true(seen_now(fd) & EPOLLERR); /* without anybody having polled */
	assert_int_equal(CALL(getsockopt, fd, SOL_SOCKET, SO_ERROR, P(&error), P(&len)), 0);
	assert_int_equal(error, ECONNREFUSED);
	fd_close(fd);
	fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -EINPROGRESS);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -ECONNREFUSED);
	fd_close(fd);
}

static void test_tcp_nonblocking_connect(void **state)
{
	int listener = listen_on(0, 5), fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), error = 1;
	struct sockaddr_in addr = loopback(port_of(listener));
	uint32_t len = sizeof(error);
	fd_get(listener)->flags |= O_NONBLOCK;
	assert_int_equal(CALL(accept4, listener, 0, 0, SOCK_NONBLOCK), -EAGAIN);
	assert_int_equal(CALL(accept4, listener, 0, 0, 0x40000000), -EINVAL);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -EINPROGRESS);
	assert_int_equal(seen_now(fd), EPOLLOUT | EPOLLWRNORM);
	assert_int_equal(CALL(getsockopt, fd, SOL_SOCKET, SO_ERROR, P(&error), P(&len)), 0);
	assert_int_equal(error, 0);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), 0); /* how it ended is told once */
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -EISCONN);
	assert_int_equal(seen_now(listener), EPOLLIN | EPOLLRDNORM);
	int server = CALL(accept4, listener, 0, 0, SOCK_NONBLOCK);
	assert_true(server >= 0);
	fd_close(listener);
	fd_close(fd);
	fd_close(server);
}

static void test_tcp_port_in_use(void **state)
{
	int first = listen_on(7100, 5), second = make(AF_INET, SOCK_STREAM);
	struct sockaddr_in addr = loopback(7100);
	assert_int_equal(CALL(bind, second, P(&addr), sizeof(addr)), -EADDRINUSE);
	addr.sin_addr.s_addr = __builtin_bswap32(0x01020304);
	assert_int_equal(CALL(bind, second, P(&addr), sizeof(addr)), -EADDRNOTAVAIL);
	fd_close(first);
	fd_close(second);
	first = listen_on(7100, 5); /* free again at once */
	fd_close(first);
}

static void test_tcp_v6(void **state)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = __builtin_bswap16(7200)};
	struct sockaddr_in6 local = any, peer;
	struct sockaddr_in v4 = loopback(7200);
	uint32_t len = sizeof(peer);
	int listener = make(AF_INET6, SOCK_STREAM), client = make(AF_INET6, SOCK_STREAM), client4 = make(AF_INET, SOCK_STREAM);
	local.sin6_addr.s6_addr[15] = 1;
	assert_int_equal(CALL(bind, listener, P(&any), sizeof(any)), 0);
	assert_int_equal(CALL(listen, listener, 5), 0);
	assert_int_equal(CALL(connect, client, P(&local), sizeof(local)), 0);
	int server = CALL(accept, listener, P(&peer), P(&len));
	assert_true(server >= 0);
	assert_memory_equal(peer.sin6_addr.s6_addr, local.sin6_addr.s6_addr, 16);
	assert_int_equal(CALL(connect, client4, P(&v4), sizeof(v4)), 0);
	len = sizeof(peer);
	int server4 = CALL(accept, listener, P(&peer), P(&len));
	assert_true(server4 >= 0);
	assert_int_equal(peer.sin6_addr.s6_addr[10], 0xff);
	assert_int_equal(peer.sin6_addr.s6_addr[12], 127);
	int fds[] = {listener, client, client4, server, server4};
	for (unsigned i = 0; i < 5; i++)
		fd_close(fds[i]);
}

static void test_many_connections(void **state)
{
	int listener = listen_on(7300, 255);
	char buffer[10];
	for (int i = 0; i < 2000; i++) {
		int client = connect_to(7300), server = CALL(accept, listener, 0, 0);
		assert_true(server >= 0);
		send_text(client, "GET");
		assert_int_equal(CALL(recvfrom, server, P(buffer), 10, 0, 0, 0), 3);
		send_text(server, "OK");
		fd_close(server);
		assert_int_equal(CALL(recvfrom, client, P(buffer), 10, 0, 0, 0), 2);
		assert_int_equal(CALL(recvfrom, client, P(buffer), 10, 0, 0, 0), 0);
		fd_close(client);
	}
	fd_close(listener);
}

static void test_backlog(void **state)
{
	int listener = listen_on(7400, 1), fd[6];
	struct sockaddr_in addr = loopback(7400);
	int connected = 0;
	for (int i = 0; i < 6; i++) {
		fd[i] = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
		assert_int_equal(CALL(connect, fd[i], P(&addr), sizeof(addr)), -EINPROGRESS);
		connected += (events_of(fd[i]) & EPOLLOUT) != 0;
	}
	assert_int_equal(connected, 2);
	assert_int_equal(CALL(connect, fd[5], P(&addr), sizeof(addr)), -EALREADY);
	for (int i = 0; i < 6; i++)
		fd_close(fd[i]);
	fd_close(listener);
}

static void test_vector(void **state)
{
	user_faults_catch();
	int pair[2];
	char a[4], b[10];
	tcp_pair(pair);
	struct iovec out[2] = {{.iov_base = "head", .iov_len = 4}, {.iov_base = "body", .iov_len = 4}};
	struct file *file = fd_get(pair[0]);
	assert_int_equal(file->ops->writev(file, out, 2), 8);
	struct iovec in[2] = {{.iov_base = a, .iov_len = 4}, {.iov_base = b, .iov_len = 10}};
	struct linux_msghdr header = {.iov = in, .iov_count = 2};
	assert_int_equal(CALL(recvmsg, pair[1], P(&header), 0), 8);
	assert_memory_equal(b, "body", 4);
	in[0].iov_base = (void *)1;
	send_text(pair[0], "x");
	assert_int_equal(CALL(recvmsg, pair[1], P(&header), 0), -EFAULT);
	close_pair(pair);
}

static void test_udp(void **state)
{
	int a = make(AF_INET, SOCK_DGRAM), b = make(AF_INET, SOCK_DGRAM);
	struct sockaddr_in addr = loopback(7500), from;
	uint32_t len = sizeof(from);
	char buffer[100];
	assert_int_equal(CALL(bind, a, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(sendto, b, P("one"), 3, 0, P(&addr), sizeof(addr)), 3);
	assert_int_equal(CALL(sendto, b, P("second"), 6, 0, P(&addr), sizeof(addr)), 6);
	assert_int_equal(CALL(recvfrom, a, P(buffer), sizeof(buffer), 0, P(&from), P(&len)), 3);
	assert_int_equal(__builtin_bswap16(from.sin_port), port_of(b));
	assert_int_equal(CALL(recvfrom, a, P(buffer), 2, MSG_TRUNC, 0, 0), 6);
	assert_int_equal(CALL(recvfrom, a, P(buffer), 2, MSG_DONTWAIT, 0, 0), -EAGAIN);
	assert_int_equal(CALL(sendto, b, P("x"), 1, 0, 0, 0), -EDESTADDRREQ);
	assert_int_equal(CALL(connect, b, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(sendto, b, P("x"), 1, 0, 0, 0), 1);
	assert_int_equal(CALL(recvfrom, a, P(buffer), 10, 0, 0, 0), 1);
	/* a datagram larger than the MTU is cut and put together again */
	static char big[60000], back[60000];
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = pattern(i);
	assert_int_equal(CALL(sendto, b, P(big), sizeof(big), 0, 0, 0), sizeof(big));
	assert_int_equal(CALL(recvfrom, a, P(back), sizeof(back), 0, 0, 0), sizeof(big));
	assert_memory_equal(big, back, sizeof(big));
	struct sockaddr_in closed = loopback(7599);
	assert_int_equal(CALL(connect, b, P(&closed), sizeof(closed)), 0);
	assert_int_equal(CALL(sendto, b, P("x"), 1, 0, 0, 0), 1);
	assert_int_equal(CALL(recvfrom, b, P(buffer), 10, 0, 0, 0), -ECONNREFUSED);
	struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x08080808};
	assert_int_equal(CALL(sendto, b, P("x"), 1, 0, P(&far), sizeof(far)), -ENETUNREACH);
	fd_close(a);
	fd_close(b);
}

static void test_timeout_option(void **state)
{
	int fd = make(AF_INET, SOCK_DGRAM);
	int64_t tv[2] = {0, 50000};
	char buffer[10];
	struct sockaddr_in addr = loopback(0);
	assert_int_equal(CALL(bind, fd, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO_OLD, P(tv), sizeof(tv)), 0);
	uint64_t start = clock_monotonic();
	assert_int_equal(CALL(recvfrom, fd, P(buffer), 10, 0, 0, 0), -EAGAIN);
	assert_true(clock_monotonic() - start >= 50000000);
	fd_close(fd);
}

static void test_ping(void **state)
{
	int fd = CALL(socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	struct sockaddr_in addr = loopback(0);
	uint8_t request[12] = {8, 0, 0, 0, 0, 0, 0, 1, 'p', 'i', 'n', 'g'}, reply[50];
	assert_true(fd >= 0);
	assert_int_equal(CALL(sendto, fd, P(request), sizeof(request), 0, P(&addr), sizeof(addr)), sizeof(request));
	assert_int_equal(CALL(recvfrom, fd, P(reply), sizeof(reply), 0, 0, 0), 12);
	assert_int_equal(reply[0], 0);
	assert_memory_equal(reply + 8, "ping", 4);
	fd_close(fd);
}

static void test_unix_pair(void **state)
{
	int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}, fd[2];
	char buffer[100];
	for (int i = 0; i < 3; i++) {
		assert_int_equal(CALL(socketpair, AF_UNIX, types[i], 0, P(fd)), 0);
		send_text(fd[0], "one");
		send_text(fd[0], "two");
		assert_int_equal(CALL(recvfrom, fd[1], P(buffer), 100, 0, 0, 0), i == 0 ? 6 : 3);
		assert_int_equal(CALL(recvfrom, fd[0], P(buffer), 100, MSG_DONTWAIT, 0, 0), -EAGAIN);
		fd_close(fd[0]);
		assert_int_equal(CALL(recvfrom, fd[1], P(buffer), 100, MSG_DONTWAIT, 0, 0), i == 0 ? 0 : 3);
		assert_int_equal(send_text(fd[1], "x"), i == 1 ? -ECONNREFUSED : -EPIPE);
		fd_close(fd[1]);
	}
}

static void unix_server(const union address *addr, uint32_t len)
{
	int listener = make(AF_UNIX, SOCK_STREAM), client = make(AF_UNIX, SOCK_STREAM);
	char buffer[10];
	assert_int_equal(CALL(connect, client, P(addr), len), addr->un.sun_path[0] ? -ENOENT : -ECONNREFUSED);
	assert_int_equal(CALL(bind, listener, P(addr), len), 0);
	assert_int_equal(CALL(connect, client, P(addr), len), -ECONNREFUSED);
	assert_int_equal(CALL(listen, listener, 5), 0);
	assert_int_equal(CALL(connect, client, P(addr), len), 0);
	send_text(client, "early");
	int server = CALL(accept, listener, 0, 0);
	assert_true(server >= 0);
	assert_int_equal(CALL(recvfrom, server, P(buffer), 10, 0, 0, 0), 5);
	fd_close(client);
	fd_close(server);
	fd_close(listener);
}

static void test_unix_names(void **state)
{
	union address path = {.un = {.sun_family = AF_UNIX, .sun_path = "/run/x"}};
	union address abstract = {.un = {.sun_family = AF_UNIX, .sun_path = "\0name"}};
	unix_server(&path, sizeof(path.un));
	unix_server(&abstract, 2 + 5);
}

static void test_pass_descriptor(void **state)
{
	int fd[2], pair[2];
	struct { struct linux_cmsghdr header; int fd; int pad; } control = {{.len = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS}, -1, 0};
	char buffer[10];
	assert_int_equal(CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, P(fd)), 0);
	tcp_pair(pair);
	control.fd = pair[1];
	struct iovec vector = {.iov_base = "fd", .iov_len = 2};
	struct linux_msghdr header = {.iov = &vector, .iov_count = 1, .control = &control, .control_len = sizeof(control)};
	assert_int_equal(CALL(sendmsg, fd[0], P(&header), 0), 2);
	fd_close(pair[1]);
	control.fd = -1;
	vector.iov_base = buffer;
	vector.iov_len = 10;
	header.control_len = sizeof(control);
	assert_int_equal(CALL(recvmsg, fd[1], P(&header), 0), 2);
	assert_true(control.fd >= 0);
	send_text(control.fd, "alive");
	assert_int_equal(CALL(recvfrom, pair[0], P(buffer), 10, 0, 0, 0), 5);
	fd_close(control.fd);
	/* one that nobody takes is closed with the socket */
	control.fd = pair[0];
	vector.iov_len = 1;
	header.control_len = sizeof(control);
	assert_int_equal(CALL(sendmsg, fd[0], P(&header), 0), 1);
	fd_close(pair[0]);
	fd_close(fd[1]);
	fd_close(fd[0]);
}

static void test_netlink(void **state)
{
	int fd = CALL(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct { uint32_t len; uint16_t type, flags; uint32_t seq, pid; uint8_t family; } request = {20, 22 /* RTM_GETADDR */, 0x301, 9, 0, 0};
	static uint8_t answer[8192];
	assert_true(fd >= 0);
	assert_int_equal(CALL(sendto, fd, P(&request), 20, 0, 0, 0), 20);
	long n = CALL(recvfrom, fd, 0, 0, MSG_PEEK | MSG_TRUNC, 0, 0); /* readers ask for the length first */
	assert_int_equal(CALL(recvfrom, fd, P(answer), sizeof(answer), 0, 0, 0), n);
	assert_true(n > 40);
	uint16_t type;
	memcpy(&type, answer + 4, 2);
	assert_int_equal(type, 20 /* RTM_NEWADDR */);
	assert_int_equal(answer[16], AF_INET);
	assert_int_equal(answer[17], 8);
	fd_close(fd);
}

static void test_refusals(void **state)
{
	user_faults_catch();
	int value = 1, fd = make(AF_INET, SOCK_STREAM);
	uint32_t len = sizeof(value);
	assert_int_equal(CALL(socket, 12, SOCK_STREAM, 0), -EAFNOSUPPORT);
	assert_int_equal(CALL(socket, AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
	assert_int_equal(CALL(socket, AF_INET, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT);
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, 12345, P(&value), sizeof(value)), -ENOPROTOOPT);
	assert_int_equal(CALL(setsockopt, fd, SOL_TCP, 12345, P(&value), sizeof(value)), -ENOPROTOOPT);
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, 8, 4), -EFAULT);
	assert_int_equal(CALL(getsockopt, fd, SOL_TCP, 12345, P(&value), P(&len)), -ENOPROTOOPT);
	assert_int_equal(CALL(getsockopt, fd, 500, 1, P(&value), P(&len)), -EOPNOTSUPP);
	assert_int_equal(CALL(getsockname, fd, 0, P(&len)), -EFAULT);
	int both[2];
	assert_int_equal(CALL(socketpair, AF_INET, SOCK_STREAM, IPPROTO_TCP, P(both)), -EOPNOTSUPP);
	assert_int_equal(CALL(socketpair, AF_INET, SOCK_STREAM, IPPROTO_UDP, P(both)), -EPROTONOSUPPORT);
	assert_int_equal(CALL(bind, 999, 0, 0), -EBADF);
	assert_int_equal(CALL(accept, fd, 0, 0), -EINVAL);
	assert_int_equal(send_text(fd, "x"), -EPIPE); /* as Linux: never connected */
	fd_close(fd);
}

static void test_idle_is_quiet(void **state)
{
	int pair[2];
	tcp_pair(pair);
	for (int i = 0; i < 60; i++) {
		test_pump();
		test_clock_offset += NS_PER_S;
	}
	test_pump();
	assert_int_equal(test_timers_armed(), 0); /* an open but silent connection needs no timer */
	send_text(pair[0], "still there");
	test_pump();
	char buffer[20];
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 20, 0, 0, 0), 11);
	close_pair(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_talks), cmocka_unit_test(test_tcp_names), cmocka_unit_test(test_tcp_bulk),
		cmocka_unit_test(test_tcp_window_fills), cmocka_unit_test(test_tcp_end), cmocka_unit_test(test_tcp_reset),
		cmocka_unit_test(test_tcp_refused), cmocka_unit_test(test_tcp_nonblocking_connect), cmocka_unit_test(test_tcp_port_in_use),
		cmocka_unit_test(test_tcp_v6), cmocka_unit_test(test_many_connections), cmocka_unit_test(test_backlog),
		cmocka_unit_test(test_vector), cmocka_unit_test(test_udp), cmocka_unit_test(test_timeout_option), cmocka_unit_test(test_ping),
		cmocka_unit_test(test_unix_pair), cmocka_unit_test(test_unix_names), cmocka_unit_test(test_pass_descriptor),
		cmocka_unit_test(test_netlink), cmocka_unit_test(test_refusals), cmocka_unit_test(test_idle_is_quiet),
	};
	net_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
