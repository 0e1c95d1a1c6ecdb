/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, section 2.7): the only code of the monitor that walks rings.
 * The driver is hostile: each shared field is read once, every chain is bounded, and a broken rule stops the queue with
 * a reason instead of the monitor. Not thread-safe; a queue belongs to the device loop.
 */
#ifndef LV_VMM_VIRTIO_QUEUE_H
#define LV_VMM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/mem.h"

#define QUEUE_MAX 256
/*
 * The most that one chain may carry: beyond any driver's request. Linux makes block requests of 1,280 KiB or what its user
 * asks for, up to seg_max times size_max; network frames are 64 KiB and some headers.
 */
#define QUEUE_CHAIN_BYTES (32u << 20)

struct stream;
struct vring_desc;
struct vring_avail;
struct vring_used;

/* Guest memory of one queue: descriptor table, available ring, used ring. */
struct queue_layout {
	gpa_t desc, driver, device;
};

/* All zero: not set up. Nothing comes out of such a queue, and nothing happens to it. */
struct queue {
	const struct mem *mem;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct queue_layout at; /* what the three above were made of */
	uint16_t size;
	uint16_t next_avail; /* the next entry of the available ring to take */
	uint16_t next_used;  /* the next entry of the used ring to fill; ahead of published until queue_publish */
	uint16_t published;  /* used->idx as we wrote it */
	uint32_t chain_bytes; /* the most that one chain may carry; 0: QUEUE_CHAIN_BYTES */
	bool quiet;          /* the driver was told to ring no doorbell */
	/* set by the transport after queue_init */
	bool interrupts; /* the driver's wish not to be told is heeded */
	bool event_idx;  /* VIRTIO_F_EVENT_IDX was agreed on: both wishes are indices (virtio 1.2, 2.7.7.2 and 2.7.10) */
	const char *broken;  /* why the queue stopped; NULL: it works */
};

/* What the driver put into one chain: readable parts first, then those that the device may write. */
struct chain {
	uint16_t head;
	uint16_t readable, writable; /* entries of iov */
	uint32_t read_len, write_len; /* bytes */
	struct iovec iov[QUEUE_MAX];
};
#define chain_writable(chain) ((chain)->iov + (chain)->readable)

#define QUEUE_ALIGN 16
size_t queue_bytes(unsigned size);
/* One after the other from base on. */
struct queue_layout queue_layout(gpa_t base, unsigned size);

/* size: a power of two of at most QUEUE_MAX. -EINVAL if it is not, or a ring is misaligned or not in guest RAM. */
int queue_init(struct queue *queue, const struct mem *mem, const struct queue_layout *at, unsigned size);
/* Not set up any more: guest memory is not touched again. Chains that the device still holds are forgotten by the device. */
void queue_reset(struct queue *queue);

/*
 * The state of a queue of which the device holds no chain, and in which all that was pushed is published. Loading makes the
 * pointers anew from guest addresses, so what is read is checked as if the driver had said it. 0, -EINVAL or the stream's error.
 */
int queue_save(const struct queue *queue, struct stream *stream);
int queue_load(struct queue *queue, const struct mem *mem, unsigned size_max, struct stream *stream);

/*
 * Takes the next chain: 1; 0 if there is none; -EPROTO if the driver broke a rule: queue->broken says which, and
 * every later call answers the same.
 */
int queue_pop(struct queue *queue, struct chain *chain);

/* Cuts the first n readable bytes off the chain, copying them out; answers whether there were so many. */
bool chain_take(struct chain *chain, void *to, size_t n);

/*
 * Copies bytes out of the readable parts, from the at-th on, or into the writable ones; answers how many there were or had
 * room.
 */
size_t chain_copy_in(const struct chain *chain, size_t at, void *to, size_t n);
size_t chain_copy_out(const struct chain *chain, size_t at, const void *from, size_t n);

/* Gives the last n popped chains back to the available ring, untouched. */
void queue_unpop(struct queue *queue, unsigned n);

/* Returns a chain with so many bytes written to it. The driver sees it after queue_publish. */
void queue_push(struct queue *queue, uint16_t head, uint32_t written);
/*
 * True if the driver may have to be told: there was anything to publish and, where the transport interrupts, the driver did
 * not ask to be left alone.
 */
bool queue_publish(struct queue *queue);

/* Chains that were pushed since. */
uint16_t queue_unpublished(const struct queue *queue);

/* True if a chain waits. Does not look inside. */
bool queue_ready(const struct queue *queue);

/* Doorbell suppression, by flag or by index. notify_on answers true if chains came in the meantime: process again, no doorbell will tell. */
void queue_notify_off(struct queue *queue);
bool queue_notify_on(struct queue *queue);

#endif
