/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux does over the loopback and lwIP does not: delivery within the call, shared ports, deep backlogs, control messages. */
#include "tests/unit/socket_calls.h"

#include "libos/net/net.h"

/* More than lwIP can count. */
static void test_deep_backlog(void **state)
{
	enum { N = 600 };
	static int fd[N];
	struct sockaddr_in addr = loopback(7410);
	int listener = listen_on(7410, 1024), connected = 0, accepted = 0, child;
	fd_get(listener)->flags |= O_NONBLOCK;
	for (int i = 0; i < N; i++) {
		fd[i] = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
		assert_int_equal(CALL(connect, fd[i], P(&addr), sizeof(addr)), -EINPROGRESS);
		connected += (seen_now(fd[i]) & EPOLLOUT) != 0;
	}
	assert_int_equal(connected, N);
	while ((child = CALL(accept, listener, 0, 0)) >= 0) {
		fd_close(child);
		accepted++;
	}
	assert_int_equal(accepted, N);
	for (int i = 0; i < N; i++)
		fd_close(fd[i]);
	fd_close(listener);
}

static int bind_shared(int type, uint16_t port, int option)
{
	struct sockaddr_in addr = loopback(port);
	int fd = make(AF_INET, type | SOCK_NONBLOCK), one = 1;
	if (option)
		assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, option, P(&one), sizeof(one)), 0);
	int err = CALL(bind, fd, P(&addr), sizeof(addr));
	if (err == 0)
		return fd;
	fd_close(fd);
	return err;
}

static void test_shared_ports(void **state)
{
	int fd[3], used[3] = {0};
	for (int i = 0; i < 3; i++) {
		fd[i] = bind_shared(SOCK_STREAM, 7420, SO_REUSEPORT);
		assert_true(fd[i] >= 0);
		assert_int_equal(CALL(listen, fd[i], 10), 0);
	}
	assert_int_equal(bind_shared(SOCK_STREAM, 7420, 0), -EADDRINUSE);
	assert_int_equal(bind_shared(SOCK_STREAM, 7420, SO_REUSEADDR), -EADDRINUSE);
	for (int n = 0; n < 100; n++) {
		int client = connect_to(7420), got = 0;
		for (int i = 0; i < 3; i++) {
			int child = CALL(accept, fd[i], 0, 0);
			if (child < 0)
				continue;
			fd_close(child);
			used[i]++;
			got++;
		}
		assert_int_equal(got, 1);
		fd_close(client);
	}
	assert_true(used[0] && used[1] && used[2]);
	for (int i = 0; i < 3; i++)
		fd_close(fd[i]);
	/* with SO_REUSEADDR two may bind, one may listen */
	fd[0] = bind_shared(SOCK_STREAM, 7421, SO_REUSEADDR);
	fd[1] = bind_shared(SOCK_STREAM, 7421, SO_REUSEADDR);
	assert_true(fd[0] >= 0 && fd[1] >= 0);
	assert_int_equal(CALL(listen, fd[0], 1), 0);
	assert_int_equal(CALL(listen, fd[1], 1), -EADDRINUSE);
	assert_int_equal(bind_shared(SOCK_STREAM, 7421, SO_REUSEADDR), -EADDRINUSE);
	fd_close(fd[0]);
	fd_close(fd[1]);
	fd[0] = bind_shared(SOCK_DGRAM, 7422, SO_REUSEADDR);
	assert_int_equal(bind_shared(SOCK_DGRAM, 7422, SO_REUSEPORT), -EADDRINUSE);
	fd_close(fd[0]);
}

static void test_shut_listener(void **state)
{
	int listener = listen_on(7430, 5), waiting = connect_to(7430), fd = make(AF_INET, SOCK_STREAM);
	struct sockaddr_in addr = loopback(7430);
	assert_int_equal(CALL(shutdown, listener, SHUT_WR), 0);
	assert_int_equal(CALL(shutdown, listener, SHUT_RD), 0);
	assert_int_equal(CALL(accept, listener, 0, 0), -EINVAL);
	assert_true(seen_now(waiting) & EPOLLERR);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), -ECONNREFUSED);
	assert_int_equal(bind_shared(SOCK_STREAM, 7430, 0), -EADDRINUSE); /* it still has its port */
	assert_int_equal(CALL(listen, listener, 5), 0);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), 0);
	fd_close(waiting);
	fd_close(listener);
	assert_true(seen_now(fd) & EPOLLERR); /* what was never accepted is reset */
	fd_close(fd);
}

/* What came beside a message, of this type and size; NULL: nothing. */
static const void *beside(const struct linux_msghdr *header, int level, int type, size_t size)
{
	const struct linux_cmsghdr *c;
	for (size_t at = 0; at < header->control_len; at += ALIGN_UP(c->len, 8)) {
		c = (const void *)((const char *)header->control + at);
		if (c->level == level && c->type == type && c->len == sizeof(*c) + size)
			return c + 1;
	}
	return NULL;
}

static void test_ping_sees_answers_only(void **state)
{
	int fd = CALL(socket, AF_INET, SOCK_RAW, IPPROTO_ICMP), one = 1;
	uint32_t all_but_replies = ~(1u << 0), filter = 0, len = sizeof(filter);
	uint8_t request[12] = {8, 0, 0, 0, 0, 7, 0, 1, 'r', 'a', 'w', '!'}, reply[100], control[200];
	struct sockaddr_in addr = loopback(0);
	struct iovec vector = {.iov_base = reply, .iov_len = sizeof(reply)};
	struct linux_msghdr header = {.iov = &vector, .iov_count = 1, .control = control, .control_len = sizeof(control)};
	assert_int_equal(CALL(setsockopt, fd, SOL_RAW, 1, P(&all_but_replies), 4), 0);
	assert_int_equal(CALL(getsockopt, fd, SOL_RAW, 1, P(&filter), P(&len)), 0);
	assert_int_equal(filter, all_but_replies);
	assert_int_equal(CALL(setsockopt, fd, SOL_RAW, 99, P(&one), 4), -ENOPROTOOPT);
	assert_int_equal(CALL(setsockopt, fd, SOL_IP, 12 /* IP_RECVTTL */, P(&one), 4), 0);
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_TIMESTAMP_OLD, P(&one), 4), 0);
	uint32_t sum = 0;
	for (unsigned i = 0; i < sizeof(request); i += 2)
		sum += request[i] << 8 | request[i + 1];
	sum = ~((sum >> 16) + (sum & 0xffff));
	request[2] = sum >> 8;
	request[3] = sum;
	assert_int_equal(CALL(sendto, fd, P(request), sizeof(request), 0, P(&addr), sizeof(addr)), sizeof(request));
	assert_int_equal(CALL(recvmsg, fd, P(&header), MSG_DONTWAIT), 20 + sizeof(request));
	assert_int_equal(reply[20], 0); /* not the request, which was there first */
	assert_memory_equal(reply + 28, "raw!", 4);
	assert_non_null(beside(&header, SOL_IP, 2 /* IP_TTL */, 4));
	assert_non_null(beside(&header, SOL_SOCKET, SO_TIMESTAMP_OLD, 16));
	assert_int_equal(CALL(recvfrom, fd, P(reply), sizeof(reply), MSG_DONTWAIT, 0, 0), -EAGAIN);
	fd_close(fd);
}

static void test_v6_messages(void **state)
{
	int fd = make(AF_INET6, SOCK_DGRAM), v4 = make(AF_INET, SOCK_DGRAM), one = 1, hops = 9, got;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = __builtin_bswap16(7620)}, to = any;
	struct sockaddr_in to4 = loopback(7620);
	char buffer[10], control[200];
	struct iovec vector = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct linux_msghdr header = {.iov = &vector, .iov_count = 1, .control = control, .control_len = sizeof(control)};
	const struct linux_in6_pktinfo *info;
	to.sin6_addr.s6_addr[15] = 1;
	assert_int_equal(CALL(bind, fd, P(&any), sizeof(any)), 0);
	for (int option = 49; option <= 66; option += option == 49 ? 2 : 15) /* IPV6_RECVPKTINFO, RECVHOPLIMIT, RECVTCLASS */
		assert_int_equal(CALL(setsockopt, fd, SOL_IPV6, option, P(&one), 4), 0);
	assert_int_equal(CALL(setsockopt, fd, SOL_IPV6, 16 /* IPV6_UNICAST_HOPS */, P(&hops), 4), 0);
	assert_int_equal(CALL(sendto, fd, P("six"), 3, 0, P(&to), sizeof(to)), 3);
	assert_int_equal(CALL(recvmsg, fd, P(&header), MSG_DONTWAIT), 3);
	info = beside(&header, SOL_IPV6, 50 /* IPV6_PKTINFO */, sizeof(*info));
	assert_true(info && info->interface == 1);
	assert_memory_equal(&info->addr, &to.sin6_addr, 16);
	assert_non_null(beside(&header, SOL_IPV6, 67 /* IPV6_TCLASS */, 4));
	memcpy(&got, beside(&header, SOL_IPV6, 52 /* IPV6_HOPLIMIT */, 4), 4);
	assert_int_equal(got, 9);
	/* what came by IPv4 has an address of IPv4 in it */
	header.control_len = sizeof(control);
	vector = (struct iovec){.iov_base = buffer, .iov_len = sizeof(buffer)};
	assert_int_equal(CALL(sendto, v4, P("four"), 4, 0, P(&to4), sizeof(to4)), 4);
	assert_int_equal(CALL(recvmsg, fd, P(&header), MSG_DONTWAIT), 4);
	info = beside(&header, SOL_IPV6, 50, sizeof(*info));
	assert_true(info && info->addr.s6_addr[10] == 0xff && info->addr.s6_addr[12] == 127);
	fd_close(fd);
	fd_close(v4);
}

/* What goes over the loopback is there when the call returns: nobody polls here. */
static void test_loopback_now(void **state)
{
	int pair[2], n = 0, udp = make(AF_INET, SOCK_DGRAM);
	struct sockaddr_in addr = loopback(7610);
	char buffer[10];
	tcp_pair(pair);
	assert_int_equal(send_text(pair[0], "now"), 3);
	assert_true(seen_now(pair[1]) & EPOLLIN);
	assert_int_equal(fd_get(pair[1])->ops->ioctl(fd_get(pair[1]), LINUX_FIONREAD, P(&n)), 0);
	assert_int_equal(n, 3);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, MSG_DONTWAIT, 0, 0), 3);
	assert_int_equal(CALL(shutdown, pair[0], SHUT_WR), 0);
	assert_true(seen_now(pair[1]) & EPOLLRDHUP);
	fd_close(pair[1]);
	assert_true(seen_now(pair[0]) & EPOLLHUP);
	fd_close(pair[0]);
	assert_int_equal(CALL(bind, udp, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(sendto, udp, P("x"), 1, 0, P(&addr), sizeof(addr)), 1);
	assert_true(seen_now(udp) & EPOLLIN);
	assert_int_equal(fd_get(udp)->ops->ioctl(fd_get(udp), LINUX_FIONREAD, P(&n)), 0);
	assert_int_equal(n, 1);
	fd_close(udp);
}

/* A small segment behind another one goes at once: the first was acknowledged when it was read. */
static void test_quick_acknowledgements(void **state)
{
	int pair[2];
	char buffer[10];
	tcp_pair(pair);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send_text(pair[0], "a"), 1);
		assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 1, MSG_DONTWAIT, 0, 0), 1);
		assert_int_equal(CALL(sendto, pair[0], P("b"), 1, MSG_MORE, 0, 0), 1);
		assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 1, MSG_DONTWAIT, 0, 0), -EAGAIN);
		assert_int_equal(send_text(pair[0], "c"), 1);
		assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, MSG_DONTWAIT, 0, 0), 2);
	}
	close_pair(pair);
}

static void test_datagram_in_parts(void **state)
{
	static char most[65507];
	int to = make(AF_INET, SOCK_DGRAM), fd = make(AF_INET, SOCK_DGRAM);
	struct sockaddr_in addr = loopback(7630);
	char buffer[20];
	assert_int_equal(CALL(bind, to, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(sendto, fd, P("one"), 3, MSG_MORE, P(&addr), sizeof(addr)), 3);
	assert_int_equal(CALL(recvfrom, to, P(buffer), 20, MSG_DONTWAIT, 0, 0), -EAGAIN);
	assert_int_equal(send_text(fd, "two"), 3);
	assert_int_equal(CALL(recvfrom, to, P(buffer), 20, MSG_DONTWAIT, 0, 0), 6);
	assert_memory_equal(buffer, "onetwo", 6);
	/* what grows too large is given up as a whole */
	assert_int_equal(CALL(sendto, fd, P("x"), 1, MSG_MORE, P(&addr), sizeof(addr)), 1);
	assert_int_equal(CALL(sendto, fd, P(most), sizeof(most), 0, 0, 0), -EMSGSIZE);
	assert_int_equal(send_text(fd, "x"), -EDESTADDRREQ);
	assert_int_equal(CALL(sendto, fd, P("held"), 4, MSG_MORE, P(&addr), sizeof(addr)), 4);
	fd_close(fd);
	assert_int_equal(CALL(recvfrom, to, P(buffer), 20, MSG_DONTWAIT, 0, 0), -EAGAIN);
	fd_close(to);
}

static void test_recvmmsg_timeout(void **state)
{
	int fd = make(AF_INET, SOCK_DGRAM);
	struct linux_mmsghdr message = {0};
	struct timespec bad[] = {{-1, 0}, {1, 2000000000}, {0, -1}};
	for (int i = 0; i < 3; i++)
		assert_int_equal(CALL(recvmmsg, fd, P(&message), 1, 0, P(&bad[i])), -EINVAL);
	fd_close(fd);
}

#define TIME_WAIT_STATE 6 /* as Linux numbers it */

struct waiting {
	unsigned count;
	uint16_t remote_port; /* of the one that came to it last, which is told first */
};

static void count_time_wait(void *context, const struct net_endpoint *endpoint)
{
	struct waiting *waiting = context;
	if (endpoint->state != TIME_WAIT_STATE || endpoint->local_port != 7440)
		return;
	if (!waiting->count++)
		waiting->remote_port = endpoint->remote_port;
}

/* Each new connection looks at all of them, so there are not more because many end between two ticks; the oldest go. */
static void test_time_wait_is_bounded(void **state)
{
	enum { N = 300, MOST = 128 };
	int listener = listen_on(7440, 5);
	uint16_t last = 0;
	char byte;
	for (int i = 0; i < N; i++) {
		int client = connect_to(7440), child = CALL(accept, listener, 0, 0);
		assert_true(child >= 0);
		last = port_of(client);
		fd_close(child);
		assert_int_equal(CALL(recvfrom, client, P(&byte), 1, 0, 0, 0), 0);
		fd_close(client);
	}
	struct waiting waiting = {0};
	net_each_endpoint(NET_TCP, count_time_wait, &waiting);
	assert_in_range(waiting.count, MOST / 2, MOST + 1); /* others may be among those that are kept */
	assert_int_equal(waiting.remote_port, last);
	fd_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deep_backlog),
		cmocka_unit_test(test_shared_ports),
		cmocka_unit_test(test_shut_listener),
		cmocka_unit_test(test_ping_sees_answers_only),
		cmocka_unit_test(test_v6_messages),
		cmocka_unit_test(test_loopback_now),
		cmocka_unit_test(test_quick_acknowledgements),
		cmocka_unit_test(test_datagram_in_parts),
		cmocka_unit_test(test_recvmmsg_timeout),
		cmocka_unit_test(test_time_wait_is_bounded),
	};
	net_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
