/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const struct device_ops *const device_table[] = { &virtio_console_ops, &console_ops, &net_pairs_ops, &net_ops, &block_ops, &vsock_ops, &rng_ops, &balloon_ops, NULL };

#define ROUNDS 8 /* of one queue, before other descriptors get their turn */

static const struct device_ops *find_ops(const struct device_config *config)
{
	for (unsigned i = 0; device_table[i]; i++) {
		const struct device_ops *ops = device_table[i];

		if (ops->type == config->type && (!ops->accepts || ops->accepts(config)))
			return ops;
	}
	return NULL;
}

void devices_init(struct devices *set, struct loop *loop)
{
	set->loop = loop;
	set->mem = NULL;
	set->shared = NULL;
	set->interrupt = NULL;
	set->interrupt_context = NULL;
	set->wake = NULL;
	set->wake_context = NULL;
	set->balloon_told = NULL;
	set->balloon_context = NULL;
	set->count = 0;
	set->abandoned = false;
}

static void bell_rung(void *context, uint32_t events)
{
	struct device *device = context;
	uint64_t count;

	if (read(device->bell.fd, &count, sizeof(count)) != sizeof(count))
		return;
	device->stats.doorbells++;
	for (unsigned i = 0; i < device->ops->queues && !device_broken(device); i++)
		device_run(device, i);
}

static struct device *device_new(struct devices *set, const struct device_ops *ops)
{
	struct device *device = calloc(1, ops->size);

	if (!device)
		return NULL;
	device->ops = ops;
	device->set = set;
	device->index = set->count;
	device->stats.type = ops->type;
	device->bell = (struct loop_watch){ .fd = -1, .ready = bell_rung, .context = device };
	return device;
}

static void device_free(struct device *device)
{
	device->ops->free(device);
	loop_update(device->set->loop, &device->bell, 0);
	if (device->bell.fd >= 0)
		close(device->bell.fd);
	free(device);
}

int devices_add(struct devices *set, const struct device_config *config, const char **error)
{
	const struct device_ops *ops = find_ops(config);
	struct device *device;
	int r;

	*error = "device";
	if (!ops || set->count == LV_MAX_DEVICES) {
		*error = ops ? "more devices than a VM can have" : "an unknown device type";
		return -EINVAL;
	}
	device = device_new(set, ops);
	if (!device)
		return -ENOMEM;
	*error = ops->failure;
	r = ops->init(device, config);
	if (!r) {
		device->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = device->bell.fd < 0 ? -errno : 0;
	}
	if (r)
		device_free(device);
	else
		set->device[set->count++] = device;
	return r;
}

static int place_rings(struct device *device, struct lv_device *entry,
		       gpa_t (*alloc)(void *context, size_t size, size_t align), void *context)
{
	const struct device_ops *ops = device->ops;
	size_t bytes = 0;
	gpa_t at;

	if (!ops->describe || ops->queues > LV_MAX_QUEUES)
		return -ENOTSUP; /* for Linux only */
	for (unsigned i = 0; i < ops->queues; i++)
		bytes += queue_bytes(ops->queue_size[i]);
	at = alloc(context, bytes, QUEUE_ALIGN);
	if (at == (gpa_t)-1)
		return -ENOMEM;
	for (unsigned i = 0; i < ops->queues; i++, at += queue_bytes(ops->queue_size[i - 1])) {
		struct queue_layout layout = queue_layout(at, ops->queue_size[i]);
		int r = queue_init(&device->queue[i], device->set->mem, &layout, ops->queue_size[i]);

		if (r)
			return r;
		entry->queue[i] = (struct lv_queue){ .desc = layout.desc, .driver = layout.driver, .device = layout.device,
						     .size = ops->queue_size[i], .bell = 4 * device->index };
	}
	return 0;
}

int devices_describe(struct devices *set, struct lv_device_page *page,
		     gpa_t (*alloc)(void *context, size_t size, size_t align), void *context)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct device *device = set->device[i];
		struct lv_device *entry = &page->device[i];
		int r = place_rings(device, entry, alloc, context);

		if (r)
			return r;
		entry->type = device->ops->type;
		entry->queues = device->ops->queues;
		device->ops->describe(device, entry);
		entry->features = device->features;
		device->entry = entry;
	}
	page->device_count = set->count;
	return 0;
}

unsigned devices_bells(const struct devices *set, struct device_bell *bell)
{
	for (unsigned i = 0; i < set->count; i++)
		bell[i] = (struct device_bell){ 4 * i, set->device[i]->bell.fd };
	return set->count;
}

int devices_start(struct devices *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct device *device = set->device[i];
		int r = loop_update(set->loop, &device->bell, EPOLLIN);

		if (!r)
			r = device->ops->start(device);
		if (r)
			return r;
	}
	return 0;
}

/* What lies in the rings of a device that no driver runs (not yet, or no more since its reset) is never looked at. */
static bool runs(const struct device *device)
{
	return device->bell.events && !device_broken(device);
}

static bool drained(void *context)
{
	struct devices *set = context;
	bool all = true;

	for (unsigned i = 0; i < set->count && !set->abandoned; i++)
		if (runs(set->device[i]) && !set->device[i]->ops->drain(set->device[i]))
			all = false;
	return all;
}

void devices_finish(struct devices *set)
{
	loop_finish(set->loop, drained, set);
}

void devices_abandon(struct devices *set)
{
	set->abandoned = true;
}

void devices_pause(struct devices *set, bool on)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct device *device = set->device[i];

		if (device_broken(device))
			continue;
		loop_update(set->loop, &device->bell, on ? 0 : EPOLLIN);
		device->ops->pause(device, on);
	}
}

void devices_free(struct devices *set)
{
	while (set->count)
		device_free(set->device[--set->count]);
}

unsigned devices_stats(const struct devices *set, struct lv_device_stats *stats)
{
	for (unsigned i = 0; i < set->count; i++)
		stats[i] = set->device[i]->stats;
	return set->count;
}

struct device *devices_find(const struct devices *set, enum lv_device_type type)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->device[i]->ops->type == type)
			return set->device[i];
	return NULL;
}

void device_kick(struct device *device)
{
	uint64_t one = 1;

	if (write(device->bell.fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: the bell rings anyway */
}

void device_run(struct device *device, unsigned queue)
{
	struct queue *q = &device->queue[queue];

	for (unsigned round = 0; round < ROUNDS; round++) {
		queue_notify_off(q);
		if (!device->ops->process(device, queue) || device_broken(device))
			return;
		if (!queue_notify_on(q))
			return;
	}
	device_kick(device); /* a guest that keeps us busy: others get their turn first */
}

/* The guest sets need_wake, then looks at its rings once more; we publish, then look at need_wake. */
static void wake_guest(struct device *device)
{
	struct devices *set = device->set;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	set->shared->resched = 1;
	if (!set->shared->need_wake)
		return;
	device->stats.wakes++;
	set->wake(set->wake_context);
}

static void tell(struct device *device)
{
	struct devices *set = device->set;

	if (!set->interrupt) {
		wake_guest(device);
		return;
	}
	device->stats.wakes++;
	set->interrupt(set->interrupt_context, device, false);
}

void device_publish(struct device *device, unsigned queue)
{
	if (queue_publish(&device->queue[queue]))
		tell(device);
}

void device_publish_all(struct device *device)
{
	bool wanted = false;

	for (unsigned i = 0; i < device->ops->queues; i++)
		wanted |= queue_publish(&device->queue[i]);
	if (wanted)
		tell(device);
}

void device_reconfigured(struct device *device)
{
	if (device->set->interrupt)
		device->set->interrupt(device->set->interrupt_context, device, true);
}

static void count(struct device *device, unsigned queue, int requests, int64_t bytes)
{
	unsigned slot = device->ops->stats_slot ? device->ops->stats_slot[queue] : queue;

	if (slot >= LV_MAX_QUEUES)
		return;
	device->stats.requests[slot] += requests;
	device->stats.bytes[slot] += bytes;
}

int device_pop(struct device *device, unsigned queue, struct chain *chain)
{
	int r = queue_pop(&device->queue[queue], chain);

	if (r < 0)
		device_break(device, device->queue[queue].broken);
	if (r <= 0)
		return 0;
	count(device, queue, 1, chain->read_len);
	return 1;
}

void device_unpop(struct device *device, unsigned queue, uint32_t read_len)
{
	queue_unpop(&device->queue[queue], 1);
	count(device, queue, -1, -(int64_t)read_len);
}

void device_push(struct device *device, unsigned queue, uint16_t head, uint32_t written)
{
	count(device, queue, 0, written);
	queue_push(&device->queue[queue], head, written);
}

void device_break(struct device *device, const char *reason)
{
	if (device_broken(device))
		return;
	device->stats.needs_reset = 1;
	strncpy(device->stats.error, reason, sizeof(device->stats.error) - 1);
	loop_update(device->set->loop, &device->bell, 0);
	device->ops->pause(device, true);
	device_reconfigured(device);
	if (!device->entry || !device->set->shared)
		return;
	__atomic_store_n(&device->entry->features, device->features | LV_DEVICE_NEEDS_RESET, __ATOMIC_RELEASE);
	wake_guest(device);
}
