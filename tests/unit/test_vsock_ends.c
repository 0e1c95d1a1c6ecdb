/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device: how connections end, and hostile guests. */
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

		vsock_teardown(state);
		vsock_setup(state);
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

		vsock_teardown(state);
		vsock_setup(state);
		f = *state;
		driver_post(&f->rx, &part[i], 1);
		fd = unix_socket("vsock", false);
		client_says(fd, "CONNECT 1234\n");
		guest_settle(&f->guest);
		expect_broken(f, "a vsock receive buffer is not writable memory for a header and more");
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_host_half_close), VSOCK_TEST(test_host_closes), VSOCK_TEST(test_host_closes_later),
		VSOCK_TEST(test_guest_half_close), VSOCK_TEST(test_guest_stops_receiving), VSOCK_TEST(test_guest_leaves),
		VSOCK_TEST(test_guest_resets), VSOCK_TEST(test_device_reset), VSOCK_TEST(test_pause),
		VSOCK_TEST(test_unknown_connection), VSOCK_TEST(test_nonsense_on_connection), VSOCK_TEST(test_addresses),
		VSOCK_TEST(test_reply_flood), VSOCK_TEST(test_short_header), VSOCK_TEST(test_lying_length),
		VSOCK_TEST(test_longer_than_said), VSOCK_TEST(test_bad_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
