/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon (virtio 1.2, section 5.5): pages that the guest hands over, or reports to be free, go back to the host. Their
 * memory stays mapped and reads as zero when it is used again, so nothing that the guest says can harm anybody but itself:
 * not even a page that another device is working on.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>

#include "base/clock.h"
#include "vmm/dev/balloon.h"
#include "vmm/device.h"
#include "vmm/state/stream.h"

#define PAGE 4096ull       /* the unit of page numbers, whatever the guest's pages are */
#define PFNS 256u          /* that are looked at in one go */
#define PFNS_MAX 1024u     /* of one chain (Linux sends 256); what is beyond stays where it is, and no bell takes long */
#define REPORT_MAX (1u << 30) /* bytes of one report: Linux sends up to 32 blocks of 4 MiB */
#define REPORT_SIZE 64     /* Linux wants at least 32 */
#define CHAINS 4           /* in one go: unmapping takes its time, and others want their turn */
#define STATS_MAX 32u      /* entries of one answer that are read */

enum { INFLATE, DEFLATE, OTHERS, QUEUES = 5 };

struct balloon {
	struct device device;
	bool paused, has_driver;
	uint32_t target, actual; /* pages */
	uint64_t reported;       /* bytes, in all */
	/* the driver's buffer, kept until new statistics are wanted */
	bool held;
	uint16_t head;
	uint64_t stats_ns;
	uint64_t stat[LV_BALLOON_STATS];
	void (*told)(void *context); /* the guest has told its statistics; NULL: nobody waits */
	void *context;
};

static struct balloon *balloon_of(struct device *device)
{
	return (struct balloon *)device;
}

static bool agreed(const struct balloon *balloon, unsigned feature)
{
	return balloon->device.features >> feature & 1;
}

/* ---- pages that the guest hands over ---- */

struct run { /* of neighbouring pages; len 0: none */
	gpa_t gpa;
	uint64_t len;
};

static void run_end(struct balloon *balloon, struct run *run)
{
	if (run->len)
		mem_drop(balloon->device.set->mem, run->gpa, run->len); /* pages that are not there were left out */
	run->len = 0;
}

static void run_add(struct balloon *balloon, struct run *run, gpa_t gpa)
{
	/* A page that is not there must not take its neighbours along. */
	if (!mem_at(balloon->device.set->mem, gpa, PAGE))
		return;
	if (run->len && gpa + PAGE == run->gpa) {
		run->gpa = gpa;
		run->len += PAGE;
		return;
	}
	if (!run->len || gpa != run->gpa + run->len) {
		run_end(balloon, run);
		run->gpa = gpa;
	}
	run->len += PAGE;
}

static void inflate(struct balloon *balloon, const struct chain *chain)
{
	struct run run = { 0 };
	uint32_t pfn[PFNS];
	size_t n;

	for (size_t at = 0; at < PFNS_MAX * sizeof(*pfn); at += n) {
		n = chain_copy_in(chain, at, pfn, sizeof(pfn)) / sizeof(*pfn) * sizeof(*pfn);
		if (!n)
			break;
		for (unsigned i = 0; i < n / sizeof(*pfn); i++)
			run_add(balloon, &run, pfn[i] * PAGE);
	}
	run_end(balloon, &run);
}

/* ---- pages that the guest reports to be free ---- */

static void report(struct balloon *balloon, const struct chain *chain)
{
	for (unsigned i = 0; i < chain->writable; i++) {
		const struct iovec *part = chain_writable(chain) + i;
		uintptr_t start = ((uintptr_t)part->iov_base + PAGE - 1) & ~(PAGE - 1);
		uintptr_t end = ((uintptr_t)part->iov_base + part->iov_len) & ~(PAGE - 1);

		if (end <= start)
			continue;
		mem_drop_at(balloon->device.set->mem, (void *)start, end - start);
		balloon->reported += end - start;
	}
}

/* ---- statistics ---- */

static void return_buffer(struct balloon *balloon)
{
	if (!balloon->held)
		return;
	balloon->held = false;
	device_push(&balloon->device, OTHERS, balloon->head, 0);
	device_publish(&balloon->device, OTHERS);
}

static void read_stats(struct balloon *balloon, const struct chain *chain)
{
	struct virtio_balloon_stat stat[STATS_MAX];
	size_t count = chain_copy_in(chain, 0, stat, sizeof(stat)) / sizeof(*stat);

	memset(balloon->stat, 0xff, sizeof(balloon->stat));
	for (size_t i = 0; i < count; i++)
		if (stat[i].tag < LV_BALLOON_STATS)
			balloon->stat[stat[i].tag] = stat[i].val;
	balloon->stats_ns = clock_now();
}

static void stats_process(struct balloon *balloon)
{
	struct chain *chain = &balloon->device.set->chain;
	bool news = false;

	/* One buffer is kept; a driver that brings a second gets the first back. */
	for (unsigned n = 0; n < balloon->device.queue_size[OTHERS] && device_pop(&balloon->device, OTHERS, chain); n++) {
		return_buffer(balloon);
		read_stats(balloon, chain);
		balloon->head = chain->head;
		balloon->held = news = true;
	}
	if (news && balloon->told)
		balloon->told(balloon->context);
}

/* ---- queues ---- */

/*
 * Which queue carries what depends on the features: queues of features that were not agreed on leave no gap in Linux (and
 * QEMU), but do in the specification. We do not offer free page hints, so both orders can be served.
 */
static bool is_stats(const struct balloon *balloon, unsigned queue)
{
	return queue == OTHERS && agreed(balloon, VIRTIO_BALLOON_F_STATS_VQ);
}

static void handle(struct balloon *balloon, unsigned queue, const struct chain *chain)
{
	if (queue == INFLATE)
		inflate(balloon, chain);
	else if (queue >= OTHERS && agreed(balloon, VIRTIO_BALLOON_F_REPORTING))
		report(balloon, chain);
	/* Deflated pages come back by themselves when they are touched. */
}

static bool balloon_process(struct device *device, unsigned queue)
{
	struct balloon *balloon = balloon_of(device);
	struct chain *chain = &device->set->chain;

	if (balloon->paused)
		return false;
	balloon->has_driver = true;
	if (is_stats(balloon, queue)) {
		stats_process(balloon);
		return true;
	}
	device->queue[queue].chain_bytes = REPORT_MAX;
	for (unsigned n = 0; n < CHAINS && device_pop(device, queue, chain); n++) {
		handle(balloon, queue, chain);
		device_push(device, queue, chain->head, 0);
	}
	device_publish(device, queue);
	return true;
}

/* ---- control ---- */

int balloon_set(struct device *device, uint64_t bytes)
{
	struct balloon *balloon = balloon_of(device);

	if (bytes / PAGE > UINT32_MAX)
		return -ERANGE;
	if (!balloon->has_driver)
		return -ENOTCONN;
	balloon->target = bytes / PAGE;
	device_reconfigured(device);
	return 0;
}

int balloon_ask(struct device *device, void (*told)(void *context), void *context)
{
	struct balloon *balloon = balloon_of(device);

	if (!balloon->has_driver || !agreed(balloon, VIRTIO_BALLOON_F_STATS_VQ))
		return -ENOTCONN;
	balloon->told = told;
	balloon->context = context;
	return_buffer(balloon);
	return 0;
}

void balloon_state(const struct device *device, struct lv_balloon *state)
{
	const struct balloon *balloon = (const struct balloon *)device;

	state->present = balloon->has_driver;
	state->target = balloon->target * PAGE;
	state->actual = balloon->actual * PAGE;
	state->reported = balloon->reported;
	state->stats_ns = balloon->stats_ns;
	memcpy(state->stat, balloon->stat, sizeof(state->stat));
}

/* ---- device operations ---- */

static int balloon_init(struct device *device, const struct device_config *config)
{
	memset(balloon_of(device)->stat, 0xff, sizeof(balloon_of(device)->stat));
	for (unsigned i = 0; i < QUEUES; i++)
		device_add_queue(device, i < OTHERS ? 16 : REPORT_SIZE, i);
	return 0;
}

static uint64_t balloon_offer(const struct device *device)
{
	return 1ull << VIRTIO_BALLOON_F_STATS_VQ | 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1ull << VIRTIO_BALLOON_F_REPORTING;
}

static unsigned balloon_configuration(const struct device *device, uint8_t *space)
{
	const struct balloon *balloon = (const struct balloon *)device;
	struct virtio_balloon_config config = { .num_pages = balloon->target, .actual = balloon->actual };

	memcpy(space, &config, sizeof(config));
	return sizeof(config);
}

/* The driver tells how many pages it has given: a number to show, nothing that we rely on. */
static void balloon_configure(struct device *device, unsigned offset, const uint8_t *bytes, unsigned len)
{
	struct balloon *balloon = balloon_of(device);
	unsigned at = offset - offsetof(struct virtio_balloon_config, actual);

	if (offset >= offsetof(struct virtio_balloon_config, actual) && at < sizeof(balloon->actual) && len <= sizeof(balloon->actual) - at)
		memcpy((uint8_t *)&balloon->actual + at, bytes, len);
}

static int balloon_start(struct device *device)
{
	return 0; /* the driver brings a buffer for statistics, pages when they are wanted */
}

static void balloon_pause(struct device *device, bool on)
{
	balloon_of(device)->paused = on;
	for (unsigned i = 0; !on && i < device->queues; i++)
		device_run(device, i);
}

static void balloon_reset(struct device *device)
{
	struct balloon *balloon = balloon_of(device);

	balloon->held = balloon->has_driver = false;
	balloon->actual = 0;
}

static bool balloon_drain(struct device *device)
{
	return true;
}

/* The buffer for statistics waits in its ring, and is looked at again. */
static void balloon_quiesce(struct device *device)
{
	struct balloon *balloon = balloon_of(device);

	if (balloon->held)
		queue_unpop(&device->queue[OTHERS], 1);
	balloon->held = false;
}

#define BALLOON_TAG STREAM_TAG("BALL")
#define BALLOON_VERSION 1

static int balloon_save(const struct device *device, struct stream *stream)
{
	const struct balloon *balloon = (const struct balloon *)device;

	stream_begin(stream, BALLOON_TAG, BALLOON_VERSION);
	stream_put32(stream, balloon->target);
	stream_put32(stream, balloon->actual);
	stream_put64(stream, balloon->reported);
	stream_put8(stream, balloon->has_driver);
	return stream_end(stream);
}

static int balloon_load(struct device *device, struct stream *stream)
{
	struct balloon *balloon = balloon_of(device);

	stream_begin(stream, BALLOON_TAG, BALLOON_VERSION);
	uint32_t target = stream_get32(stream), actual = stream_get32(stream);
	uint64_t reported = stream_get64(stream);
	bool has_driver = stream_get_bool(stream);
	int err = stream_end(stream);
	if (err)
		return err;
	balloon->target = target;
	balloon->actual = actual;
	balloon->reported = reported;
	balloon->has_driver = has_driver;
	return 0;
}

static void balloon_free(struct device *device)
{
}

const struct device_ops balloon_ops = {
	.type = LV_DEV_BALLOON,
	.name = "balloon",
	.failure = "balloon",
	.size = sizeof(struct balloon),
	.init = balloon_init,
	.start = balloon_start,
	.process = balloon_process,
	.pause = balloon_pause,
	.reset = balloon_reset,
	.drain = balloon_drain,
	.quiesce = balloon_quiesce,
	.save = balloon_save,
	.load = balloon_load,
	.offer = balloon_offer,
	.configuration = balloon_configuration,
	.configure = balloon_configure,
	.free = balloon_free,
};
