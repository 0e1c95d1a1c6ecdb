/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on the rings of a device. */
#include <linux/virtio_ring.h>

#include "hostile.h"

struct ring {
	const volatile struct lv_queue *queue;
	volatile struct vring_desc *desc;
	volatile uint16_t *avail; /* flags, idx, ring[] */
	volatile uint16_t *used;
	uint64_t used_bytes;
	uint64_t free_page; /* ordinary RAM that the device may touch */
};

static uint32_t target_type(void)
{
	return !strcmp(target, "net") ? LV_DEV_NET : !strcmp(target, "block") ? LV_DEV_BLOCK : LV_DEV_CONSOLE;
}

/* The queue that the guest sends by; the program ends when there is no such device. */
static struct ring find_ring(void)
{
	uint32_t type = target_type();

	for (unsigned i = 0; i < devices->device_count && i < LV_MAX_DEVICES; i++) {
		const volatile struct lv_queue *q = &devices->device[i].queue[type == LV_DEV_BLOCK ? 0 : 1];

		if (devices->device[i].type == type)
			return (struct ring){.queue = q, .desc = (void *)q->desc, .avail = (void *)q->driver, .used = (void *)q->device,
				.used_bytes = 6 + 8ull * q->size, .free_page = devices->heap_start + (1 << 20)};
	}
	printf("no such device\n");
	fflush(stdout);
	leave(77);
	__builtin_unreachable();
}

static void offer(struct ring *r, uint16_t head)
{
	uint16_t idx = r->avail[1];

	r->avail[2 + idx % r->queue->size] = head;
	__asm__ volatile("" ::: "memory");
	r->avail[1] = (uint16_t)(idx + 1);
	bell_write(r->queue->bell, 0);
}

static void offer_one(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct ring r = find_ring();

	r.desc[0].addr = addr;
	r.desc[0].len = len;
	r.desc[0].flags = flags;
	r.desc[0].next = next;
	offer(&r, 0);
}

static void bad_head(void)
{
	struct ring r = find_ring();

	offer(&r, 0xffff);
}

static void bad_index(void)
{
	struct ring r = find_ring();

	r.avail[1] = (uint16_t)(r.avail[1] + 0x4000);
	bell_write(r.queue->bell, 0);
}

static void index_back(void)
{
	struct ring r = find_ring();

	r.avail[1] = (uint16_t)(r.avail[1] - 3);
	bell_write(r.queue->bell, 0);
}

static void bad_address(void)
{
	offer_one(0xdeadbeef000, 4096, 0, 0);
}

static void wrapping_address(void)
{
	offer_one(UINT64_MAX - 10, 4096, 0, 0);
}

static void beyond_end(void)
{
	offer_one(LV_RAM + devices->ram_size - 100, 4096, 0, 0);
}

static void huge_length(void)
{
	offer_one(find_ring().free_page, 0xffffffff, 0, 0);
}

static void no_length(void)
{
	offer_one(find_ring().free_page, 0, 0, 0);
}

static void loop_of_one(void)
{
	offer_one(find_ring().free_page, 16, VRING_DESC_F_NEXT, 0);
}

static void long_loop(void)
{
	struct ring r = find_ring();

	for (unsigned i = 0; i < r.queue->size; i++) {
		r.desc[i].addr = r.free_page;
		r.desc[i].len = 1;
		r.desc[i].flags = VRING_DESC_F_NEXT;
		r.desc[i].next = (uint16_t)((i + 1) % r.queue->size);
	}
	offer(&r, 0);
}

/* A legal chain of all descriptors, each as long as can be: bounded work, bounded memory. */
static void big_chain(void)
{
	struct ring r = find_ring();

	for (unsigned i = 0; i < r.queue->size; i++) {
		r.desc[i].addr = r.free_page;
		r.desc[i].len = 1 << 20;
		r.desc[i].flags = i + 1 < r.queue->size ? VRING_DESC_F_NEXT : 0;
		r.desc[i].next = (uint16_t)(i + 1);
	}
	offer(&r, 0);
}

static void bad_next(void)
{
	offer_one(find_ring().free_page, 16, VRING_DESC_F_NEXT, 0x8000);
}

static void indirect(void)
{
	offer_one(find_ring().free_page, 64, VRING_DESC_F_INDIRECT, 0);
}

static void wrong_direction(void)
{
	offer_one(find_ring().free_page, 64, VRING_DESC_F_WRITE, 0);
}

static void write_stubs(void)
{
	offer_one(LV_STUBS, 4096, VRING_DESC_F_WRITE, 0);
}

static void write_device_page(void)
{
	offer_one(LV_DEVICE, 4096, VRING_DESC_F_WRITE, 0);
}

static void read_bell(void)
{
	offer_one(LV_BELL_GPA, 4096, 0, 0);
}

static void write_image(void)
{
	offer_one(LV_IMAGE(devices->image_size), 4096, VRING_DESC_F_WRITE, 0);
}

static void same_head_often(void)
{
	struct ring r = find_ring();

	r.desc[0].addr = r.free_page;
	r.desc[0].len = 8;
	r.desc[0].flags = 0;
	for (unsigned i = 0; i < 3 * r.queue->size; i++)
		offer(&r, 0);
}

static void used_scribble(void)
{
	struct ring r = find_ring();

	for (int round = 0; round < 50; round++) {
		for (unsigned i = 0; i < r.used_bytes / 2; i++)
			r.used[i] = (uint16_t)random_next();
		offer_one(r.free_page, 16, 0, 0);
	}
}

/* Changes a descriptor while the device may be looking at it: what it reads twice, it reads differently. */
static void race(void)
{
	struct ring r = find_ring();

	for (int round = 0; round < 3000; round++) {
		r.desc[0].addr = r.free_page;
		r.desc[0].len = 16;
		r.desc[0].flags = 0;
		offer(&r, 0);
		for (int i = 0; i < 20; i++) {
			r.desc[0].addr = i & 1 ? r.free_page : UINT64_MAX - 8;
			r.desc[0].len = i & 1 ? 16 : 0xfffffff0;
			r.desc[0].flags = i & 2 ? VRING_DESC_F_NEXT : 0;
		}
	}
}

static void scribble_all(void)
{
	struct ring r = find_ring();

	for (int round = 0; round < 200; round++) {
		for (unsigned i = 0; i < r.queue->size * sizeof(struct vring_desc) / 8; i++)
			((volatile uint64_t *)r.desc)[i] = random_next();
		for (unsigned i = 0; i < 2 + r.queue->size; i++)
			r.avail[i] = (uint16_t)random_next();
		bell_write(r.queue->bell, (uint32_t)random_next());
	}
}

/* Well-formed chains with random contents: for a block device requests, for a net device frames. */
static void random_contents(void)
{
	struct ring r = find_ring();
	volatile uint64_t *page = (void *)r.free_page;

	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 64; i++)
			page[i] = random_next() & (random_next() % 3 ? 0xff : UINT64_MAX);
		r.desc[0].addr = r.free_page;
		r.desc[0].len = (uint32_t)(random_next() % 64);
		r.desc[0].flags = VRING_DESC_F_NEXT;
		r.desc[0].next = 1;
		r.desc[1].addr = r.free_page + 512;
		r.desc[1].len = (uint32_t)(random_next() % 2048);
		r.desc[1].flags = (uint16_t)(VRING_DESC_F_NEXT | (random_next() & 2));
		r.desc[1].next = 2;
		r.desc[2].addr = r.free_page + 4096;
		r.desc[2].len = 1;
		r.desc[2].flags = VRING_DESC_F_WRITE;
		offer(&r, 0);
		let_pass(0);
	}
}

/* What a neighbour on a bridge must not get from this guest, and at the end a frame that it may: tests/e2e/spoof.sh looks for them. */
static void forged(void)
{
	static const uint8_t all[] = {255, 255, 255, 255, 255, 255}, bridges[] = {1, 0x80, 0xc2, 0, 0, 0}, foreign[] = {2, 0, 0, 0, 0, 99};
	static const uint8_t arp[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, ip[] = {8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 255, 0, 0}, other[] = {0x88, 0xb5}, tree[] = {0, 46};
	static const struct {
		const uint8_t *to, *from, *rest; /* from NULL: its own */
		size_t size;
	} frames[] = {{all, foreign, other, sizeof(other)}, {bridges, NULL, tree, sizeof(tree)}, {all, NULL, arp, sizeof(arp)},
		{all, NULL, ip, sizeof(ip)}, {all, NULL, other, sizeof(other)}};
	enum { FRAMES = sizeof(frames) / sizeof(frames[0]), HEADER = 12, SIZE = 128 };
	struct ring r = find_ring();
	uint8_t own[6] = {0}, *at = (uint8_t *)r.free_page;

	for (unsigned i = 0; i < devices->device_count && i < LV_MAX_DEVICES; i++)
		for (unsigned k = 0; devices->device[i].type == LV_DEV_NET && k < sizeof(own); k++)
			own[k] = devices->device[i].config.net.mac[k];
	for (unsigned i = 0; i < FRAMES; i++, at += SIZE) {
		memset(at, 0, SIZE);
		memcpy(at + HEADER, frames[i].to, 6);
		memcpy(at + HEADER + 6, frames[i].from ? frames[i].from : own, 6);
		memcpy(at + HEADER + 12, frames[i].rest, frames[i].size);
		if (frames[i].rest == arp) { /* "10.8.0.1 is here" */
			memcpy(at + HEADER + 22, own, 6);
			memcpy(at + HEADER + 28, (const uint8_t[]){10, 8, 0, 1}, 4);
		}
		memcpy(at + HEADER + 54, i + 1 < FRAMES ? "forged" : "honest", 6);
		r.desc[i].addr = (uint64_t)(uintptr_t)at;
		r.desc[i].len = HEADER + 60;
		r.desc[i].flags = 0;
		offer(&r, (uint16_t)i);
	}
}

static void bell_storm(void)
{
	for (int i = 0; i < 50000; i++)
		bell_write((uint32_t)(random_next() % 16) * 4, 0);
}

#define ALL "console block net"

const struct attack ring_attacks[] = {
	{"bad-head", bad_head, ALL}, {"bad-index", bad_index, ALL}, {"index-back", index_back, ALL}, {"bad-address", bad_address, ALL},
	{"wrapping-address", wrapping_address, ALL}, {"beyond-end", beyond_end, ALL}, {"huge-length", huge_length, ALL},
	{"no-length", no_length, "block net"}, {"loop-of-one", loop_of_one, ALL}, {"long-loop", long_loop, ALL}, {"big-chain", big_chain, "block net"},
	{"bad-next", bad_next, ALL}, {"indirect", indirect, "block net"}, {"wrong-direction", wrong_direction, "block net"},
	{"write-stubs", write_stubs, ALL}, {"write-device-page", write_device_page, ALL}, {"read-bell", read_bell, ALL},
	{"write-image", write_image, ALL}, {"same-head-often", same_head_often, "?"}, {"used-scribble", used_scribble, "?"},
	{"race", race, "?"}, {"scribble-all", scribble_all, ALL}, {"random-contents", random_contents, "?"},
	{"forged", forged, "block"},
	{"bell-storm", bell_storm, NULL}, {NULL, NULL, NULL},
};
