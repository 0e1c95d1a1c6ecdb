/* SPDX-License-Identifier: Apache-2.0 */
/* The network device on a tap, where the machine allows one: several queues, and what may be sent. */
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
#include <net/if.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_world.h"
#include "vmm/host/tap.h"

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

/* ---- what reaches it ---- */

/* Whether a frame that the host sends on the tap comes to who has the tap's descriptor. */
static bool reaches(int tap, int host, const uint8_t *frame)
{
	uint8_t got[2048];
	bool seen = false;

	assert_int_equal(send(host, frame, 60, 0), 60);
	/* It is there when send() returns; the host tells of itself, too. */
	for (ssize_t len; (len = read(tap, got, sizeof(got))) > 0;)
		seen |= len == 12 + 60 && !memcmp(got + 12, frame, 60);
	return seen;
}

static void ask_for(uint8_t *frame, const uint8_t sender[4], const uint8_t target[4])
{
	arp_of(frame, foreign);
	frame[21] = 1;
	memcpy(frame + 28, sender, 4);
	memcpy(frame + 38, target, 4);
}

static bool group_reaches(int tap, int host, const uint8_t to[6], uint16_t type)
{
	uint8_t frame[60];

	frame_of(frame, to, foreign, type);
	return reaches(tap, host, frame);
}

static void test_chosen(void **state)
{
	static const uint8_t mine[4] = { 10, 0, 0, 2 }, another[4] = { 10, 0, 0, 3 }, third[4] = { 10, 0, 0, 4 };
	uint8_t frame[60];

	for (unsigned alone = 0; alone < 2; alone++) {
		int host = -1, tap = open_tap();

		if (tap < 0 || !listen_on(tap, &host))
			skip();
		uint64_t features;
		assert_int_equal(tap_setup(tap, &features), 0); /* reads do not wait */
		assert_int_equal(tap_choose(tap, own, inet_addr("10.0.0.2"), NULL, alone), 0);
		assert_true(group_reaches(tap, host, own, 0x88b5));
		assert_false(group_reaches(tap, host, foreign, 0x88b5));
		assert_false(group_reaches(tap, host, (uint8_t[]){ 2, 1, 0, 0, 0, 7 }, 0x88b5));
		assert_true(group_reaches(tap, host, (uint8_t[]){ 255, 255, 255, 255, 255, 255 }, 0x0800));
		assert_true(group_reaches(tap, host, (uint8_t[]){ 1, 0, 0x5e, 0, 0, 1 }, 0x0800));
		assert_true(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, 0x86dd));
		assert_false(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 2 }, 0x86dd));
		assert_false(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 0x16 }, 0x86dd));
		assert_true(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0xff, 0, 0, 7 }, 0x86dd));
		assert_int_equal(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0xff, 0, 0, 8 }, 0x86dd), !alone);
		ask_for(frame, another, mine);
		assert_true(reaches(tap, host, frame));
		ask_for(frame, another, third);
		assert_false(reaches(tap, host, frame));
		ask_for(frame, another, another); /* its announcement */
		assert_true(reaches(tap, host, frame));
		ask_for(frame, (uint8_t[]){ 0, 0, 0, 0 }, mine); /* is that address free? */
		assert_true(reaches(tap, host, frame));
		static const uint8_t given[16] = { 0xfd, [13] = 5, 6, 7 };
		assert_int_equal(tap_choose(tap, own, 0, given, alone), 0);
		assert_true(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0xff, 5, 6, 7 }, 0x86dd));
		assert_true(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0xff, 0, 0, 7 }, 0x86dd));
		assert_int_equal(group_reaches(tap, host, (uint8_t[]){ 0x33, 0x33, 0xff, 5, 6, 8 }, 0x86dd), !alone);
		ask_for(frame, another, third); /* by DHCP it may have any */
		assert_true(reaches(tap, host, frame));
		close(host);
		close(tap);
	}
}

/* ---- both ways at once ---- */

#define BUFFERS 128
#define BUFFER 2048

static void give_buffers(struct fixture *f, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++)
		driver_post(&f->rx, &(struct part){ f->buffer + i * BUFFER, BUFFER, true }, 1);
}

/* How many frames the guest has now that the host sent to it. */
static unsigned received(struct fixture *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BUFFERS; i++)
		n += !memcmp((uint8_t *)guest_ptr(&f->guest, f->buffer + i * BUFFER) + HEADER, own, 6);
	return n;
}

/*
 * Between the frames of a long batch it is received, too: while that is handled, and nothing else is heard of; of all together one turn's. None is lost, and the
 * bell for more buffers is asked for when there are none.
 */
static void test_both_ways(void **state)
{
	enum { SENT = 40, CAME = 100, FIRST = 96, TURN = 64 }; /* more than the device takes for one frame, and in a turn */
	struct fixture f;
	uint8_t frame[60];
	uint16_t wish;

	if (!setup_filtered(&f, true))
		skip();
	driver_of(&f.rx, &f.guest, f.net, LV_NET_RX);
	f.buffer = guest_alloc(&f.guest, BUFFERS * BUFFER, 4096);
	give_buffers(&f, 0, FIRST);
	guest_ring(&f.guest, f.net);
	frame_of(frame, foreign, own, 0x88b5);
	memcpy(guest_ptr(&f.guest, f.send + 64), frame, sizeof(frame));
	for (unsigned i = 0; i < SENT; i++)
		driver_post(&f.tx, (struct part[]){ { f.send, HEADER, false }, { f.send + 64, sizeof(frame), false } }, 2);
	frame_of(frame, own, foreign, 0x88b5);
	for (unsigned i = 0; i < CAME; i++)
		assert_int_equal(send(f.peer, frame, sizeof(frame), 0), sizeof(frame));
	f.net->ops->process(f.net, LV_NET_TX);
	assert_in_range(received(&f), 1, TURN);
	guest_ring(&f.guest, f.net);
	assert_int_equal(came_out(&f, own), SENT);
	assert_in_range(received(&f), 1, FIRST);
	memcpy(&wish, &f.rx.used->ring[f.rx.size], sizeof(wish));
	assert_int_equal(wish, f.rx.avail->idx);
	give_buffers(&f, FIRST, BUFFERS - FIRST);
	guest_ring(&f.guest, f.net);
	assert_int_equal(received(&f), CAME);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux_tap), cmocka_unit_test(test_queues), cmocka_unit_test(test_queues_unused),
		cmocka_unit_test(test_tap), cmocka_unit_test(test_forged), cmocka_unit_test(test_forged_meanwhile),
		cmocka_unit_test(test_chosen), cmocka_unit_test(test_both_ways), cmocka_unit_test(test_not_a_tap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
