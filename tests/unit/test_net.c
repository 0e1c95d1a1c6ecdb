/* SPDX-License-Identifier: Apache-2.0 */
/* The network device on a stream socket, with the test as passt and as the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/hand_clock.h"
#include "tests/unit/net_world.h"
#include "vmm/host/passt.h"

#define BUFFER 2048

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_NET, .net = { .passt = true, .config = { .mtu = 1500, .ip = 1 } } };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	config.net.fd = pair[0];
	f->peer = pair[1];
	guest_init(&f->guest);
	f->net = guest_add_device(&f->guest, &config);
	driver_of(&f->rx, &f->guest, f->net, LV_NET_RX);
	driver_of(&f->tx, &f->guest, f->net, LV_NET_TX);
	f->buffer = guest_alloc(&f->guest, 256 * BUFFER, 4096);
	f->send = guest_alloc(&f->guest, 1 << 20, 4096);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clock_release();
	guest_fini(&f->guest);
	close(f->peer);
	free(f);
	return 0;
}

static void post_buffers(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct part part = { f->buffer + f->rx.next_desc * BUFFER, BUFFER, true };

		driver_post(&f->rx, &part, 1);
	}
	guest_ring(&f->guest, f->net);
}

static void peer_sends(struct fixture *f, const void *frame, uint32_t len)
{
	uint32_t prefix = htonl(len);

	assert_int_equal(write(f->peer, &prefix, 4), 4);
	assert_int_equal(write(f->peer, frame, len), len);
}

/* The available index beyond which the device wants a doorbell. */
static uint16_t bell_wish(const struct driver *driver)
{
	const void *end = &driver->used->ring[driver->size];

	return *(const uint16_t *)end;
}

static void test_config(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->guest.page.device[0].config.net.mtu, 1500);
	assert_int_equal(f->guest.page.device[0].features, LV_NET_F_MRG_RXBUF | LV_DEVICE_EVENT_IDX);
}

static void test_receive(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;
	struct virtio_net_hdr_v1 *header;

	post_buffers(f, 64);
	peer_sends(f, "a frame of some bytes", 21);
	peer_sends(f, "and the next one", 16);
	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, HEADER + 21);
	header = guest_ptr(&f->guest, f->buffer + head * BUFFER);
	assert_int_equal(header->num_buffers, 1);
	assert_memory_equal(header + 1, "a frame of some bytes", 21);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, HEADER + 16);
	assert_int_equal(driver_used(&f->rx, &head, &len), 0);
}

/* 60,000 bytes in buffers of 2,048. */
static void test_receive_merged(void **state)
{
	struct fixture *f = *state;
	static uint8_t frame[60000], got[60000 + HEADER];
	uint32_t head, len, have = 0;
	uint16_t buffers;

	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = i ^ i >> 8;
	post_buffers(f, 64);
	peer_sends(f, frame, sizeof(frame));
	guest_settle(&f->guest);
	for (unsigned n = 0; driver_used(&f->rx, &head, &len); n++) {
		memcpy(got + have, guest_ptr(&f->guest, f->buffer + head * BUFFER), len);
		have += len;
	}
	memcpy(&buffers, got + 10, 2);
	assert_int_equal(buffers, (sizeof(got) + BUFFER - 1) / BUFFER);
	assert_int_equal(have, sizeof(got));
	assert_memory_equal(got + HEADER, frame, sizeof(frame));
}

/* A frame arrives byte by byte, its length too. */
static void test_receive_torn(void **state)
{
	struct fixture *f = *state;
	uint8_t wire[4 + 100] = { 0, 0, 0, 100 };
	uint32_t head, len;

	post_buffers(f, 64);
	for (unsigned i = 0; i < sizeof(wire); i++) {
		assert_int_equal(driver_used(&f->rx, &head, &len), 0);
		assert_int_equal(write(f->peer, wire + i, 1), 1);
		guest_settle(&f->guest);
	}
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, HEADER + 100);
}

/* What came while the guest had no room is there once it has, although the socket says nothing any more. */
static void test_receive_later(void **state)
{
	struct fixture *f = *state;
	static uint8_t wire[100][1004];
	uint32_t head, len, frames = 0;

	for (unsigned i = 0; i < 100; i++)
		wire[i][2] = 1000 >> 8, wire[i][3] = 1000 & 0xff;
	post_buffers(f, 40);
	assert_int_equal(write(f->peer, wire, sizeof(wire)), sizeof(wire));
	guest_settle(&f->guest);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = 0;

		while (driver_used(&f->rx, &head, &len))
			n++;
		frames += n;
		post_buffers(f, n);
	}
	assert_int_equal(frames, 100);
}

/* A guest that starts with few buffers: small frames come at once, a large one when it has given more. */
static void test_few_buffers(void **state)
{
	struct fixture *f = *state;
	static uint8_t frame[20000], got[sizeof(frame) + HEADER];
	uint32_t head, len, have = 0;

	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = i ^ i >> 8;
	post_buffers(f, 4);
	peer_sends(f, frame, 100);
	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	clock_hold(0); /* a busy machine may take longer for this than the device waits */
	peer_sends(f, frame, sizeof(frame));
	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->rx, &head, &len), 0);
	assert_int_equal(bell_wish(&f->rx), f->rx.avail->idx); /* a doorbell shall tell of more */
	post_buffers(f, 10);
	while (driver_used(&f->rx, &head, &len)) {
		memcpy(got + have, guest_ptr(&f->guest, f->buffer + head * BUFFER), len);
		have += len;
	}
	assert_int_equal(have, sizeof(got));
	assert_memory_equal(got + HEADER, frame, sizeof(frame));
}

/* It never gives more: the frame is lost, the next one is not. */
static void test_too_few_buffers(void **state)
{
	struct fixture *f = *state;
	static uint8_t frame[20000];
	uint32_t head, len;

	post_buffers(f, 4);
	peer_sends(f, frame, sizeof(frame));
	peer_sends(f, frame, 100);
	guest_settle(&f->guest);
	for (unsigned i = 0; i < 100 && f->rx.used->idx == 0; i++)
		loop_once(&f->guest.loop, 10);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, HEADER + 100);
}

static void test_receive_lies(void **state)
{
	struct fixture *f = *state;
	uint32_t huge = htonl(1 << 20);

	post_buffers(f, 64);
	assert_int_equal(write(f->peer, &huge, 4), 4);
	guest_settle(&f->guest);
	assert_int_equal(device_broken(f->net), 0); /* not the guest's fault */
	assert_string_equal(f->net->stats.error, "the host's end of the network has gone");
}

static void test_peer_gone(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_hdr_v1 header = { 0 };
	uint32_t head, len;

	post_buffers(f, 64);
	shutdown(f->peer, SHUT_RDWR);
	guest_settle(&f->guest);
	guest_sends(f, &header, "nobody listens", 14);
	assert_int_equal(driver_used(&f->tx, &head, &len), 1);
}

static void test_buffer_too_small(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, 32, true };

	driver_post(&f->rx, &part, 1);
	guest_ring(&f->guest, f->net);
	assert_int_equal(f->net->stats.needs_reset, 1);
	assert_string_equal(f->net->stats.error, "a receive buffer is not one writable part of 64 bytes or more");
}

static void test_send(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_hdr_v1 header = { 0 };
	uint8_t got[64];
	uint32_t head, len;

	guest_sends(f, &header, "fourteen bytes", 14);
	assert_int_equal(read(f->peer, got, sizeof(got)), 18);
	assert_memory_equal(got, "\0\0\0\016fourteen bytes", 18);
	assert_int_equal(driver_used(&f->tx, &head, &len), 1);
}

/* The socket is full: frames wait in the ring, and arrive whole and in order. */
static void test_send_blocked(void **state)
{
	struct fixture *f = *state;
	struct virtio_net_hdr_v1 *header = guest_ptr(&f->guest, f->send);
	static uint8_t got[4 << 20];
	const uint32_t size = 60000, frames = 60;
	uint32_t head, len, have = 0;
	unsigned done = 0, empty = 0;

	memset(header, 0, HEADER);
	for (unsigned i = 0; i < frames; i++) {
		struct part part[] = { { f->send, HEADER, false }, { f->send + 64 + i, size, false } };

		driver_post(&f->tx, part, 2);
	}
	for (unsigned i = 0; i < size + frames; i++)
		((uint8_t *)guest_ptr(&f->guest, f->send + 64))[i] = i * 13 + (i >> 8);
	guest_ring(&f->guest, f->net);
	while (driver_used(&f->tx, &head, &len))
		done++;
	assert_true(done < frames);
	while (have < frames * (size + 4)) {
		ssize_t n = read(f->peer, got + have, sizeof(got) - have);

		if (n < 0) /* empty: now the socket takes more */
			guest_settle(&f->guest);
		else
			have += n;
		assert_true(n > 0 || ++empty < 1000);
	}
	while (driver_used(&f->tx, &head, &len))
		done++;
	assert_int_equal(done, frames);
	for (unsigned i = 0; i < frames; i++)
		assert_memory_equal(got + i * (size + 4) + 4, guest_ptr(&f->guest, f->send + 64 + i), size);
	assert_int_equal(f->net->stats.requests[LV_NET_TX], frames);
}

static void test_bad_headers(void **state)
{
	static const struct {
		struct virtio_net_hdr_v1 header;
		const char *error;
	} bad[] = {
		{ { .flags = 0x80 }, "a sent frame has unknown header flags" },
		{ { .flags = 1, .csum_start = 14 }, "a sent frame wants a checksum outside of itself, or one that was not agreed on" },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400 }, "a sent frame wants a segmentation that was not agreed on" },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		guest_sends(f, &bad[i].header, "fourteen bytes", 14);
		assert_int_equal(f->net->stats.needs_reset, 1);
		assert_string_equal(f->net->stats.error, bad[i].error);
	}
}

static void test_no_header(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->send, 11, false };

	driver_post(&f->tx, &part, 1);
	guest_ring(&f->guest, f->net);
	assert_string_equal(f->net->stats.error, "a sent frame without its header");
}

/* ---- drivers that negotiate ---- */

static int setup_linux(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_NET, .net = { .passt = true, .config = { .mtu = 1400, .mac = { 2, 1 } } } };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	config.net.fd = pair[0];
	f->peer = pair[1];
	guest_init(&f->guest);
	f->net = guest_negotiate_device(&f->guest, &config, BIT(MAC));
	driver_init(&f->rx, &f->guest, &f->guest.ring[LV_NET_RX]);
	driver_init(&f->tx, &f->guest, &f->guest.ring[LV_NET_TX]);
	f->buffer = guest_alloc(&f->guest, 256 * BUFFER, 4096);
	f->send = guest_alloc(&f->guest, 1 << 20, 4096);
	*state = f;
	return 0;
}

static uint16_t link_status(struct fixture *f)
{
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };
	struct virtio_net_config config;

	assert_int_equal(f->net->ops->configuration(f->net, space), 12);
	memcpy(&config, space, sizeof(config));
	assert_int_equal(config.mac[0], 2);
	assert_int_equal(config.mtu, 1400);
	assert_int_equal(config.max_virtqueue_pairs, 1);
	return config.status;
}

static void test_linux_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->net->ops->offer(f->net), BIT(MAC) | BIT(STATUS) | BIT(MTU) | BIT(MRG_RXBUF));
	assert_int_equal(link_status(f), VIRTIO_NET_S_LINK_UP);
	post_buffers(f, 1);
	close(f->peer);
	guest_settle(&f->guest);
	assert_int_equal(link_status(f), 0);
	assert_int_equal(f->guest.reconfigurations, 1);
	f->peer = -1;
}

/* Without MRG_RXBUF what does not fit into one buffer is lost; the next frame is not. */
static void test_unmerged(void **state)
{
	struct fixture *f = *state;
	static const uint8_t frame[BUFFER];
	uint32_t head, len;

	post_buffers(f, 10);
	peer_sends(f, frame, BUFFER);
	peer_sends(f, frame, BUFFER - HEADER);
	peer_sends(f, frame, 60);
	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, BUFFER);
	assert_int_equal(driver_used(&f->rx, &head, &len), 1);
	assert_int_equal(len, HEADER + 60);
	assert_int_equal(driver_used(&f->rx, &head, &len), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config), TEST(test_receive), TEST(test_receive_merged), TEST(test_receive_torn),
		TEST(test_receive_later), TEST(test_few_buffers), TEST(test_too_few_buffers), TEST(test_receive_lies),
		TEST(test_peer_gone), TEST(test_buffer_too_small), TEST(test_send), TEST(test_send_blocked),
		TEST(test_bad_headers), TEST(test_no_header),
		cmocka_unit_test_setup_teardown(test_linux_configuration, setup_linux, teardown),
		cmocka_unit_test_setup_teardown(test_unmerged, setup_linux, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
