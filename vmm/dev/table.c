/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const struct device_ops *const device_table[] = { &console_ops, &net_ops, &block_ops, &vsock_ops, &rng_ops, &balloon_ops, &fs_ops, NULL };

#define ROUNDS 8 /* of one queue, before other descriptors get their turn */
#define TURN_BYTES (8u << 20) /* of one device in a turn of the loop: some milliseconds; one chain may go beyond */

static const struct device_ops *find_ops(enum lv_device_type type)
{
	for (unsigned i = 0; device_table[i]; i++)
		if (device_table[i]->type == type)
			return device_table[i];
	return NULL;
}

const char *device_type_name(uint32_t type)
{
	const struct device_ops *ops = find_ops((enum lv_device_type)type);

	return ops ? ops->name : "device";
}

void devices_init(struct devices *set, struct loop *loop)
{
	set->loop = loop;
	set->mem = NULL;
	set->transport = &page_transport;
	set->transport_context = NULL;
	set->page = NULL;
	set->shared = NULL;
	set->wake = NULL;
	set->wake_context = NULL;
	set->count = 0;
	set->has_spare = set->abandoned = set->paused = false;
}

static void bell_rung(void *context, uint32_t events)
{
	struct device *device = context;
	uint64_t count;

	if (read(device->bell.fd, &count, sizeof(count)) != sizeof(count))
		return;
	device->stats.doorbells++;
	for (unsigned i = 0; i < device->queues && !device_broken(device); i++)
		device_run(device, i);
}

void devices_prepare(struct devices *set, enum lv_device_type type)
{
	set->spare_type = type;
	set->has_spare = true;
}

static struct device *device_room(struct devices *set, const struct device_ops *ops)
{
	if (!set->has_spare || set->spare_type != ops->type)
		return calloc(1, ops->size);
	set->has_spare = false;
	return (struct device *)set->spare;
}

static struct device *device_new(struct devices *set, const struct device_ops *ops)
{
	struct device *device = device_room(set, ops);

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
	if ((void *)device != device->set->spare)
		free(device);
}

void device_add_queue(struct device *device, unsigned size, unsigned slot)
{
	unsigned i = device->queues++;

	device->queue_size[i] = size;
	device->queue_slot[i] = slot;
}

int devices_add(struct devices *set, const struct device_config *config, const char **error)
{
	const struct device_ops *ops = find_ops(config->type);
	struct device *device;
	int err;

	*error = "device";
	if (!ops || set->count == LV_MAX_DEVICES) {
		*error = ops ? "more devices than a VM can have" : "an unknown device type";
		return -EINVAL;
	}
	device = device_new(set, ops);
	if (!device)
		return -ENOMEM;
	*error = ops->failure;
	err = ops->init(device, config);
	if (!err) {
		device->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		err = device->bell.fd < 0 ? -errno : 0;
	}
	if (err)
		device_free(device);
	else
		set->device[set->count++] = device;
	return err;
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
		int err = loop_update(set->loop, &device->bell, EPOLLIN);

		if (!err)
			err = device->ops->start(device);
		if (err)
			return err;
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

static void device_pause(struct device *device, bool on)
{
	if (on)
		device->ran = runs(device);
	if (!device->ran || device_broken(device))
		return;
	if (loop_update(device->set->loop, &device->bell, on ? 0 : EPOLLIN))
		device_break(device, "its doorbell cannot be watched");
	else
		device->ops->pause(device, on);
}

void devices_pause(struct devices *set, bool on)
{
	if (set->paused == on)
		return;
	set->paused = on;
	for (unsigned i = 0; i < set->count; i++)
		device_pause(set->device[i], on);
}

void devices_quiesce(struct devices *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		set->device[i]->ops->quiesce(set->device[i]);
		device_publish_all(set->device[i]);
	}
}

static int device_lend(struct device *device, bool lent)
{
	return device->ops->lend ? device->ops->lend(device, lent) : 0;
}

int devices_lend(struct devices *set, bool lent)
{
	int err = 0;
	unsigned done = 0;

	while (!err && done < set->count)
		if (!(err = device_lend(set->device[done], lent)))
			done++;
	while (err && done)
		device_lend(set->device[--done], !lent);
	return err;
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

struct device_rights devices_rights(const struct devices *set)
{
	struct device_rights rights = { 0 };

	for (unsigned i = 0; i < set->count; i++)
		if (set->device[i]->ops->rights)
			set->device[i]->ops->rights(set->device[i], &rights);
	return rights;
}

/* ---- for devices ---- */

void device_kick(struct device *device)
{
	uint64_t one = 1;

	if (write(device->bell.fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: the bell rings anyway */
}

static void spend(struct device *device, uint64_t bytes)
{
	if (device->turn != device->set->loop->turns) {
		device->turn = device->set->loop->turns;
		device->turn_bytes = 0;
	}
	device->turn_bytes += bytes;
}

/* It has had its share of this turn: others come first. */
static bool spent(const struct device *device)
{
	return device->turn == device->set->loop->turns && device->turn_bytes >= TURN_BYTES;
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
		if (spent(device))
			break;
	}
	device_kick(device); /* a guest that keeps us busy: others get their turn first */
}

void device_publish(struct device *device, unsigned queue)
{
	if (queue_publish(&device->queue[queue]))
		device->set->transport->notify(device, false);
}

void device_publish_all(struct device *device)
{
	bool wanted = false;

	for (unsigned i = 0; i < device->queues; i++)
		wanted |= queue_publish(&device->queue[i]);
	if (wanted)
		device->set->transport->notify(device, false);
}

void device_reconfigured(struct device *device)
{
	device->set->transport->notify(device, true);
}

static void count(struct device *device, unsigned queue, int requests, int64_t bytes)
{
	unsigned slot = device->queue_slot[queue];

	if (slot >= LV_MAX_QUEUES)
		return;
	device->stats.requests[slot] += requests;
	device->stats.bytes[slot] += bytes;
}

int device_pop(struct device *device, unsigned queue, struct chain *chain)
{
	int n;

	if (spent(device)) {
		if (queue_ready(&device->queue[queue]))
			device_kick(device);
		return 0;
	}
	n = queue_pop(&device->queue[queue], chain);
	if (n < 0)
		device_break(device, device->queue[queue].broken);
	if (n <= 0)
		return 0;
	count(device, queue, 1, chain->read_len);
	spend(device, chain->read_len);
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
	spend(device, written);
	queue_push(&device->queue[queue], head, written);
}

void device_note(struct device *device, const char *what)
{
	if (!device->stats.error[0])
		strncpy(device->stats.error, what, sizeof(device->stats.error) - 1);
}

void device_break(struct device *device, const char *reason)
{
	if (device_broken(device))
		return;
	device->stats.needs_reset = 1;
	strncpy(device->stats.error, reason, sizeof(device->stats.error) - 1);
	loop_update(device->set->loop, &device->bell, 0);
	device->ops->pause(device, true);
	device->set->transport->notify(device, true);
	device->set->transport->broken(device);
}
