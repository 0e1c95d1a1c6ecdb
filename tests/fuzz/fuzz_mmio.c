/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * The MMIO transport with every device behind it, and a driver that writes anything to any register at any time, with rings
 * that hold anything. The input is a program of small steps; one of them sets a device up as a good driver does, so that the
 * rest meets devices that run. Checked: no access outside of the guest's memory, no endless loop, a broken device says so in
 * its status, and after a reset it does not any more.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/input.h"
#include "tests/unit/ring_driver.h"
#include "vmm/virtio/mmio.h"

#define DEVICES 6
#define AREA 8192 /* of guest memory, for the rings and buffers of one device */
#define STEPS 256

struct world {
	struct guest guest;
	struct mmio_bus bus;
	int irq, console; /* stays ours: never closed by the device */
	int peer[2];      /* the console's and the network's other ends */
	gpa_t area;
};

/* ---- the machine ---- */

static int make_disk(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 65536))
		abort();
	return fd;
}

static int make_pair(int *peer)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	*peer = pair[1];
	return pair[0];
}

static int make_listener(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) || listen(fd, 4))
		abort();
	return fd;
}

static void make_world(struct world *w)
{
	int console = w->console = make_pair(&w->peer[0]), irq[DEVICES];
	const struct device_config config[DEVICES] = {
		{ .type = LV_DEV_BLOCK, .block = { .fd = make_disk(), .lock = -1 } },
		{ .type = LV_DEV_CONSOLE, .console = { console, console, console, -1, .multiport = true } },
		{ .type = LV_DEV_NET, .net = { .fd = make_pair(&w->peer[1]), .passt = true, .config = { .mtu = 1500 } } },
		{ .type = LV_DEV_VSOCK, .vsock = { .listener = make_listener(), .outgoing = true, .cid = 3 } },
		{ .type = LV_DEV_RNG },
		{ .type = LV_DEV_BALLOON },
	};
	const char *error;

	guest_init(&w->guest);
	w->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < DEVICES; i++) {
		irq[i] = w->irq;
		if (devices_add(&w->guest.devices, &config[i], &error))
			abort();
	}
	mmio_bus_init(&w->bus, &w->guest.devices, irq);
	w->area = guest_alloc(&w->guest, DEVICES * AREA, 4096);
}

static void free_world(struct world *w)
{
	guest_fini(&w->guest);
	close(w->console);
	close(w->peer[0]);
	close(w->peer[1]);
	close(w->irq);
}

/* ---- steps ---- */

static void write_word(struct world *w, unsigned index, uint32_t offset, uint32_t value)
{
	mmio_write(&w->bus, index, offset, (const uint8_t *)&value, 4);
}

static uint32_t read_word(struct world *w, unsigned index, uint32_t offset)
{
	uint32_t value;

	mmio_read(&w->bus, index, offset, (uint8_t *)&value, 4);
	return value;
}

static gpa_t ring_of(const struct world *w, unsigned index, unsigned queue)
{
	return w->area + index * AREA + queue % 8 * (AREA / 16);
}

static void set_up_queue(struct world *w, unsigned index, unsigned queue)
{
	struct queue_layout at = queue_layout(ring_of(w, index, queue), 8);

	write_word(w, index, VIRTIO_MMIO_QUEUE_SEL, queue);
	write_word(w, index, VIRTIO_MMIO_QUEUE_NUM, 8);
	write_word(w, index, VIRTIO_MMIO_QUEUE_DESC_LOW, at.desc);
	write_word(w, index, VIRTIO_MMIO_QUEUE_AVAIL_LOW, at.driver);
	write_word(w, index, VIRTIO_MMIO_QUEUE_USED_LOW, at.device);
	write_word(w, index, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* As a good driver does it, with some of the features. */
static void set_up(struct world *w, unsigned index, uint32_t mask)
{
	write_word(w, index, VIRTIO_MMIO_STATUS, 0);
	if (read_word(w, index, VIRTIO_MMIO_STATUS))
		abort(); /* a reset cures everything */
	write_word(w, index, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		write_word(w, index, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		write_word(w, index, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		write_word(w, index, VIRTIO_MMIO_DRIVER_FEATURES,
			   read_word(w, index, VIRTIO_MMIO_DEVICE_FEATURES) & (half ? ~0u : mask));
	}
	write_word(w, index, VIRTIO_MMIO_STATUS, 11);
	for (unsigned queue = 0; queue < w->guest.devices.device[index]->queues; queue++)
		set_up_queue(w, index, queue);
	write_word(w, index, VIRTIO_MMIO_STATUS, 15);
}

/* Any access of any width; offsets are registers mostly. */
static void access_registers(struct world *w, unsigned index, struct input *in)
{
	uint8_t how = take(in), bytes[8];
	uint32_t offset = how & 0x80 ? take_word(in) & 0xfff : (take(in) & 0x7fu) * 4;
	unsigned len = how & 0x40 ? 1u << (how & 3) : 4;

	for (unsigned i = 0; i < len; i++)
		bytes[i] = take(in);
	if (how & 0x20)
		mmio_read(&w->bus, index, offset, bytes, len);
	else
		mmio_write(&w->bus, index, offset, bytes, len);
}

/* A descriptor that leads into the area, or anywhere; and its index is made available. */
static void post(struct world *w, unsigned index, struct input *in)
{
	unsigned queue = take(in) % 8, slot = take(in) % 8;
	struct driver driver;
	struct queue_layout at = queue_layout(ring_of(w, index, queue), 8);
	uint8_t shape = take(in);

	driver_init(&driver, &w->guest, &(struct lv_queue){ at.desc, at.driver, at.device, 8, 0 });
	driver.desc[slot] = (struct vring_desc){
		.addr = shape & 0x80 ? take_word(in) : w->area + index * AREA + AREA / 2 + take(in) * 16u,
		.len = shape & 0x40 ? take_word(in) : take(in), .flags = shape & 7, .next = take(in) & (shape & 0x20 ? 0xff : 7) };
	if (shape & 0x10)
		driver_publish(&driver, take(in) & (shape & 8 ? 0xff : 7));
}

static void write_memory(struct world *w, unsigned index, struct input *in)
{
	uint32_t offset = (take(in) | take(in) << 8) % AREA;
	uint8_t *to = guest_ptr(&w->guest, w->area + index * AREA);

	for (unsigned n = take(in) % 64; n && offset < AREA; n--)
		to[offset++] = take(in);
}

static void host_side(struct world *w, struct input *in)
{
	uint8_t bytes[64], n = take(in) % sizeof(bytes);
	int fd = w->peer[n & 1];

	for (unsigned i = 0; i < n; i++)
		bytes[i] = take(in);
	if (n)
		send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void step(struct world *w, struct input *in)
{
	uint8_t what = take(in);
	unsigned index = what % 8;

	switch (index >= DEVICES ? 5 : what / 8 % 8) {
	case 0:
		set_up(w, index, take_word(in));
		return;
	case 1:
	case 2:
		access_registers(w, index, in);
		return;
	case 3:
		write_memory(w, index, in);
		return;
	case 4:
		post(w, index, in);
		return;
	case 5:
		host_side(w, in);
		return;
	case 6:
		write_word(w, index, VIRTIO_MMIO_QUEUE_NOTIFY, take(in));
	}
	loop_once(&w->guest.loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct input input = { data, data + size };

	make_world(&world);
	for (unsigned i = 0; i < STEPS && input.at < input.end; i++)
		step(&world, &input);
	guest_settle(&world.guest);
	for (unsigned i = 0; i < DEVICES; i++)
		if (device_broken(world.guest.devices.device[i]) != !!(read_word(&world, i, VIRTIO_MMIO_STATUS) & 0x40))
			abort();
	free_world(&world);
	return 0;
}
