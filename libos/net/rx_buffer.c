/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive buffers: one piece of memory holds the pbuf and the bytes. Few of them at first, since an idle VM should be
 * small; the number grows up to the ring's size when frames come in bursts, and the buffers grow when frames do.
 */
#include "libos/net/virtio_net.h"

#include "lwip/pbuf.h"

#define FIRST_BUFFERS 16
#define SMALL_SIZE 2048
#define LARGE_SIZE 16384 /* once frames come that segmentation offload put together */
#define LARGE_BUFFERS 64
#define COPY_BELOW 512
#define KEEP 32 /* free buffers */

struct rx_buffer {
	struct pbuf_custom custom; /* must be first: lwIP frees a struct pbuf */
	struct rx_buffer *next;
	uint32_t capacity;
	uint8_t data[] __attribute__((aligned(16)));
};

static struct {
	struct rx_buffer *free;
	unsigned free_count;
	unsigned in_ring, target;
	uint32_t capacity; /* of new buffers */
} rx;

static struct rx_buffer *buffer_new(void)
{
	struct rx_buffer *buffer = rx.free;
	if (!buffer) {
		buffer = kmalloc(sizeof(*buffer) + rx.capacity);
		if (buffer)
			buffer->capacity = rx.capacity;
		return buffer;
	}
	rx.free = buffer->next;
	rx.free_count--;
	return buffer;
}

static void buffer_free(struct pbuf *p)
{
	struct rx_buffer *buffer = (struct rx_buffer *)p;
	if (buffer->capacity != rx.capacity || rx.free_count >= KEEP) {
		kfree(buffer);
		return;
	}
	buffer->next = rx.free;
	rx.free = buffer;
	rx.free_count++;
}

static void grow_capacity(void)
{
	rx.capacity = LARGE_SIZE - sizeof(struct rx_buffer);
	rx.target = MIN(rx.target, LARGE_BUFFERS);
	while (rx.free) {
		struct rx_buffer *buffer = rx.free;
		rx.free = buffer->next;
		kfree(buffer);
	}
	rx.free_count = 0;
}

static void fill(struct ring *ring)
{
	bool any = false;
	for (; rx.in_ring < rx.target; rx.in_ring++, any = true) {
		struct rx_buffer *buffer = buffer_new();
		if (!buffer)
			break;
		struct ring_buffer piece = {.data = buffer->data, .len = buffer->capacity, .device_writes = true};
		if (ring_add(ring, &piece, 1, buffer) < 0) {
			kfree(buffer);
			break;
		}
	}
	if (any)
		ring_kick_later(ring);
}

void rx_buffer_start(struct ring *ring, unsigned whole_mtu)
{
	uint32_t size = whole_mtu ? MAX(whole_mtu + 14 + 12 + sizeof(struct rx_buffer), SMALL_SIZE) : SMALL_SIZE;
	rx.capacity = size - sizeof(struct rx_buffer);
	rx.target = MIN(FIRST_BUFFERS, ring->size);
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
	if (p->tot_len >= MAX(COPY_BELOW, rx.capacity / 8)) {
		if (p->next && rx.capacity < LARGE_SIZE / 2)
			grow_capacity();
		return p;
	}
	struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
	if (!copy)
		return p;
	pbuf_free(p);
	return copy;
}

void rx_buffer_refill(struct ring *ring, unsigned frames)
{
	unsigned most = rx.capacity >= LARGE_SIZE / 2 ? LARGE_BUFFERS : ring->size;
	if (frames >= rx.target / 2)
		rx.target = MIN(rx.target * 2, MIN(most, (unsigned)ring->size));
	fill(ring);
}
