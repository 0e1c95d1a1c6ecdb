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

static uint64_t bells_put_off; /* bit n: LV_BELL + 4 * n */

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
	ring->last_used = 0;
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

static bool wants_bell(const struct ring *ring)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index must be seen before we look at the device's flag */
	return !(used(ring)->flags & USED_NO_NOTIFY);
}

static void ring_bell(unsigned bell)
{
	shared_page->calls.bells++;
	*(volatile uint32_t *)(LV_BELL + bell) = 1;
}

void ring_kick(struct ring *ring)
{
	if (!wants_bell(ring))
		return; /* what was put off for another queue of the same doorbell stays put off */
	bells_put_off &= ~(1ull << ring->queue->bell / 4);
	ring_bell(ring->queue->bell);
}

void ring_kick_later(struct ring *ring)
{
	bells_put_off |= 1ull << ring->queue->bell / 4;
}

void rings_flush(void)
{
	uint64_t bells = rings_take_bells();
	for (unsigned n = 0; bells; n++, bells >>= 1)
		if (bells & 1)
			ring_bell(4 * n);
}

uint64_t rings_take_bells(void)
{
	uint64_t bells = bells_put_off;
	bells_put_off = 0;
	return bells;
}

bool ring_has_used(const struct ring *ring)
{
	return __atomic_load_n(&used(ring)->idx, __ATOMIC_ACQUIRE) != ring->last_used && !ring_broken(ring);
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
