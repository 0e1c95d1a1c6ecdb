/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * Every device with a guest that sends garbage. The first byte chooses the device, the second its features; the rest is a
 * program of small steps: chains of any shape and content, rings that are written over, configuration writes, resets,
 * and bytes that come from the host's side. Checked: no access outside of the guest's memory, no endless loop, and a device
 * that stops says why.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/input.h"
#include "tests/unit/ring_driver.h"
#include "vmm/dev/balloon.h"
#include "vmm/dev/console.h"

#define STEPS 64
#define PARTS 8
#define BUFFERS 16 /* of BUFFER bytes: addresses come from few values, so that contents meet requests */
#define BUFFER 4096u
#define KINDS 8
#define FS 7 /* its other end speaks in messages */

struct world {
	struct guest guest;
	struct device *device;
	struct driver queue[DEVICE_MAX_QUEUES];
	gpa_t buffer;
	bool page; /* as libos finds it */
	int host;  /* the device's end of the host's side; -1: it has none, or owns it */
	int peer;  /* the other one: where input comes from, or where passt would be */
	bool used; /* bytes came from there: the next input needs a world without them */
};

/* ---- the device ---- */

static int open_disk(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 65536))
		abort();
	return fd;
}

static struct device_config choose(uint8_t which, int fd)
{
	struct device_config console = { .type = LV_DEV_CONSOLE, .console = { fd, fd, fd, -1 } };
	bool odd = which & 0x40;

	switch (which % KINDS) {
	case 0:
		return console;
	case 1:
		console.console.multiport = true;
		console.console.terminal = odd;
		return console;
	case 2:
	case 3:
		close(fd);
		return (struct device_config){ .type = LV_DEV_BLOCK, .block = { .fd = open_disk(), .lock = -1, .read_only = odd } };
	case 4:
		return (struct device_config){ .type = LV_DEV_NET, .net = { .fd = fd, .passt = true } };
	case 5:
		close(fd);
		return (struct device_config){ .type = LV_DEV_RNG };
	case FS:
		return (struct device_config){ .type = LV_DEV_FS, .fs = { .fd = fd, .tag = "volume0", .read_only = odd } };
	default:
		close(fd);
		return (struct device_config){ .type = LV_DEV_BALLOON };
	}
}

static struct world *world_new(uint8_t which)
{
	struct world *w = calloc(1, sizeof(*w));
	struct device_config config;
	int pair[2];

	const int kind = which % KINDS == FS ? SOCK_SEQPACKET : SOCK_STREAM;
	if (!w || socketpair(AF_UNIX, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	guest_init(&w->guest);
	w->peer = pair[1];
	config = choose(which, pair[0]);
	w->host = config.type == LV_DEV_CONSOLE ? pair[0] : -1; /* a console's descriptors stay its creator's */
	w->page = (config.type == LV_DEV_CONSOLE && !config.console.multiport) || which & 0x80;
	w->page = w->page && config.type != LV_DEV_RNG && config.type != LV_DEV_BALLOON && !config.console.multiport;
	w->device = w->page ? guest_add_device(&w->guest, &config) : guest_negotiate_device(&w->guest, &config, 0);
	if (!w->device)
		abort();
	w->buffer = guest_alloc(&w->guest, BUFFERS * BUFFER, 4096);
	return w;
}

static void world_free(struct world *w)
{
	close(w->peer); /* nobody reads any more: what is left goes nowhere */
	guest_settle(&w->guest);
	guest_fini(&w->guest);
	if (w->host >= 0)
		close(w->host);
	free(w);
}

/* As a driver finds it that comes after another one: rings and buffers are all zero, and it takes these features. */
static void world_begin(struct world *w, uint8_t features)
{
	struct device *device = w->device;

	if (!device_broken(device))
		device->ops->pause(device, true);
	device->ops->reset(device);
	device->stats.needs_reset = 0;
	device->stats.error[0] = 0;
	memset(w->guest.ram, 0, w->buffer + BUFFERS * BUFFER - GUEST_BASE);
	for (unsigned i = 0; i < device->queues; i++) {
		const struct lv_queue *ring = w->page ? &w->guest.page.device[0].queue[i] : &w->guest.ring[i];
		const struct queue_layout at = { ring->desc, ring->driver, ring->device };

		if (queue_init(&device->queue[i], &w->guest.mem, &at, ring->size))
			abort();
		device->queue[i].interrupts = !w->page;
		device->queue[i].event_idx = !w->page && features & 1;
		driver_init(&w->queue[i], &w->guest, ring);
	}
	if (!w->page)
		device->features = features * 0x0101010101010101ull & device->ops->offer(device);
	if (loop_update(&w->guest.loop, &device->bell, EPOLLIN))
		abort();
	device->ops->pause(device, false);
}

/* A world is kept from input to input, one of each kind; what the host's side has seen cannot be taken back, and ends it. */
static struct world **world_of(uint8_t which)
{
	static struct world *worlds[KINDS][4];
	struct world **w = &worlds[which % KINDS][which >> 6];

	if (*w && ((*w)->used || ((*w)->device->stats.error[0] && !device_broken((*w)->device)))) {
		world_free(*w);
		*w = NULL;
	}
	if (!*w)
		*w = world_new(which);
	return w;
}

/* ---- steps ---- */

static struct driver *take_queue(struct world *w, struct input *in)
{
	return &w->queue[take(in) % w->device->queues];
}

static struct part take_part(struct world *w, struct input *in)
{
	uint8_t shape = take(in);
	struct part part = { w->buffer + (shape & 15) * BUFFER + take(in), take(in), shape & 0x40 };

	if (shape & 0x10)
		part.len *= 257; /* beyond its buffer */
	if (shape & 0x20)
		part.gpa = take_word(in);
	return part;
}

static void post(struct world *w, struct input *in)
{
	struct driver *queue = take_queue(w, in);
	struct part part[PARTS];
	unsigned parts = take(in) % PARTS + 1;

	for (unsigned i = 0; i < parts && i < queue->size; i++)
		part[i] = take_part(w, in);
	driver_post(queue, part, parts < queue->size ? parts : queue->size);
}

static void write_memory(struct world *w, struct input *in)
{
	uint8_t *to = guest_ptr(&w->guest, w->buffer + (take(in) & 15) * BUFFER + take(in));

	for (unsigned n = take(in); n; n--)
		*to++ = take(in);
}

static void write_rings(struct world *w, struct input *in)
{
	size_t rings = w->buffer - GUEST_BASE, at = take_word(in) % rings;

	for (unsigned n = take(in) & 31; n && at < rings; n--, at++)
		w->guest.ram[at] = take(in);
}

static void configure(struct world *w, struct input *in)
{
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 }, bytes[8];
	unsigned offset = take(in), len = 1u << (take(in) & 3);

	for (unsigned i = 0; i < len; i++)
		bytes[i] = take(in);
	if (w->device->ops->configure && offset <= DEVICE_CONFIG_MAX - len)
		w->device->ops->configure(w->device, offset, bytes, len);
	if (w->device->ops->configuration && w->device->ops->configuration(w->device, space) > sizeof(space))
		abort();
}

/* As the transport does it; the rings stay where they are. */
static void reset(struct world *w)
{
	struct device *device = w->device;

	if (device_broken(device))
		return;
	device->ops->pause(device, true);
	device->ops->reset(device);
	for (unsigned i = 0; i < device->queues; i++) {
		device->queue[i].next_avail = device->queue[i].next_used = device->queue[i].published = 0;
		device->queue[i].broken = NULL;
	}
	device->ops->pause(device, false);
}

/* Of the server of a volume, who may lie as well: of so many bytes, to what was asked or not. */
static void answer_message(struct world *w, struct input *in)
{
	struct fuse_in_header asked = { 0 };
	uint8_t reply[sizeof(struct fuse_out_header) + 255] = { 0 };
	bool is_asked = recv(w->peer, &asked, sizeof(asked), MSG_DONTWAIT) >= (ssize_t)sizeof(asked);
	struct fuse_out_header header = { .len = take(in), .error = (int8_t)take(in), .unique = is_asked ? asked.unique : take(in) };

	memcpy(reply, &header, sizeof(header));
	send(w->peer, reply, take(in) + (header.len & 1) * sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void from_host(struct world *w, struct input *in)
{
	uint8_t bytes[256];

	w->used = true;
	if (w->device->ops->type == LV_DEV_FS && take(in) & 7) {
		answer_message(w, in);
		return;
	}
	unsigned n = take(in);
	for (unsigned i = 0; i < n; i++)
		bytes[i] = take(in);
	if (n ? send(w->peer, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 : shutdown(w->peer, SHUT_WR) < 0)
		return; /* full, or ended before */
}

static void ignore(void *context)
{
}

static void control(struct world *w, struct input *in)
{
	struct lv_balloon balloon;
	uint32_t value = take_word(in);

	if (w->device->ops->type == LV_DEV_CONSOLE)
		console_resize(w->device, value >> 16, value);
	if (w->device->ops->type != LV_DEV_BALLOON)
		return;
	if (value & 1)
		balloon_set(w->device, value);
	else
		balloon_ask(w->device, ignore, NULL);
	balloon_state(w->device, &balloon);
}

static void step(struct world *w, struct input *in)
{
	switch (take(in) & 7) {
	case 0:
	case 1:
		post(w, in);
		return;
	case 2:
		write_memory(w, in);
		return;
	case 3:
		write_rings(w, in);
		return;
	case 4:
		configure(w, in);
		return;
	case 5:
		from_host(w, in);
		return;
	case 6:
		control(w, in);
		return;
	default:
		if (take(in) & 1)
			reset(w);
		else
			guest_ring(&w->guest, w->device);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t which = take(&in), features = take(&in);
	struct world *w = *world_of(which);

	world_begin(w, features);
	for (unsigned i = 0; i < STEPS && in.at < in.end; i++)
		step(w, &in);
	guest_ring(&w->guest, w->device);
	if (device_broken(w->device) && !w->device->stats.error[0])
		abort();
	return 0;
}
