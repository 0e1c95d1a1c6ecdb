/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/state/stream.h"

/* A look into memory that the guest changes at will: exactly one read, and no way for the compiler to look again. */
#define READ_SHARED(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

static size_t align_ring(size_t n)
{
	return (n + QUEUE_ALIGN - 1) & ~(size_t)(QUEUE_ALIGN - 1);
}

static size_t avail_bytes(unsigned size)
{
	return align_ring(sizeof(struct vring_avail) + size * sizeof(uint16_t) + sizeof(uint16_t));
}

static size_t used_bytes(unsigned size)
{
	return align_ring(sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(uint16_t));
}

size_t queue_bytes(unsigned size)
{
	return size * sizeof(struct vring_desc) + avail_bytes(size) + used_bytes(size);
}

struct queue_layout queue_layout(gpa_t base, unsigned size)
{
	gpa_t driver = base + size * sizeof(struct vring_desc);

	return (struct queue_layout){ base, driver, driver + avail_bytes(size) };
}

int queue_init(struct queue *queue, const struct mem *mem, const struct queue_layout *at, unsigned size)
{
	queue_reset(queue);
	if (!size || size > QUEUE_MAX || (size & (size - 1)) || at->desc % 16 || at->driver % 2 || at->device % 4)
		return -EINVAL;
	queue->mem = mem;
	queue->at = *at;
	queue->size = size;
	queue->desc = mem_at(mem, at->desc, size * sizeof(struct vring_desc));
	/* Each ring ends with the index that the other side may set for EVENT_IDX. */
	queue->avail = mem_at(mem, at->driver, sizeof(struct vring_avail) + size * sizeof(uint16_t) + sizeof(uint16_t));
	queue->used = mem_at(mem, at->device,
			     sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(uint16_t));
	if (queue->desc && queue->avail && queue->used)
		return 0;
	queue_reset(queue);
	return -EINVAL;
}

void queue_reset(struct queue *queue)
{
	*queue = (struct queue){ 0 };
}

#define QUEUE_TAG STREAM_TAG("QUEU")
#define QUEUE_VERSION 1

int queue_save(const struct queue *queue, struct stream *stream)
{
	if (queue->next_used != queue->published)
		return -EINVAL;
	stream_begin(stream, QUEUE_TAG, QUEUE_VERSION);
	stream_put16(stream, queue->size);
	stream_put64(stream, queue->at.desc);
	stream_put64(stream, queue->at.driver);
	stream_put64(stream, queue->at.device);
	stream_put16(stream, queue->next_avail);
	stream_put16(stream, queue->published);
	stream_put8(stream, queue->interrupts);
	stream_put8(stream, queue->event_idx);
	return stream_end(stream);
}

int queue_load(struct queue *queue, const struct mem *mem, unsigned size_max, struct stream *stream)
{
	struct queue_layout at;
	struct queue loaded = { 0 };

	stream_begin(stream, QUEUE_TAG, QUEUE_VERSION);
	uint16_t size = stream_get16(stream);
	at.desc = stream_get64(stream);
	at.driver = stream_get64(stream);
	at.device = stream_get64(stream);
	uint16_t next_avail = stream_get16(stream), published = stream_get16(stream);
	bool interrupts = stream_get_bool(stream), event_idx = stream_get_bool(stream);
	int err = stream_end(stream);
	if (err)
		return err;
	if (size > size_max || (size && queue_init(&loaded, mem, &at, size)))
		return stream_refuse(stream);
	loaded.next_avail = next_avail;
	loaded.next_used = loaded.published = published;
	loaded.interrupts = interrupts;
	loaded.event_idx = event_idx;
	loaded.quiet = size; /* what the driver was told is not known here: it is told again */
	*queue = loaded;
	return 0;
}

static int queue_break(struct queue *queue, const char *reason)
{
	queue->broken = reason;
	return -EPROTO;
}

/* One descriptor, copied before it is checked. */
static struct vring_desc desc_read(const struct vring_desc *table, unsigned index)
{
	struct vring_desc desc;

	memcpy(&desc, (const char *)table + index * sizeof(desc), sizeof(desc));
	__asm__ volatile("" ::: "memory");
	return desc;
}

static int chain_add(struct queue *queue, struct chain *chain, const struct vring_desc *desc)
{
	uint32_t most = queue->chain_bytes ? queue->chain_bytes : QUEUE_CHAIN_BYTES;
	bool write = desc->flags & VRING_DESC_F_WRITE;
	void *base;

	if (!desc->len)
		return 0;
	if (!write && chain->writable)
		return queue_break(queue, "a readable descriptor follows a writable one");
	if (desc->len > most - chain->read_len - chain->write_len)
		return queue_break(queue, "a descriptor chain is longer than a device takes");
	base = write ? mem_at(queue->mem, desc->addr, desc->len) : (void *)mem_at_ro(queue->mem, desc->addr, desc->len);
	if (!base)
		return queue_break(queue, "a descriptor points outside guest memory");
	chain->iov[chain->readable + chain->writable] = (struct iovec){ base, desc->len };
	*(write ? &chain->writable : &chain->readable) += 1;
	*(write ? &chain->write_len : &chain->read_len) += desc->len;
	return 0;
}

struct walk { /* the table that a chain runs through */
	const struct vring_desc *table;
	unsigned size, next;
	bool indirect;
};

static int walk_into(struct queue *queue, struct walk *walk, const struct vring_desc *desc)
{
	if (walk->indirect)
		return queue_break(queue, "an indirect table inside an indirect table");
	if (desc->flags & VRING_DESC_F_NEXT)
		return queue_break(queue, "an indirect descriptor with a successor");
	if (!desc->len || desc->len % sizeof(*desc) || desc->len / sizeof(*desc) > QUEUE_MAX)
		return queue_break(queue, "an indirect table of impossible size");
	*walk = (struct walk){ mem_at_ro(queue->mem, desc->addr, desc->len), desc->len / sizeof(*desc), 0, true };
	return walk->table ? 0 : queue_break(queue, "an indirect table outside guest memory");
}

static int chain_walk(struct queue *queue, struct chain *chain)
{
	struct walk walk = { queue->desc, queue->size, chain->head, false };

	/* A chain may be as long as the queue; the descriptor that holds an indirect table comes on top. */
	for (unsigned budget = queue->size + 1u; budget; budget--) {
		struct vring_desc desc = desc_read(walk.table, walk.next);
		int r = desc.flags & VRING_DESC_F_INDIRECT ? walk_into(queue, &walk, &desc) : 0;

		if (r)
			return r;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			continue;
		if (chain->readable + chain->writable == queue->size)
			break;
		r = chain_add(queue, chain, &desc);
		if (r || !(desc.flags & VRING_DESC_F_NEXT))
			return r;
		walk.next = desc.next;
		if (walk.next >= walk.size)
			return queue_break(queue, "a descriptor index beyond its table");
	}
	return queue_break(queue, "a descriptor chain loops or is longer than the queue");
}

int queue_pop(struct queue *queue, struct chain *chain)
{
	uint16_t waiting;
	int r;

	if (queue->broken)
		return -EPROTO;
	if (!queue->size)
		return 0;
	waiting = (uint16_t)(__atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE) - queue->next_avail);
	if (!waiting)
		return 0;
	if (waiting > queue->size)
		return queue_break(queue, "the available index is ahead by more than the queue's size");
	chain->head = READ_SHARED(queue->avail->ring[queue->next_avail & (queue->size - 1)]);
	chain->readable = chain->writable = 0;
	chain->read_len = chain->write_len = 0;
	if (chain->head >= queue->size)
		return queue_break(queue, "an available entry names a descriptor beyond the table");
	r = chain_walk(queue, chain);
	if (r)
		return r;
	queue->next_avail++;
	return 1;
}

bool chain_take(struct chain *chain, void *to, size_t n)
{
	size_t got = 0;

	for (unsigned i = 0; i < chain->readable && got < n; i++) {
		struct iovec *part = &chain->iov[i];
		size_t take = part->iov_len < n - got ? part->iov_len : n - got;

		memcpy((char *)to + got, part->iov_base, take);
		part->iov_base = (char *)part->iov_base + take;
		part->iov_len -= take;
		got += take;
	}
	chain->read_len -= got;
	return got == n;
}

size_t chain_copy_in(const struct chain *chain, size_t at, void *to, size_t n)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->readable && done < n; i++) {
		size_t size = chain->iov[i].iov_len, skip = at < size ? at : size, part = size - skip < n - done ? size - skip : n - done;

		memcpy((char *)to + done, (const char *)chain->iov[i].iov_base + skip, part);
		at -= skip;
		done += part;
	}
	return done;
}

size_t chain_copy_out(const struct chain *chain, size_t at, const void *from, size_t n)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->writable && done < n; i++) {
		const struct iovec *iov = chain_writable(chain) + i;
		size_t skip = at < iov->iov_len ? at : iov->iov_len, part = iov->iov_len - skip < n - done ? iov->iov_len - skip : n - done;

		memcpy((char *)iov->iov_base + skip, (const char *)from + done, part);
		at -= skip;
		done += part;
	}
	return done;
}

void queue_unpop(struct queue *queue, unsigned n)
{
	queue->next_avail -= n;
}

void queue_push(struct queue *queue, uint16_t head, uint32_t written)
{
	struct vring_used_elem *element;

	if (!queue->size)
		return;
	element = &queue->used->ring[queue->next_used & (queue->size - 1)];
	__atomic_store_n(&element->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&element->len, written, __ATOMIC_RELAXED);
	queue->next_used++;
}

/* The index after which the driver wants to be told, behind its ring. */
static uint16_t used_event(const struct queue *queue)
{
	return READ_SHARED(queue->avail->ring[queue->size]);
}

static void set_avail_event(struct queue *queue, uint16_t index)
{
	__atomic_store_n((uint16_t *)&queue->used->ring[queue->size], index, __ATOMIC_RELAXED);
}

/* After the entries from old to queue->published became visible. */
static bool wants_interrupt(const struct queue *queue, uint16_t old)
{
	/* Pairs with the driver's barrier between its wish and its look at the used index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->event_idx)
		return vring_need_event(used_event(queue), queue->published, old);
	return !(READ_SHARED(queue->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

bool queue_publish(struct queue *queue)
{
	uint16_t old = queue->published;

	if (queue->next_used == old)
		return false;
	queue->published = queue->next_used;
	__atomic_store_n(&queue->used->idx, queue->published, __ATOMIC_RELEASE);
	return !queue->interrupts || wants_interrupt(queue, old);
}

uint16_t queue_unpublished(const struct queue *queue)
{
	return queue->next_used - queue->published;
}

bool queue_ready(const struct queue *queue)
{
	return queue->size && !queue->broken && __atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE) != queue->next_avail;
}

void queue_notify_off(struct queue *queue)
{
	/* With EVENT_IDX there is nothing to say: the index at which to ring stays where it was, in the past. */
	if (queue->size && !queue->quiet && !queue->event_idx)
		__atomic_store_n(&queue->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	queue->quiet = true;
}

bool queue_notify_on(struct queue *queue)
{
	if (!queue->size)
		return false;
	if (queue->event_idx)
		set_avail_event(queue, queue->next_avail);
	else if (queue->quiet)
		__atomic_store_n(&queue->used->flags, 0, __ATOMIC_RELAXED);
	queue->quiet = false;
	/* Pairs with the driver's barrier between its index and its look at the flag: one of the two sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return queue_ready(queue);
}
