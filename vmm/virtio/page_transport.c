/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport of library-OS guests: rings lie where the device page says, nothing is negotiated, and nothing interrupts: who waits is woken, and of devices with
 * LV_DEVICE_EVENT_IDX only for what it said it waits for.
 */
#include <errno.h>
#include <string.h>

#include "vmm/device.h"
#include "vmm/state/stream.h"

static int place_rings(struct device *device, struct lv_device *entry,
		       gpa_t (*alloc)(void *context, size_t size, size_t align), void *context)
{
	size_t bytes = 0;
	gpa_t at;

	if (!device->ops->describe || device->queues > LV_MAX_QUEUES)
		return -ENOTSUP; /* for Linux only */
	for (unsigned i = 0; i < device->queues; i++)
		bytes += queue_bytes(device->queue_size[i]);
	at = alloc(context, bytes, QUEUE_ALIGN);
	if (at == (gpa_t)-1)
		return -ENOMEM;
	for (unsigned i = 0; i < device->queues; i++, at += queue_bytes(device->queue_size[i - 1])) {
		struct queue_layout layout = queue_layout(at, device->queue_size[i]);
		int err = queue_init(&device->queue[i], device->set->mem, &layout, device->queue_size[i]);

		if (err)
			return err;
		entry->queue[i] = (struct lv_queue){ .desc = layout.desc, .driver = layout.driver, .device = layout.device,
						     .size = device->queue_size[i], .bell = 4 * device->index };
	}
	return 0;
}

int devices_describe(struct devices *set, struct lv_device_page *page,
		     gpa_t (*alloc)(void *context, size_t size, size_t align), void *context)
{
	set->page = page;
	for (unsigned i = 0; i < set->count; i++) {
		struct device *device = set->device[i];
		struct lv_device *entry = &page->device[i];
		int err = place_rings(device, entry, alloc, context);

		if (err)
			return err;
		entry->type = device->ops->type;
		entry->queues = device->queues;
		err = device->ops->describe(device, entry);
		if (err)
			return err;
		entry->features = device->features;
		for (unsigned q = 0; q < device->queues; q++)
			device->queue[q].interrupts = device->queue[q].event_idx = device->features & LV_DEVICE_EVENT_IDX;
		device->entry = entry;
	}
	page->device_count = set->count;
	return 0;
}

int devices_describe_restored(struct devices *set, struct lv_device_page *page)
{
	int err = 0;

	set->page = page;
	for (unsigned i = 0; !err && i < set->count; i++) {
		memset(&page->device[i].config, 0, sizeof(page->device[i].config));
		err = set->device[i]->ops->describe ? set->device[i]->ops->describe(set->device[i], &page->device[i]) : -ENOTSUP;
	}
	return err;
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

/* The guest reads its configuration when it needs it. */
static void notify(struct device *device, bool configuration)
{
	if (!configuration)
		wake_guest(device);
}

static void broken(struct device *device)
{
	if (!device->entry || !device->set->shared)
		return;
	__atomic_store_n(&device->entry->features, device->features | LV_DEVICE_NEEDS_RESET, __ATOMIC_RELEASE);
	wake_guest(device);
}

/* All of it lies in guest memory. */
static int save(const struct device *device, struct stream *stream)
{
	return 0;
}

static int load(struct device *device, struct stream *stream)
{
	if (device->set->page)
		device->entry = &device->set->page->device[device->index];
	return 0;
}

const struct transport_ops page_transport = { .notify = notify, .broken = broken, .save = save, .load = load };
