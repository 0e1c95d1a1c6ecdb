/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * The vsock device with garbage from both sides: packets of the guest with any header, clients of the host that say and do
 * anything, in any order. The input is a program of small steps; addresses and ports come from few values, so that
 * packets meet connections. Checked: the connection table's bounds, that nothing leaks, that nothing spins.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/vsock.h"

#define CLIENTS 8

struct world {
	struct guest guest;
	struct device *device;
	struct driver rx, tx;
	gpa_t buffer, send;
	int client[CLIENTS];
	int server; /* vsock_1 */
};

struct input {
	const uint8_t *at, *end;
};

static unsigned take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, name);
	unlink(name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		abort();
	return fd;
}

static void connect_client(int *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "vsock" };

	if (*client >= 0)
		close(*client);
	*client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*client < 0 || connect(*client, (struct sockaddr *)&address, sizeof(address)))
		abort();
}

static void make_world(struct world *world)
{
	static char dir[] = "/tmp/lv-fuzz-vsock-XXXXXX";
	static bool there;
	struct device_config config = { .type = LV_DEV_VSOCK, .vsock = { .outgoing = true, .cid = 3 } };

	if (!there && (!mkdtemp(dir) || chdir(dir)))
		abort();
	there = true;
	config.vsock.listener = listen_at("vsock");
	world->server = listen_at("vsock_1");
	guest_init(&world->guest);
	world->device = guest_negotiate_device(&world->guest, &config, ~0ull);
	driver_init(&world->rx, &world->guest, &world->guest.ring[VSOCK_RX]);
	driver_init(&world->tx, &world->guest, &world->guest.ring[VSOCK_TX]);
	world->buffer = guest_alloc(&world->guest, 65536, 4096);
	world->send = guest_alloc(&world->guest, 65536, 4096);
	for (unsigned i = 0; i < CLIENTS; i++)
		world->client[i] = -1;
}

static void free_world(struct world *world)
{
	struct vsock *vsock = (struct vsock *)world->device;
	unsigned count = 0;

	for (struct vsock_conn *conn = vsock->all; conn; conn = conn->next)
		count++;
	if (count != vsock->count || count > VSOCK_CONNECTIONS || vsock->replies > VSOCK_REPLIES)
		abort();
	guest_fini(&world->guest);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (world->client[i] >= 0)
			close(world->client[i]);
	close(world->server);
}

/* Ports that are in use, mostly: of the host's server, of the first clients, of the guest. */
static uint32_t some_port(unsigned choice)
{
	return choice % 8 < 6 ? (choice & 8 ? 1u << 30 : 0) + choice % 4 : choice * 0x01010101u;
}

static void guest_packet(struct world *world, struct input *input)
{
	unsigned odd = take(input), op = take(input);
	uint32_t len = take(input) << (odd & 7);
	struct virtio_vsock_hdr header = {
		.src_cid = odd == 255 ? 4 : 3, .dst_cid = odd == 254 ? 3 : 2, .src_port = some_port(take(input)),
		.dst_port = some_port(take(input)), .len = odd == 253 ? len + 1 : len, .type = odd == 252 ? 2 : 1,
		.op = op % 16 < 9 ? op % 16 : op * 257, .flags = take(input), .buf_alloc = take(input) << (odd >> 3),
		.fwd_cnt = take(input) << (odd & 15),
	};
	struct part part[] = { { world->send, sizeof(header), false }, { world->send + sizeof(header), len, false } };

	memcpy(guest_ptr(&world->guest, world->send), &header, sizeof(header));
	driver_post(&world->tx, part, len ? 2 : 1);
}

static void guest_buffers(struct world *world, unsigned n)
{
	for (unsigned i = 0; i < n % 32; i++) {
		struct part part[] = { { world->buffer, 20, true }, { world->buffer + 64, 500, true } };

		driver_post(&world->rx, part, 2);
	}
}

static void client_step(struct world *world, int *client, struct input *input)
{
	static const char *const said[] = { "CONNECT 1\n", "CONNECT 2\n", "CONN", "ECT 1\n", "CONNECT 3\nand more", "\n", "x" };
	unsigned what = take(input) % 16;
	char bytes[2048];

	if (*client < 0 || what == 15)
		connect_client(client);
	else if (what == 14)
		close(*client), *client = -1;
	else if (what == 13)
		shutdown(*client, take(input) % 3);
	else if (what == 12)
		recv(*client, bytes, sizeof(bytes), 0);
	else if (what < sizeof(said) / sizeof(*said))
		send(*client, said[what], strlen(said[what]), MSG_NOSIGNAL);
	else
		send(*client, memset(bytes, what, sizeof(bytes)), sizeof(bytes), MSG_NOSIGNAL);
}

/* The host's server gets a client of the guest; or time passes. */
static void other_step(struct world *world, unsigned what)
{
	struct vsock *vsock = (struct vsock *)world->device;

	if (what % 4 == 0) {
		for (struct vsock_conn *conn = vsock->all; conn; conn = conn->next)
			conn->deadline = conn->deadline ? 1 : 0;
		vsock_alarm(vsock);
	} else if (what % 4 == 1) {
		int fd = accept4(world->server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int *client = &world->client[what / 4 % CLIENTS];

		if (fd >= 0 && *client >= 0)
			close(*client);
		*client = fd >= 0 ? fd : *client;
	} else if (what % 4 == 2) {
		world->device->ops->pause(world->device, what & 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct input input = { data, data + (size < 2048 ? size : 2048) };

	make_world(&world);
	while (input.at < input.end && !device_broken(world.device)) {
		unsigned step = take(&input);

		if (step < 100)
			guest_packet(&world, &input);
		else if (step < 140)
			guest_buffers(&world, step);
		else if (step < 220)
			client_step(&world, &world.client[step % CLIENTS], &input);
		else
			other_step(&world, take(&input));
		if (step % 4)
			guest_ring(&world.guest, world.device);
	}
	free_world(&world);
	return 0;
}
