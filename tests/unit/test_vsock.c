/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device between the test as the guest's driver and the test as programs of the host. */
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
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/vsock.h"

#define BUFFER 4096
#define HEADER 44
#define CID 3
#define PORT 1234 /* of the guest */
#define ROOM (1 << 20)

struct fixture {
	struct guest guest;
	struct device *device;
	struct driver rx, tx;
	gpa_t buffer, send;
	char dir[32];
	/* the packet that the guest got last */
	struct virtio_vsock_hdr header;
	uint8_t payload[BUFFER];
	uint32_t host_port, peer_room, forwarded; /* of the connection that is open */
};

static int unix_socket(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	if (listening) {
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(listen(fd, 300), 0);
	} else {
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_VSOCK, .vsock = { .outgoing = true, .cid = CID } };

	strcpy(f->dir, "/tmp/lv-vsock-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	config.vsock.listener = unix_socket("vsock", true);
	guest_init(&f->guest);
	f->device = guest_negotiate_device(&f->guest, &config, 0);
	assert_non_null(f->device);
	driver_init(&f->rx, &f->guest, &f->guest.ring[VSOCK_RX]);
	driver_init(&f->tx, &f->guest, &f->guest.ring[VSOCK_TX]);
	f->buffer = guest_alloc(&f->guest, 256 * BUFFER, 4096);
	f->send = guest_alloc(&f->guest, 1 << 20, 4096);
	f->peer_room = ROOM;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	guest_fini(&f->guest);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void post_buffers(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		gpa_t at = f->buffer + f->rx.next_desc / 2 * BUFFER;
		struct part part[] = { { at, HEADER, true }, { at + HEADER, BUFFER - HEADER, true } };

		driver_post(&f->rx, part, 2);
	}
	guest_ring(&f->guest, f->device);
}

static struct virtio_vsock_hdr packet(struct fixture *f, unsigned op, uint32_t len)
{
	return (struct virtio_vsock_hdr){ .src_cid = CID, .dst_cid = VSOCK_HOST_CID, .src_port = PORT, .dst_port = f->host_port,
					  .len = len, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = op, .buf_alloc = f->peer_room,
					  .fwd_cnt = f->forwarded };
}

static void post_packet(struct fixture *f, const struct virtio_vsock_hdr *header, const void *payload, uint32_t len)
{
	struct part part[] = { { f->send, HEADER, false }, { f->send + 64, len, false } };

	memcpy(guest_ptr(&f->guest, f->send), header, HEADER);
	if (len)
		memcpy(guest_ptr(&f->guest, f->send + 64), payload, len);
	driver_post(&f->tx, part, len ? 2 : 1);
	guest_ring(&f->guest, f->device);
}

static void guest_says(struct fixture *f, unsigned op, const void *payload, uint32_t len)
{
	struct virtio_vsock_hdr header = packet(f, op, len);

	post_packet(f, &header, payload, len);
}

static void guest_shuts(struct fixture *f, uint32_t flags)
{
	struct virtio_vsock_hdr header = packet(f, VIRTIO_VSOCK_OP_SHUTDOWN, 0);

	header.flags = flags;
	post_packet(f, &header, NULL, 0);
}

/* The next packet that the guest got: its kind, or 0. */
static unsigned guest_got(struct fixture *f)
{
	uint32_t head, len;
	uint8_t *at;

	guest_settle(&f->guest);
	if (!driver_used(&f->rx, &head, &len))
		return 0;
	at = guest_ptr(&f->guest, f->buffer + head / 2 * BUFFER);
	memcpy(&f->header, at, HEADER);
	assert_int_equal(len, HEADER + f->header.len);
	memcpy(f->payload, at + HEADER, f->header.len);
	assert_int_equal(f->header.dst_cid, CID);
	return f->header.op;
}

static void client_says(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Answers how much of text the client gets next: all of it, as a boolean. */
static bool client_gets(struct fixture *f, int fd, const char *text)
{
	char got[256] = "";
	ssize_t n;

	guest_settle(&f->guest);
	n = recv(fd, got, strlen(text), 0);
	return n == (ssize_t)strlen(text) && !memcmp(got, text, n);
}

static bool client_ended(struct fixture *f, int fd)
{
	char byte;

	guest_settle(&f->guest);
	return recv(fd, &byte, 1, 0) == 0;
}

/* A client of the host is connected to PORT of the guest. */
static int open_from_host(struct fixture *f)
{
	int fd = unix_socket("vsock", false);
	char line[32];

	post_buffers(f, 100);
	client_says(fd, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(f->header.dst_port, PORT);
	assert_int_equal(f->header.src_cid, VSOCK_HOST_CID);
	assert_int_equal(f->header.type, VIRTIO_VSOCK_TYPE_STREAM);
	assert_true(f->header.buf_alloc > 0);
	f->host_port = f->header.src_port;
	guest_says(f, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
	snprintf(line, sizeof(line), "OK %u\n", f->host_port);
	assert_true(client_gets(f, fd, line));
	return fd;
}

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

static int open_from_guest(struct fixture *f, int *listener)
{
	int fd;

	*listener = unix_socket("vsock_52", true);
	f->host_port = 52;
	post_buffers(f, 100);
	guest_says(f, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->header.src_port, 52);
	assert_int_equal(f->header.dst_port, PORT);
	fd = accept4(*listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
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

static struct vsock_conn *only_conn(struct fixture *f)
{
	return ((struct vsock *)f->device)->all;
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

/* ---- how connections end ---- */

static void test_host_half_close(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	client_says(fd, "last words");
	shutdown(fd, SHUT_WR);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	guest_says(f, VIRTIO_VSOCK_OP_RW, "an answer", 9);
	assert_true(client_gets(f, fd, "an answer"));
	guest_shuts(f, VSOCK_BOTH);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_true(client_ended(f, fd));
	assert_null(only_conn(f));
	close(fd);
}

static void test_host_closes(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	client_says(fd, "last words");
	close(fd);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->header.flags, VSOCK_BOTH);
	assert_int_equal(only_conn(f)->watch.fd, -1);
	/* what was under way vanishes */
	guest_says(f, VIRTIO_VSOCK_OP_RW, "too late", 8);
	assert_int_equal(guest_got(f), 0);
	guest_says(f, VIRTIO_VSOCK_OP_RST, NULL, 0);
	assert_null(only_conn(f));
}

static void test_host_closes_later(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	shutdown(fd, SHUT_WR);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(guest_got(f), 0);
	close(fd);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->header.flags, VSOCK_BOTH);
	assert_true(only_conn(f)->deadline > 0); /* a guest that never answers is forgotten in the end */
	only_conn(f)->deadline = 1;
	vsock_alarm(f->device);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_null(only_conn(f));
}

static void test_guest_half_close(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	guest_says(f, VIRTIO_VSOCK_OP_RW, "bye", 3);
	guest_shuts(f, VIRTIO_VSOCK_SHUTDOWN_SEND);
	assert_true(client_gets(f, fd, "bye"));
	assert_true(client_ended(f, fd));
	client_says(fd, "still here");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(f->payload, "still here", 10);
	/* it said that it would not */
	guest_says(f, VIRTIO_VSOCK_OP_RW, "liar", 4);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_null(only_conn(f));
	close(fd);
}

static void test_guest_stops_receiving(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	guest_shuts(f, VIRTIO_VSOCK_SHUTDOWN_RCV);
	guest_settle(&f->guest);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	guest_says(f, VIRTIO_VSOCK_OP_RW, "but I talk", 10);
	assert_true(client_gets(f, fd, "but I talk"));
	close(fd);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_SHUTDOWN);
}

/* The guest sends more than the host has read yet, and closes: nothing is lost. */
static void test_guest_leaves(void **state)
{
	struct fixture *f = *state;
	static uint8_t out[65536], in[65536];
	int fd = open_from_host(f);
	uint32_t sent = 0, got = 0;
	ssize_t n;

	while (!only_conn(f)->rest.count) {
		guest_says(f, VIRTIO_VSOCK_OP_RW, out, 32768);
		sent += 32768;
		assert_true(sent < 8 << 20);
	}
	while (guest_got(f))
		;
	guest_shuts(f, VSOCK_BOTH);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_null(vsock_conn_find((struct vsock *)f->device, f->host_port, PORT));
	while ((n = recv(fd, in, sizeof(in), 0)) > 0) {
		got += n;
		guest_settle(&f->guest);
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	assert_null(only_conn(f));
	close(fd);
}

static void test_guest_resets(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	guest_says(f, VIRTIO_VSOCK_OP_RST, NULL, 0);
	assert_true(client_ended(f, fd));
	assert_int_equal(guest_got(f), 0);
	close(fd);
}

static void test_device_reset(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f), late;

	f->device->ops->pause(f->device, true);
	f->device->ops->reset(f->device);
	assert_true(client_ended(f, fd));
	late = unix_socket("vsock", false);
	client_says(late, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), 0);
	/* and a driver that comes back finds whoever waits */
	f->device->ops->pause(f->device, false);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
	close(late);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);

	f->device->ops->pause(f->device, true);
	client_says(fd, "while it sleeps");
	assert_int_equal(guest_got(f), 0);
	f->device->ops->pause(f->device, false);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->header.len, 15);
	close(fd);
}

/* ---- hostile guests ---- */

static void test_unknown_connection(void **state)
{
	static const unsigned ops[] = { VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_OP_SHUTDOWN,
					VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 8, 65535 };
	struct fixture *f = *state;

	post_buffers(f, 20);
	for (unsigned i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		guest_says(f, ops[i], NULL, 0);
		assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
		assert_int_equal(f->header.dst_port, PORT);
	}
	guest_says(f, VIRTIO_VSOCK_OP_RST, NULL, 0);
	assert_int_equal(guest_got(f), 0);
}

static void test_nonsense_on_connection(void **state)
{
	static const unsigned ops[] = { 0, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, 8, 65535 };
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		int fd;

		teardown(state);
		setup(state);
		f = *state;
		fd = open_from_host(f);
		guest_says(f, ops[i], NULL, 0);
		assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
		assert_true(client_ended(f, fd));
		close(fd);
	}
}

static void test_addresses(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr header;

	post_buffers(f, 10);
	header = packet(f, VIRTIO_VSOCK_OP_REQUEST, 0);
	header.src_cid = 99; /* somebody else's name */
	post_packet(f, &header, NULL, 0);
	assert_int_equal(guest_got(f), 0);
	header = packet(f, VIRTIO_VSOCK_OP_REQUEST, 0);
	header.dst_cid = 77; /* not us: nobody is there */
	post_packet(f, &header, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_int_equal(f->header.src_cid, 77);
	header = packet(f, VIRTIO_VSOCK_OP_REQUEST, 0);
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	post_packet(f, &header, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RST);
	assert_int_equal(f->header.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
}

/* More answers than the guest takes: its packets wait, and no memory grows. */
static void test_reply_flood(void **state)
{
	struct fixture *f = *state;
	struct vsock *vsock = (struct vsock *)f->device;
	unsigned got = 0;

	for (unsigned i = 0; i < 3 * VSOCK_REPLIES; i++)
		guest_says(f, VIRTIO_VSOCK_OP_RW, NULL, 0);
	assert_int_equal(vsock->replies, VSOCK_REPLIES);
	assert_int_equal(f->tx.used->idx, VSOCK_REPLIES);
	for (unsigned i = 0; i < 3 * VSOCK_REPLIES; i++) {
		post_buffers(f, 1);
		while (guest_got(f) == VIRTIO_VSOCK_OP_RST)
			got++;
	}
	assert_int_equal(got, 3 * VSOCK_REPLIES);
	assert_int_equal(f->tx.used->idx, 3 * VSOCK_REPLIES);
}

static void expect_broken(struct fixture *f, const char *reason)
{
	assert_true(device_broken(f->device));
	assert_string_equal(f->device->stats.error, reason);
}

static void test_short_header(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->send, HEADER - 1, false };
	int fd = open_from_host(f);

	driver_post(&f->tx, &part, 1);
	guest_ring(&f->guest, f->device);
	expect_broken(f, "a vsock packet is shorter than its header, or than that says");
	assert_true(client_ended(f, fd)); /* the host learns it */
	close(fd);
}

static void test_lying_length(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr header = packet(f, VIRTIO_VSOCK_OP_RW, UINT32_MAX);

	post_packet(f, &header, "abc", 3);
	expect_broken(f, "a vsock packet is shorter than its header, or than that says");
}

static void test_longer_than_said(void **state)
{
	struct fixture *f = *state;
	int fd = open_from_host(f);
	struct virtio_vsock_hdr header = packet(f, VIRTIO_VSOCK_OP_RW, 3);

	post_packet(f, &header, "abcdef", 6);
	guest_says(f, VIRTIO_VSOCK_OP_RW, "!", 1);
	assert_true(client_gets(f, fd, "abc!"));
	close(fd);
}

static void test_bad_buffers(void **state)
{
	struct fixture *f = *state;
	struct part part[] = { { f->buffer, HEADER, true }, { f->buffer, 4096, false } };

	for (unsigned i = 0; i < 2; i++) {
		int fd;

		teardown(state);
		setup(state);
		f = *state;
		driver_post(&f->rx, &part[i], 1);
		fd = unix_socket("vsock", false);
		client_says(fd, "CONNECT 1234\n");
		guest_settle(&f->guest);
		expect_broken(f, "a vsock receive buffer is not writable memory for a header and more");
		close(fd);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_configuration), TEST(test_not_a_listener), TEST(test_from_host), TEST(test_line_in_pieces),
		TEST(test_bad_lines), TEST(test_guest_refuses), TEST(test_client_gives_up), TEST(test_from_guest),
		TEST(test_nobody_listens), TEST(test_outgoing_forbidden), TEST(test_table_full), TEST(test_patience), TEST(test_news_of_sent),
		TEST(test_credit_to_guest), TEST(test_credit_asked_for), TEST(test_slow_host), TEST(test_beyond_credit),
		TEST(test_no_buffers), TEST(test_host_half_close), TEST(test_host_closes), TEST(test_host_closes_later),
		TEST(test_guest_half_close), TEST(test_guest_stops_receiving), TEST(test_guest_leaves),
		TEST(test_guest_resets), TEST(test_device_reset), TEST(test_pause), TEST(test_unknown_connection),
		TEST(test_nonsense_on_connection), TEST(test_addresses), TEST(test_reply_flood), TEST(test_short_header),
		TEST(test_lying_length), TEST(test_longer_than_said), TEST(test_bad_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
