/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a split virtqueue (virtio 1.2, section 2.7). Chains use the descriptors' own next links. */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"

#include <linux/errno.h>

#define DESC_NEXT 1
#define DESC_WRITE 2
#define USED_NO_NOTIFY 1

struct desc { uint64_t addr; uint32_t len; uint16_t flags, next; };
struct avail { uint16_t flags, idx, ring[]; };
struct used_elem { uint32_t id, len; };
struct used { uint16_t flags, idx; struct used_elem ring[]; };

static struct ring *put_off; /* whose bells are rung later */
static const struct ring *rung; /* the last one whose bell was, and */
static uint16_t rung_at;        /* what the device had given back by then */

static struct desc *descs(const struct ring *ring) { return (struct desc *)ring->queue->desc; }
static volatile struct avail *avail(const struct ring *ring) { return (volatile struct avail *)ring->queue->driver; }
static volatile struct used *used(const struct ring *ring) { return (volatile struct used *)ring->queue->device; }

/* The free list is the order of the table as long as nothing was returned: an unused table stays untouched memory. */
void ring_init(struct ring *ring, const struct lv_device *device, unsigned queue, void **cookie, unsigned places)
{
	ring->device = device;
	ring->queue = &device->queue[queue];
	ring->size = ring->queue->size;
	ring->cookie = cookie;
	if (ring->size > places)
		panic("queue %u of a device of type %u has %u entries, its driver is made for %u", queue, device->type, ring->size, places);
	ring->free_count = ring->size;
	ring->free_head = 0;
	ring->fresh = 0;
	ring->last_used = ring->told = ring->wish = 0;
	ring->by_index = device->features & LV_DEVICE_EVENT_IDX;
}

bool ring_broken(const struct ring *ring)
{
	return ring->broken || (*(const volatile uint64_t *)&ring->device->features & LV_DEVICE_NEEDS_RESET);
}

/* The next free descriptor. Its link is as good as the table is: the caller looks at broken. */
static uint16_t take_desc(struct ring *ring)
{
	ring->free_count--;
	if (ring->fresh < ring->size)
		return ring->fresh++;
	uint16_t at = ring->free_head;
	if (at >= ring->size) {
		ring->broken = true;
		return 0;
	}
	ring->free_head = descs(ring)[at].next;
	return at;
}

int ring_add(struct ring *ring, const struct ring_buffer *buffers, unsigned count, void *cookie)
{
	if (ring_broken(ring))
		return -EIO;
	if (count == 0 || count > ring->free_count)
		return -ENOSPC;
	uint16_t head = 0, previous = 0;
	for (unsigned i = 0; i < count; i++) {
		uint16_t at = take_desc(ring);
		descs(ring)[at] = (struct desc){ .addr = (uint64_t)buffers[i].data, .len = buffers[i].len,
			.flags = buffers[i].device_writes ? DESC_WRITE : 0 };
		if (i == 0) {
			head = at;
		} else {
			descs(ring)[previous].next = at;
			descs(ring)[previous].flags |= DESC_NEXT;
		}
		previous = at;
	}
	if (ring->broken)
		return -EIO;
	ring->cookie[head] = cookie;
	uint16_t idx = avail(ring)->idx;
	avail(ring)->ring[idx & (ring->size - 1)] = head;
	__atomic_store_n(&avail(ring)->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	return 0;
}

/* The index at which the device wants a bell stands behind the used ring, and ours behind the available one (virtio 1.2, 2.7.7.2 and 2.7.10). */
static uint16_t bell_wish(const struct ring *ring)
{
	const volatile void *end = &used(ring)->ring[ring->size];

	return *(const volatile uint16_t *)end;
}

/* By index: once, when we go beyond the one that the device named. It is told then, though it may not have looked yet. */
static bool wants_bell(struct ring *ring)
{
	uint16_t idx = avail(ring)->idx, told = ring->told;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index must be seen before we look at the device's wish */
	ring->told = idx;
	if (ring->by_index ? (uint16_t)(idx - bell_wish(ring) - 1) >= (uint16_t)(idx - told) : used(ring)->flags & USED_NO_NOTIFY)
		return false;
	rung = ring;
	rung_at = used(ring)->idx;
	return true;
}

bool rings_heard(void)
{
	return !rung || used(rung)->idx != rung_at;
}

void ring_kick(struct ring *ring)
{
	if (wants_bell(ring))
		bell_ring(ring->queue->bell);
}

void ring_kick_later(struct ring *ring)
{
	if (ring->is_put_off)
		return;
	ring->is_put_off = true;
	ring->next_put_off = put_off;
	put_off = ring;
}

void rings_flush(void)
{
	uint64_t bells = rings_take_bells();
	for (unsigned n = 0; bells; n++, bells >>= 1)
		if (bells & 1)
			bell_ring(4 * n);
}

uint64_t rings_take_bells(void)
{
	uint64_t bells = 0;
	for (struct ring *ring = put_off; ring; ring = ring->next_put_off) {
		ring->is_put_off = false;
		if (wants_bell(ring))
			bells |= 1ull << ring->queue->bell / 4;
	}
	put_off = NULL;
	return bells;
}

static bool is_used(const struct ring *ring)
{
	return __atomic_load_n(&used(ring)->idx, __ATOMIC_ACQUIRE) != ring->last_used;
}

static void wish_for(struct ring *ring, uint16_t index)
{
	ring->wish = index;
	avail(ring)->ring[ring->size] = index;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our wish must be seen before we look at the device's index for the last time */
}

/* True: the device did not know that we want to hear of the next one. */
static bool wish(struct ring *ring)
{
	if (!ring->by_index || ring->silent || ring->wish == ring->last_used)
		return false;
	wish_for(ring, ring->last_used);
	return true;
}

bool ring_has_used(struct ring *ring)
{
	return (is_used(ring) || (wish(ring) && is_used(ring))) && !ring_broken(ring);
}

void ring_listen(struct ring *ring, bool on)
{
	ring->silent = !on;
	wish_for(ring, on ? ring->last_used : ring->last_used - 1); /* that has passed: not reached for 65,535 more */
}

/* Back to the free list; false if the table does not hold such a chain. */
static bool free_chain(struct ring *ring, uint16_t head)
{
	uint16_t tail = head, links = 1;
	while (descs(ring)[tail].flags & DESC_NEXT) {
		tail = descs(ring)[tail].next;
		if (tail >= ring->size || ++links > ring->size - ring->free_count)
			return false;
	}
	descs(ring)[tail].next = ring->free_head;
	ring->free_head = head;
	ring->free_count += links;
	return true;
}

/* A used element that answers no chain of ours: somebody else wrote to the ring, and from here on nothing in it can be believed. */
void *ring_get_used(struct ring *ring, uint32_t *len)
{
	if (!ring_has_used(ring))
		return NULL;
	struct used_elem elem = { used(ring)->ring[ring->last_used & (ring->size - 1)].id,
				 used(ring)->ring[ring->last_used & (ring->size - 1)].len };
	void *cookie = elem.id < ring->size ? ring->cookie[elem.id] : NULL;
	if (!cookie || !free_chain(ring, elem.id)) {
		ring->broken = true;
		return NULL;
	}
	ring->last_used++;
	ring->cookie[elem.id] = NULL;
	if (len)
		*len = elem.len;
	return cookie;
}
