/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive buffers. Few of them at first, since an idle VM should be small; their number grows up to the ring's size when frames
 * come in bursts. One piece of memory holds a small one's pbuf and its bytes. Where frames may be as large as 64 KiB and span
 * buffers, the buffers are large, and pages of their own: what no frame was written to is memory that the host never gave, and
 * a VM that starts does not touch a page for each.
 */
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/net/virtio_net.h"

#include "lwip/pbuf.h"

#define SMALL_SIZE 2048
#define SMALL_FIRST 16
#define LARGE_ORDER 2
#define LARGE_SIZE (4096u << LARGE_ORDER)
#define LARGE_FIRST 8
#define LARGE_MOST 128
#define COPY_BELOW 512
#define KEEP 32 /* free buffers */

struct rx_buffer {
	struct pbuf_custom custom; /* must be first: lwIP frees a struct pbuf */
	struct rx_buffer *next;
	uint8_t *data;
	uint32_t capacity; /* LARGE_SIZE: data is pages */
} __attribute__((aligned(16)));

static struct {
	struct rx_buffer *free;
	unsigned free_count;
	unsigned in_ring, target, most;
	uint32_t capacity; /* of new buffers */
} rx;

static struct rx_buffer *buffer_make(void)
{
	bool large = rx.capacity == LARGE_SIZE;
	struct rx_buffer *buffer = kmalloc(sizeof(*buffer) + (large ? 0 : rx.capacity));
	if (!buffer)
		return NULL;
	buffer->capacity = rx.capacity;
	buffer->data = large ? page_alloc(LARGE_ORDER) : (uint8_t *)(buffer + 1);
	if (buffer->data)
		return buffer;
	kfree(buffer);
	return NULL;
}

static void buffer_drop(struct rx_buffer *buffer)
{
	if (buffer->capacity == LARGE_SIZE)
		page_free(buffer->data, LARGE_ORDER);
	kfree(buffer);
}

static struct rx_buffer *buffer_new(void)
{
	struct rx_buffer *buffer = rx.free;
	if (!buffer)
		return buffer_make();
	rx.free = buffer->next;
	rx.free_count--;
	return buffer;
}

static void buffer_free(struct pbuf *p)
{
	struct rx_buffer *buffer = (struct rx_buffer *)p;
	if (rx.free_count >= KEEP) {
		buffer_drop(buffer);
		return;
	}
	buffer->next = rx.free;
	rx.free = buffer;
	rx.free_count++;
}

static void fill(struct ring *ring)
{
	bool any = false;
	for (; rx.in_ring < rx.target; rx.in_ring++, any = true) {
		struct rx_buffer *buffer = buffer_new();
		if (!buffer)
			break;
		struct ring_buffer piece = { .data = buffer->data, .len = buffer->capacity, .device_writes = true };
		if (ring_add(ring, &piece, 1, buffer) < 0) {
			buffer_drop(buffer);
			break;
		}
	}
	if (any)
		ring_kick_later(ring);
}

void rx_buffer_start(struct ring *ring, bool merged, unsigned largest)
{
	bool large = merged && largest > SMALL_SIZE;
	uint32_t small = merged ? SMALL_SIZE : MAX(largest + sizeof(struct rx_buffer), SMALL_SIZE);
	rx.capacity = large ? LARGE_SIZE : small - sizeof(struct rx_buffer);
	rx.most = MIN(ring->size, large ? LARGE_MOST : 256);
	rx.target = MIN(rx.most, large ? LARGE_FIRST : SMALL_FIRST);
	fill(ring);
}

struct pbuf *rx_buffer_take(struct ring *ring, uint32_t *len)
{
	struct rx_buffer *buffer = ring_get_used(ring, len);
	if (!buffer)
		return NULL;
	rx.in_ring--;
	*len = MIN(*len, buffer->capacity);
	buffer->custom.custom_free_function = buffer_free;
	return pbuf_alloced_custom(PBUF_RAW, *len, PBUF_REF, &buffer->custom, buffer->data, buffer->capacity);
}

struct pbuf *rx_buffer_shrink(struct pbuf *p)
{
	if (p->tot_len >= MAX(COPY_BELOW, rx.capacity / 8))
		return p;
	struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
	if (!copy)
		return p;
	pbuf_free(p);
	shared_page->frames_copied++;
	return copy;
}

void rx_buffer_refill(struct ring *ring)
{
	if (rx.in_ring <= rx.target / 2)
		rx.target = MIN(rx.target * 2, rx.most);
	fill(ring);
}
