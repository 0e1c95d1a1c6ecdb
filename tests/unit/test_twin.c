/* SPDX-License-Identifier: Apache-2.0 */
/* libos' network with a device that takes nothing: the addresses of the device page, also of a VM that has become another one. */
#include "tests/unit/socket_calls.h"

#include "libos/net/net.h"

extern struct lv_device_page test_device_page;

#define NETWORK 0x0a4d0000 /* 10.77.0.0 */

static struct lv_net_config *page(void)
{
	return &test_device_page.device[0].config.net;
}

static void set_page(uint8_t last)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, last };
	memcpy(page()->mac, mac, sizeof(mac));
	page()->ip = __builtin_bswap32(NETWORK | last);
	page()->netmask = __builtin_bswap32(0xffffff00);
	page()->gateway = __builtin_bswap32(NETWORK | 1);
	page()->mtu = 1400;
}

static long bind_to(uint8_t last)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = __builtin_bswap32(NETWORK | last) };
	int fd = make(AF_INET, SOCK_DGRAM);
	long err = CALL(bind, fd, P(&addr), sizeof(addr));
	fd_close(fd);
	return err;
}

static uint8_t last_of_mac(void)
{
	struct linux_ifreq req = { .name = "eth0" };
	int fd = make(AF_INET, SOCK_DGRAM);
	assert_int_equal(fd_get(fd)->ops->ioctl(fd_get(fd), SIOCGIFHWADDR, P(&req)), 0);
	fd_close(fd);
	return req.hardware.data[5];
}

static void test_another_vm(void **state)
{
	assert_int_equal(bind_to(2), 0);
	assert_int_equal(bind_to(3), -EADDRNOTAVAIL);
	assert_int_equal(last_of_mac(), 2);
	set_page(3);
	test_pump();
	assert_int_equal(bind_to(2), 0); /* nobody said that this is another VM */
	test_device_page.generation++;
	generation_look();
	test_pump();
	assert_int_equal(bind_to(3), 0);
	assert_int_equal(bind_to(2), -EADDRNOTAVAIL);
	assert_int_equal(last_of_mac(), 3);
}

/* A connection from an address that is not there any more ends; one over the loopback goes on. */
static void test_connections_of_another_vm(void **state)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = 80, .sin_addr.s_addr = __builtin_bswap32(NETWORK | 9) };
	int pair[2], fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	char buffer[10];
	tcp_pair(pair);
	assert_int_equal(CALL(connect, fd, P(&peer), sizeof(peer)), -EINPROGRESS);
	assert_false(seen_now(fd) & EPOLLERR);
	set_page(4);
	test_device_page.generation++;
	generation_look();
	test_pump();
	assert_true(seen_now(fd) & (EPOLLERR | EPOLLHUP));
	assert_int_equal(send_text(pair[0], "still"), 5);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, MSG_DONTWAIT, 0, 0), 5);
	fd_close(fd);
	close_pair(pair);
}

static long error_of(int fd)
{
	int error = 0;
	uint32_t len = sizeof(error);
	assert_int_equal(CALL(getsockopt, fd, SOL_SOCKET, SO_ERROR, P(&error), P(&len)), 0);
	return error;
}

/* Nobody is at the other end any more: connections end with ECONNRESET, but for those within; who listens goes on, and so do datagrams. */
static void test_connections_reset(void **state)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = 80, .sin_addr.s_addr = __builtin_bswap32(NETWORK | 9) };
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = __builtin_bswap16(8080), .sin_addr.s_addr = page()->ip };
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = __builtin_bswap16(5353) };
	int pair[2], fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), listener = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), udp = make(AF_INET, SOCK_DGRAM);
	char buffer[10];
	tcp_pair(pair);
	assert_int_equal(CALL(bind, udp, P(&any), sizeof(any)), 0);
	assert_int_equal(CALL(bind, listener, P(&here), sizeof(here)), 0);
	assert_int_equal(CALL(listen, listener, 5), 0);
	assert_int_equal(CALL(connect, fd, P(&peer), sizeof(peer)), -EINPROGRESS);
	test_device_page.generation++; /* the same VM, and its connections are still there */
	test_device_page.restored = 0;
	generation_look();
	test_pump();
	assert_false(seen_now(fd) & EPOLLERR);
	test_device_page.generation++;
	test_device_page.restored = LV_RESTORED_RESET_CONNECTIONS;
	generation_look();
	test_pump();
	assert_true(seen_now(fd) & EPOLLERR);
	assert_int_equal(error_of(fd), ECONNRESET);
	assert_int_equal(send_text(pair[0], "still"), 5);
	assert_int_equal(CALL(recvfrom, pair[1], P(buffer), 10, MSG_DONTWAIT, 0, 0), 5);
	assert_int_equal(seen_now(listener) | seen_now(udp), EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
	fd_close(fd);
	fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	assert_int_equal(CALL(connect, fd, P(&here), sizeof(here)), -EINPROGRESS);
	test_pump();
	assert_true(seen_now(listener) & EPOLLIN);
	test_device_page.generation++;
	test_device_page.restored = LV_RESTORED_CLONE;
	generation_look();
	test_pump();
	assert_true(seen_now(listener) & EPOLLIN); /* one within */
	test_device_page.restored = 0;
	fd_close(fd);
	fd_close(listener);
	fd_close(udp);
	close_pair(pair);
}

/* Fragments are forbidden: what is too large for the wire is refused. */
static void test_no_fragments(void **state)
{
	static char data[1500];
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = 80, .sin_addr.s_addr = __builtin_bswap32(NETWORK | 9) };
	int fd = make(AF_INET, SOCK_DGRAM), only = 2;
	assert_int_not_equal(CALL(sendto, fd, P(data), 1373, MSG_DONTWAIT, P(&peer), sizeof(peer)), -EMSGSIZE);
	assert_int_equal(CALL(setsockopt, fd, SOL_IP, 10 /* IP_MTU_DISCOVER */, P(&only), sizeof(only)), 0);
	assert_int_equal(CALL(sendto, fd, P(data), 1373, MSG_DONTWAIT, P(&peer), sizeof(peer)), -EMSGSIZE);
	assert_int_not_equal(CALL(sendto, fd, P(data), 1372, MSG_DONTWAIT, P(&peer), sizeof(peer)), -EMSGSIZE);
	fd_close(fd);
}

static void test_not_routed(void **state)
{
	struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = 80, .sin_addr.s_addr = __builtin_bswap32(0x01020304) };
	int fd = make(AF_INET, SOCK_DGRAM), one = 1;
	assert_int_equal(CALL(connect, fd, P(&far), sizeof(far)), 0);
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_DONTROUTE, P(&one), sizeof(one)), 0);
	assert_int_equal(CALL(connect, fd, P(&far), sizeof(far)), -ENETUNREACH);
	fd_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_another_vm),
		cmocka_unit_test(test_connections_of_another_vm),
		cmocka_unit_test(test_connections_reset),
		cmocka_unit_test(test_no_fragments),
		cmocka_unit_test(test_not_routed),
	};
	test_device_page.device_count = 1;
	test_device_page.device[0].type = LV_DEV_NET;
	set_page(2);
	net_init();
	generation_look();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
