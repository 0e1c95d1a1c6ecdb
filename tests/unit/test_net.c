/* SPDX-License-Identifier: Apache-2.0 */
/* The network device on a stream socket, with the test as passt and as the guest; on a tap where the machine allows one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/hand_clock.h"
#include "tests/unit/ring_driver.h"
#include "vmm/host/passt.h"

#define HEADER 12
#define BUFFER 2048

struct fixture {
	struct guest guest;
	struct device *net;
	struct driver rx, tx;
	int peer; /* passt's end */
	gpa_t buffer, send;
};

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

/* Puts a frame behind its header into guest memory and sends it. */
static void guest_sends(struct fixture *f, const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t len)
{
	struct part part[] = { { f->send, HEADER, false }, { f->send + 64, len, false } };

	memcpy(guest_ptr(&f->guest, f->send), header, HEADER);
	memcpy(guest_ptr(&f->guest, f->send + 64), frame, len);
	driver_post(&f->tx, part, 2);
	guest_ring(&f->guest, f->net);
}

static void test_config(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->guest.page.device[0].config.net.mtu, 1500);
	assert_int_equal(f->guest.page.device[0].features, LV_NET_F_MRG_RXBUF);
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
	assert_int_equal(f->rx.used->flags, 0); /* a doorbell shall tell of more */
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

#define BIT(feature) (1ull << VIRTIO_NET_F_##feature)

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

/* ---- tap ---- */

/* A tap of this machine, or -1 with the reason printed. */
static int open_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	print_message("no tap can be made here: %s\n", strerror(errno));
	close(fd);
	return -1;
}

static void test_linux_tap(void **state)
{
	static const struct { uint64_t took; uint8_t gso; bool fits; } cases[] = {
		{ BIT(CSUM) | BIT(HOST_TSO4), VIRTIO_NET_HDR_GSO_TCPV4, true },
		{ BIT(CSUM) | BIT(HOST_TSO6), VIRTIO_NET_HDR_GSO_TCPV6, true },
		{ BIT(CSUM) | BIT(HOST_TSO4), VIRTIO_NET_HDR_GSO_TCPV6, false },
		{ BIT(CSUM) | BIT(HOST_TSO4), VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, false },
		{ BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_ECN), VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, true },
		{ BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6), VIRTIO_NET_HDR_GSO_UDP, false },
		{ BIT(HOST_TSO4), VIRTIO_NET_HDR_GSO_TCPV4, false },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct device_config config = { .type = LV_DEV_NET, .net = { .fd = open_tap(), .config = { .mtu = 1500 } } };
		struct virtio_net_hdr_v1 header = { .flags = 1, .csum_start = 4, .csum_offset = 4, .gso_type = cases[i].gso, .gso_size = 8 };
		struct fixture f = { 0 };

		if (config.net.fd < 0)
			skip();
		guest_init(&f.guest);
		f.net = guest_negotiate_device(&f.guest, &config, cases[i].took);
		assert_non_null(f.net);
		assert_int_equal(f.net->features, cases[i].took);
		driver_init(&f.tx, &f.guest, &f.guest.ring[LV_NET_TX]);
		f.send = guest_alloc(&f.guest, 4096, 4096);
		guest_sends(&f, &header, "fourteen bytes", 14);
		assert_int_equal(f.net->stats.needs_reset, !cases[i].fits);
		guest_fini(&f.guest);
	}
}

/* ---- several queues ---- */

#define CONTROL 4 /* behind two pairs */

/* A tap with two queues; false: none can be made here. */
static bool open_queues(struct device_config *config)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd[2];

	for (unsigned i = 0; i < 2; i++) {
		fd[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
		if (fd[i] < 0 || ioctl(fd[i], TUNSETIFF, &ifr) < 0) {
			print_message("no tap can be made here: %s\n", strerror(errno));
			close(fd[i]);
			return false;
		}
	}
	*config = (struct device_config){ .type = LV_DEV_NET,
					  .net = { .fd = fd[0], .more = 1, .more_fd = { fd[1] }, .config = { .mtu = 1500 } } };
	return true;
}

/* The driver's command, and the answer. */
static int ask(struct fixture *f, struct driver *control, uint8_t class, uint8_t cmd, uint16_t pairs)
{
	struct part part[] = { { f->send, 2, false }, { f->send + 2, 2, false }, { f->send + 4, 1, true } };
	uint8_t *at = guest_ptr(&f->guest, f->send);
	uint32_t head, len;

	at[0] = class;
	at[1] = cmd;
	memcpy(at + 2, &pairs, 2);
	at[4] = 99;
	driver_post(control, part, 3);
	guest_ring(&f->guest, f->net);
	assert_int_equal(driver_used(control, &head, &len), 1);
	assert_int_equal(len, 1);
	return at[4];
}

static void test_queues(void **state)
{
	struct device_config config;
	struct fixture f = { 0 };
	struct driver control;
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };

	if (!open_queues(&config))
		skip();
	guest_init(&f.guest);
	f.net = guest_negotiate_device(&f.guest, &config, ~0ull);
	assert_non_null(f.net);
	assert_int_equal(f.net->features & (BIT(MQ) | BIT(CTRL_VQ)), BIT(MQ) | BIT(CTRL_VQ));
	f.net->ops->configuration(f.net, space);
	assert_int_equal(space[8], 2);
	f.send = guest_alloc(&f.guest, 4096, 4096);
	driver_init(&control, &f.guest, &f.guest.ring[CONTROL]);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2), VIRTIO_NET_OK);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1), VIRTIO_NET_OK);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 0), VIRTIO_NET_ERR);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 3), VIRTIO_NET_ERR);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, 1, 2), VIRTIO_NET_ERR);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_RX, 0, 1), VIRTIO_NET_ERR);
	driver_post(&control, &(struct part){ f.send, 4, false }, 1);
	guest_ring(&f.guest, f.net);
	assert_string_equal(f.net->stats.error, "a network command without room for its answer");
	guest_fini(&f.guest);
}

/* Frames go out by either queue, and without MQ the driver's third queue is the control queue. */
static void test_queues_unused(void **state)
{
	struct device_config config;
	struct fixture f = { 0 };
	struct virtio_net_hdr_v1 header = { 0 };
	struct driver control;

	if (!open_queues(&config))
		skip();
	guest_init(&f.guest);
	f.net = guest_negotiate_device(&f.guest, &config, BIT(CTRL_VQ));
	f.send = guest_alloc(&f.guest, 4096, 4096);
	driver_init(&control, &f.guest, &f.guest.ring[2]);
	assert_int_equal(ask(&f, &control, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2), VIRTIO_NET_ERR);
	driver_init(&f.tx, &f.guest, &f.guest.ring[3]);
	guest_sends(&f, &header, "fourteen bytes", 14);
	assert_int_equal(f.net->stats.requests[LV_NET_TX], 1);
	assert_false(device_broken(f.net));
	guest_fini(&f.guest);
}

static void test_tap(void **state)
{
	struct device_config config = { .type = LV_DEV_NET, .net = { .fd = open_tap(), .config = { .mtu = 1500 } } };
	struct virtio_net_hdr_v1 header = { .flags = 1, .csum_start = 14, .csum_offset = 100 };
	struct fixture f = { 0 };

	if (config.net.fd < 0)
		skip();
	guest_init(&f.guest);
	f.net = guest_add_device(&f.guest, &config);
	assert_non_null(f.net);
	driver_of(&f.tx, &f.guest, f.net, LV_NET_TX);
	f.send = guest_alloc(&f.guest, 4096, 4096);
	assert_true(f.net->features & LV_NET_F_CSUM);
	assert_true(f.net->features & LV_NET_F_GUEST_TSO4);
	guest_sends(&f, &header, "fourteen bytes", 14);
	assert_int_equal(f.net->stats.needs_reset, 1);
	guest_fini(&f.guest);
}

/* ---- what may be sent ---- */

static const uint8_t own[6] = { 2, 0, 0, 0, 0, 7 }, foreign[6] = { 2, 0, 0, 0, 0, 8 };

/* A socket that sees what comes out of the tap; false: it cannot be had here. */
static bool listen_on(int tap, int *seen)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;

	*seen = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool can = *seen >= 0 && ioctl(tap, TUNGETIFF, &ifr) == 0 && ioctl(control, SIOCGIFINDEX, &ifr) == 0;
	at.sll_ifindex = ifr.ifr_ifindex;
	ifr.ifr_flags = IFF_UP;
	can = can && ioctl(control, SIOCSIFFLAGS, &ifr) == 0 && bind(*seen, (struct sockaddr *)&at, sizeof(at)) == 0;
	setsockopt(*seen, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	close(control);
	return can;
}

static bool setup_filtered(struct fixture *f, bool spoof)
{
	struct device_config config = { .type = LV_DEV_NET, .net = { .fd = open_tap(), .spoof = spoof, .config = { .mtu = 1500, .ip = inet_addr("10.0.0.2") } } };

	*f = (struct fixture){ .peer = -1 };
	memcpy(config.net.config.mac, own, 6);
	if (config.net.fd < 0 || !listen_on(config.net.fd, &f->peer)) {
		close(config.net.fd);
		close(f->peer);
		return false;
	}
	guest_init(&f->guest);
	f->net = guest_add_device(&f->guest, &config);
	assert_non_null(f->net);
	driver_of(&f->tx, &f->guest, f->net, LV_NET_TX);
	f->send = guest_alloc(&f->guest, 4096, 4096);
	return true;
}

static void frame_of(uint8_t *frame, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	memset(frame, 0, 60);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = type >> 8;
	frame[13] = type;
}

/* "10.0.0.1 is at" the sender's address. */
static void arp_of(uint8_t *frame, const uint8_t *from)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 2 };

	frame_of(frame, (uint8_t[]){ 255, 255, 255, 255, 255, 255 }, from, ETH_P_ARP);
	memcpy(frame + 14, head, sizeof(head));
	memcpy(frame + 22, from, 6);
	memcpy(frame + 28, (uint8_t[]){ 10, 0, 0, 1 }, 4);
}

/* How many frames came out that the guest sent: those of the host (its IPv6 tells of itself) have another type, or no such end. */
static unsigned came_out(struct fixture *f, const uint8_t *from)
{
	uint8_t got[2048];
	unsigned n = 0;

	for (ssize_t len; (len = recv(f->peer, got, sizeof(got), 0)) > 0;)
		n += len == 60 && !memcmp(got + 6, from, 6);
	return n;
}

static void send_forged(struct fixture *f)
{
	const struct virtio_net_hdr_v1 header = { 0 };
	uint8_t frame[60];

	frame_of(frame, foreign, foreign, 0x88b5);
	guest_sends(f, &header, frame, sizeof(frame));
	frame_of(frame, (uint8_t[]){ 1, 0x80, 0xc2, 0, 0, 0 }, own, 39); /* a spanning tree's: a length for its type */
	guest_sends(f, &header, frame, sizeof(frame));
	arp_of(frame, own);
	guest_sends(f, &header, frame, sizeof(frame));
}

static void test_forged(void **state)
{
	static const char note[] = "frames under foreign addresses, or for bridges, were dropped (spoof=on)";
	const struct virtio_net_hdr_v1 header = { 0 };
	struct fixture f;
	uint8_t frame[60];

	for (unsigned spoof = 0; spoof < 2; spoof++) {
		if (!setup_filtered(&f, spoof))
			skip();
		send_forged(&f);
		assert_int_equal(came_out(&f, own), spoof ? 2 : 0);
		assert_string_equal(f.net->stats.error, spoof ? "" : note);
		frame_of(frame, foreign, own, 0x88b5);
		guest_sends(&f, &header, frame, sizeof(frame));
		assert_int_equal(came_out(&f, own), 1);
		guest_fini(&f.guest);
		close(f.peer);
	}
}

struct flipper {
	uint8_t *source; /* in guest memory */
	bool stop;
};

static void *flip(void *context)
{
	struct flipper *flipper = context;

	for (unsigned i = 0; !__atomic_load_n(&flipper->stop, __ATOMIC_RELAXED); i++)
		__atomic_store_n(&flipper->source[5], i & 1 ? own[5] : foreign[5], __ATOMIC_RELAXED);
	return NULL;
}

/* Another vCPU changes the sender's address while the frame is looked at. */
static void test_forged_meanwhile(void **state)
{
	const struct virtio_net_hdr_v1 header = { 0 };
	struct fixture f;
	struct flipper flipper = { 0 };
	uint8_t frame[60];
	unsigned forged = 0, sent = 0;
	pthread_t thread;

	if (!setup_filtered(&f, false))
		skip();
	frame_of(frame, foreign, own, 0x88b5);
	flipper.source = (uint8_t *)guest_ptr(&f.guest, f.send + 64) + 6;
	assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t head, len;
		uint8_t got[2048];

		guest_sends(&f, &header, frame, sizeof(frame));
		assert_int_equal(driver_used(&f.tx, &head, &len), 1);
		while (recv(f.peer, got, sizeof(got), 0) == 60) {
			sent += !memcmp(got + 6, own, 6);
			forged += !memcmp(got + 6, foreign, 6);
		}
	}
	__atomic_store_n(&flipper.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(forged, 0);
	assert_true(sent > 0);
	guest_fini(&f.guest);
	close(f.peer);
}

static void test_not_a_tap(void **state)
{
	struct device_config config = { .type = LV_DEV_NET, .net = { .fd = open("/dev/null", O_RDWR | O_CLOEXEC) } };
	struct guest guest;

	guest_init(&guest);
	assert_null(guest_add_device(&guest, &config));
	guest_fini(&guest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config), TEST(test_receive), TEST(test_receive_merged), TEST(test_receive_torn), TEST(test_receive_later),
		TEST(test_few_buffers), TEST(test_too_few_buffers), TEST(test_receive_lies), TEST(test_peer_gone), TEST(test_buffer_too_small), TEST(test_send), TEST(test_send_blocked),
		TEST(test_bad_headers), TEST(test_no_header), cmocka_unit_test_setup_teardown(test_linux_configuration, setup_linux, teardown),
		cmocka_unit_test_setup_teardown(test_unmerged, setup_linux, teardown), cmocka_unit_test(test_linux_tap), cmocka_unit_test(test_queues), cmocka_unit_test(test_queues_unused), cmocka_unit_test(test_tap), cmocka_unit_test(test_forged), cmocka_unit_test(test_forged_meanwhile), cmocka_unit_test(test_not_a_tap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
