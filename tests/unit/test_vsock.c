/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device: how connections begin, and credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/vsock_world.h"

/* ---- how connections begin ---- */

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };

	assert_int_equal(f->device->ops->configuration(f->device, space), 8);
	assert_int_equal(space[0], CID);
	assert_int_equal(f->device->ops->offer(f->device) & ~1ull, 0);
}

static void test_not_a_listener(void **state)
{
	static const int kinds[] = { SOCK_STREAM, SOCK_DGRAM };
	const char *error;

	for (unsigned i = 0; i < 2; i++) {
		struct guest guest;
		struct device_config config = { .type = LV_DEV_VSOCK, .vsock = { .listener = socket(AF_UNIX, kinds[i], 0), .cid = CID } };

		guest_init(&guest);
		assert_int_equal(devices_add(&guest.devices, &config, &error), -EINVAL);
		assert_string_equal(error, "vsock device (it wants a listening Unix stream socket)");
		guest_fini(&guest);
	}
}

static void test_from_host(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	client_says(fd, "hello guest");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->header.len, 11);
	assert_memory_equal(f->payload, "hello guest", 11);
	guest_says(f, VIRTIO_VSOCK_OP_RW, "hello host", 10);
	assert_true(client_gets(f, fd, "hello host"));
	close(fd);
}

static void test_line_in_pieces(void **state)
{
	struct fixture *f = *state;
	int fd = unix_socket("vsock", false);

	post_buffers(f, 10);
	client_says(fd, "conn");
	assert_int_equal(guest_got(f), 0);
	client_says(fd, "ect 12");
	assert_int_equal(guest_got(f), 0);
	client_says(fd, "34\nand data at once");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(guest_got(f), 0);
	f->host_port = f->header.src_port;
	guest_says(f, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(f->payload, "and data at once", 16);
	close(fd);
}

static void test_bad_lines(void **state)
{
	static const char *const bad[] = { "\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT 12x\n", "CONNECT -1\n",
					   "CONNECT 4294967296\n", "CONNECT 4294967295\n", "CONNECT 99999999999999999999\n",
					   "GET / HTTP/1.1\r\n", "CONNECT 00000000000000000000000000000000001\n", "CONNECT 1 \n" };
	struct fixture *f = *state;

	post_buffers(f, 10);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = unix_socket("vsock", false);
		char byte;

		client_says(fd, bad[i]);
		assert_int_equal(guest_got(f), 0);
		/* with bytes unread the end is a reset */
		assert_true(recv(fd, &byte, 1, 0) <= 0 && errno != EAGAIN);
		close(fd);
	}
	assert_int_equal(((struct vsock *)f->device)->count, 0);
}

static void test_guest_refuses(void **state)
{
	struct fixture *f = *state;
	int fd = unix_socket("vsock", false);

	post_buffers(f, 10);
	client_says(fd, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	f->host_port = f->header.src_port;
	guest_says(f, VIRTIO_VSOCK_OP_RST, NULL, 0);
	assert_true(client_ended(f, fd));
	close(fd);
}

static void test_client_gives_up(void **state)
{
	struct fixture *f = *state;
	int fd = unix_socket("vsock", false);

	post_buffers(f, 10);
	client_says(fd, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	f->host_port = f->header.src_port;
	close(fd);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	guest_says(f, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_int_equal(((struct vsock *)f->device)->count, 0);
}

static void test_from_guest(void **state)
{
	struct fixture *f = *state;
	int listener, fd = open_from_guest(f, &listener);

	guest_says(f, VIRTIO_VSOCK_OP_RW, "ping", 4);
	assert_true(client_gets(f, fd, "ping"));
	client_says(fd, "pong");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(f->payload, "pong", 4);
	close(fd);
	close(listener);
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;
	int listener = unix_socket("vsock_53", true);

	close(listener); /* its name stays */
	post_buffers(f, 10);
	for (f->host_port = 52; f->host_port <= 53; f->host_port++) {
		guest_says(f, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
		assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
		assert_int_equal(f->header.src_port, f->host_port);
	}
}

static void test_outgoing_forbidden(void **state)
{
	struct fixture *f = *state;
	int listener = unix_socket("vsock_52", true);

	((struct vsock *)f->device)->outgoing = false;
	post_buffers(f, 10);
	f->host_port = 52;
	guest_says(f, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	close(listener);
}

static void test_table_full(void **state)
{
	struct fixture *f = *state;
	struct vsock *vsock = (struct vsock *)f->device;
	int listener = unix_socket("vsock_52", true), client[VSOCK_CONNECTIONS];

	f->host_port = 52;
	for (unsigned i = 0; i < VSOCK_BY_GUEST + 5; i++) {
		struct virtio_vsock_hdr header = packet(f, VIRTIO_VSOCK_OP_REQUEST, 0);

		post_buffers(f, 1);
		header.src_port = 5000 + i;
		post_packet(f, &header, NULL, 0);
		assert_int_equal(guest_got(f), i < VSOCK_BY_GUEST ? VIRTIO_VSOCK_OP_RESPONSE : VIRTIO_VSOCK_OP_RST);
	}
	for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
		client[i] = unix_socket("vsock", false);
	for (unsigned i = 0; i < 20; i++)
		guest_settle(&f->guest);
	assert_int_equal(vsock->count, VSOCK_CONNECTIONS);
	assert_int_equal(vsock->listener.armed, 0);
	close(client[0]);
	guest_settle(&f->guest);
	assert_int_equal(vsock->count, VSOCK_CONNECTIONS); /* the next one from the backlog */
	for (unsigned i = 1; i < VSOCK_CONNECTIONS; i++)
		close(client[i]);
	close(listener);
}

static void test_patience(void **state)
{
	struct fixture *f = *state;
	int idle = unix_socket("vsock", false), asking = unix_socket("vsock", false);

	post_buffers(f, 10);
	client_says(asking, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	for (struct vsock_conn *conn = only_conn(f); conn; conn = conn->next) {
		assert_true(conn->deadline > 0);
		conn->deadline = 1;
	}
	vsock_alarm(f->device);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_true(client_ended(f, idle));
	assert_true(client_ended(f, asking));
	assert_null(only_conn(f));
	close(idle);
	close(asking);
}

/* The guest hears that its packets were taken with the next one for it, or when many were, or after a while. */
static void test_news_of_sent(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);
	unsigned interrupts;

	guest_says(f, VIRTIO_VSOCK_OP_RW, "ping", 4);
	assert_true(client_gets(f, fd, "ping"));
	interrupts = f->guest.interrupts;
	client_says(fd, "pong");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->tx.used->idx, 2);
	assert_true(f->guest.interrupts > interrupts);

	guest_says(f, VIRTIO_VSOCK_OP_RW, "ping", 4);
	for (unsigned i = 0; i < 100 && f->tx.used->idx == 2; i++)
		loop_once(&f->guest.loop, 100);
	assert_int_equal(f->tx.used->idx, 3);

	for (unsigned i = 0; i < 64; i++)
		guest_says(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	assert_true(f->tx.used->idx > 3);
	close(fd);
}

/* ---- credit ---- */

static void test_credit_to_guest(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->peer_room = 10;
	fd = open_from_host(f);
	client_says(fd, "0123456789abcdefghij!");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->header.len, 10);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	assert_int_equal(guest_got(f), 0);
	f->forwarded = 7;
	guest_says(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->header.len, 7);
	assert_memory_equal(f->payload, "abcdefg", 7);
	f->forwarded = 17;
	f->peer_room = 1000;
	guest_says(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->header.len, 4);
	/* impossible counters leave no room, and nothing worse */
	f->forwarded = 5000;
	guest_says(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
	client_says(fd, "more");
	assert_int_equal(guest_got(f), 0);
	close(fd);
}

static void test_credit_asked_for(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	guest_says(f, VIRTIO_VSOCK_OP_RW, "12345", 5);
	guest_says(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(f->header.fwd_cnt, 5);
	close(fd);
}

/* A host that does not read costs a bounded buffer; when it reads again everything arrives, in order. */
static void test_slow_host(void **state)
{
	struct fixture *f = *state;
	static uint8_t out[65536], in[65536];
	int fd = open_from_host(f);
	uint32_t room = f->header.buf_alloc, fwd = 0, sent = 0, got = 0;

	while (sent - fwd + 8192 <= room) {
		unsigned op;

		for (unsigned i = 0; i < 8192; i++)
			out[i] = (sent + i) * 7 >> 3;
		guest_says(f, VIRTIO_VSOCK_OP_RW, out, 8192);
		sent += 8192;
		while ((op = guest_got(f))) {
			assert_int_equal(op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			fwd = f->header.fwd_cnt;
		}
		assert_true(sent < 8 << 20);
	}
	assert_true(sent > room); /* the socket's own buffer took some */
	while (got < sent) {
		ssize_t n = recv(fd, in, sizeof(in), 0);

		guest_settle(&f->guest);
		assert_true(n > 0 || got < sent);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(in[i], (uint8_t)((got + i) * 7 >> 3));
		got += n > 0 ? n : 0;
	}
	while (guest_got(f))
		fwd = f->header.fwd_cnt;
	assert_true(sent - fwd < room);
	assert_null(only_conn(f)->rest.bytes);
	close(fd);
}

static void test_beyond_credit(void **state)
{
	struct fixture *f = *state;
	static uint8_t out[65536];
	int fd = open_from_host(f);
	unsigned op = 0;

	for (unsigned i = 0; i < 100 && op != VIRTIO_VSOCK_OP_RST; i++) {
		guest_says(f, VIRTIO_VSOCK_OP_RW, out, sizeof(out));
		while (op != VIRTIO_VSOCK_OP_RST && (op = guest_got(f)))
			;
	}
	assert_int_equal(op, VIRTIO_VSOCK_OP_RST);
	assert_null(only_conn(f));
	assert_false(device_broken(f->device));
	close(fd);
}

static void test_no_buffers(void **state)
{
	struct fixture *f = *state;
	int fd = unix_socket("vsock", false);
	static char text[10000];
	uint32_t got = 0;

	memset(text, 'x', sizeof(text) - 1);
	client_says(fd, "CONNECT 1234\n");
	guest_settle(&f->guest);
	post_buffers(f, 1);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	f->host_port = f->header.src_port;
	guest_says(f, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
	client_says(fd, text);
	guest_settle(&f->guest);
	assert_int_equal(only_conn(f)->watch.armed & EPOLLIN, 0); /* no busy loop */
	while (got < sizeof(text) - 1) {
		post_buffers(f, 1);
		assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
		got += f->header.len;
	}
	assert_int_equal(got, sizeof(text) - 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_configuration), VSOCK_TEST(test_not_a_listener), VSOCK_TEST(test_from_host),
		VSOCK_TEST(test_line_in_pieces), VSOCK_TEST(test_bad_lines), VSOCK_TEST(test_guest_refuses),
		VSOCK_TEST(test_client_gives_up), VSOCK_TEST(test_from_guest), VSOCK_TEST(test_nobody_listens),
		VSOCK_TEST(test_outgoing_forbidden), VSOCK_TEST(test_table_full), VSOCK_TEST(test_patience),
		VSOCK_TEST(test_news_of_sent), VSOCK_TEST(test_credit_to_guest), VSOCK_TEST(test_credit_asked_for),
		VSOCK_TEST(test_slow_host), VSOCK_TEST(test_beyond_credit), VSOCK_TEST(test_no_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
