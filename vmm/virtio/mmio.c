/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "vmm/state/stream.h"

#define MAGIC 0x74726976  /* "virt" */
#define VENDOR 0x4d56544c /* "LTVM" */
#define VERSION 2
#define INTERRUPT_QUEUE 1u
#define INTERRUPT_CONFIG 2u
#define NEEDS_RESET 0x40u
#define OUR_FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX)

static uint64_t offered(const struct mmio_transport *t)
{
	return OUR_FEATURES | (t->device->ops->offer ? t->device->ops->offer(t->device) : 0);
}

static struct mmio_transport *transport_of(const struct device *device)
{
	struct mmio_bus *bus = device->set->transport_context;

	return &bus->transport[device->index];
}

static void notify(struct device *device, bool configuration)
{
	struct mmio_bus *bus = device->set->transport_context;
	struct mmio_transport *t = transport_of(device);

	if (configuration)
		t->generation++;
	else
		device->stats.wakes++;
	atomic_fetch_or(&t->interrupt, configuration ? INTERRUPT_CONFIG : INTERRUPT_QUEUE);
	if (bus->raise)
		bus->raise(bus->raise_context, device->index);
	else if (write(t->irq_fd, &(uint64_t){ 1 }, 8) < 0)
		return; /* the counter is full: the interrupt comes anyway */
}

void mmio_bus_init(struct mmio_bus *bus, struct devices *set, const int *irq_fd)
{
	bus->count = set->count;
	bus->raise = NULL;
	for (unsigned i = 0; i < set->count; i++)
		bus->transport[i] = (struct mmio_transport){ .device = set->device[i], .irq_fd = irq_fd ? irq_fd[i] : -1 };
	set->transport = &mmio_transport;
	set->transport_context = bus;
}

/* The status register says it. */
static void broken(struct device *device)
{
}

/* ---- status ---- */

static void stop(struct mmio_transport *t)
{
	struct device *device = t->device;

	loop_update(device->set->loop, &device->bell, 0);
	if (t->running && !device_broken(device))
		device->ops->pause(device, true);
	if (t->was_started)
		device->ops->reset(device);
	t->running = false;
}

static void reset(struct mmio_transport *t)
{
	stop(t);
	for (unsigned i = 0; i < t->device->queues; i++)
		queue_reset(&t->device->queue[i]);
	t->device->stats.needs_reset = 0;
	t->device->features = 0;
	memset(t->queue, 0, sizeof(t->queue));
	t->status = t->features_select = t->driver_select = t->queue_select = 0;
	t->driver_features = 0;
	atomic_store(&t->interrupt, 0);
}

static void start(struct mmio_transport *t)
{
	struct device *device = t->device;
	int r = 0;

	if (t->running || device_broken(device))
		return;
	t->running = true;
	device->features = t->driver_features;
	if (!t->was_started)
		r = device->ops->start(device);
	t->was_started = true;
	if (!r) {
		device->ops->pause(device, false); /* since the last reset, or since it broke before it ever ran */
		r = loop_update(device->set->loop, &device->bell, EPOLLIN);
	}
	if (r)
		device_break(device, "its host side cannot be watched");
	device_kick(device); /* what the driver queued before is looked at now */
}

static void write_status(struct mmio_transport *t, uint32_t status)
{
	if (!status) {
		reset(t);
		return;
	}
	/* Features that were not offered, or none of version 1: the bit stays clear, and the driver gives up. */
	if (status & VIRTIO_CONFIG_S_FEATURES_OK &&
	    (t->driver_features & ~offered(t) || !(t->driver_features >> VIRTIO_F_VERSION_1 & 1)))
		status &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	t->status = status & 0xff & ~NEEDS_RESET;
	if (status & VIRTIO_CONFIG_S_DRIVER_OK && status & VIRTIO_CONFIG_S_FEATURES_OK)
		start(t);
}

/* ---- queues ---- */

static unsigned queue_max(const struct mmio_transport *t)
{
	return t->queue_select < t->device->queues ? t->device->queue_size[t->queue_select] : 0;
}

static void set_ready(struct mmio_transport *t, uint32_t value)
{
	unsigned i = t->queue_select, size = t->queue[i].size;
	struct queue *queue = &t->device->queue[i];

	if (t->running)
		return; /* queues are set up before the driver is ready, and change by a reset only */
	t->queue[i].ready = false;
	queue_reset(queue);
	if (!(value & 1))
		return;
	if (size > queue_max(t) || queue_init(queue, t->device->set->mem, &t->queue[i].at, size)) {
		device_break(t->device, "a queue of impossible size, or one that lies outside of guest memory");
		return;
	}
	queue->interrupts = true;
	queue->event_idx = t->driver_features >> VIRTIO_RING_F_EVENT_IDX & 1;
	t->queue[i].ready = true;
}

static void set_half(uint64_t *address, unsigned high, uint32_t value)
{
	*address = high ? (*address & 0xffffffff) | (uint64_t)value << 32 : (*address & ~0xffffffffull) | value;
}

static void write_queue(struct mmio_transport *t, uint32_t offset, uint32_t value)
{
	struct queue_layout *at = &t->queue[t->queue_select].at;

	if (!queue_max(t) || (t->queue[t->queue_select].ready && offset != VIRTIO_MMIO_QUEUE_READY))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		t->queue[t->queue_select].size = value;
		return;
	case VIRTIO_MMIO_QUEUE_READY:
		set_ready(t, value);
		return;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&at->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		return;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&at->driver, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		return;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&at->device, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		return;
	}
}

/* ---- registers ---- */

static void write_register(struct mmio_transport *t, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		t->features_select = value;
		return;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		t->driver_select = value;
		return;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (t->driver_select <= 1 && !(t->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&t->driver_features, t->driver_select, value);
		return;
	case VIRTIO_MMIO_QUEUE_SEL:
		t->queue_select = value < DEVICE_MAX_QUEUES ? value : DEVICE_MAX_QUEUES - 1;
		return;
	case VIRTIO_MMIO_QUEUE_NOTIFY: /* normally an ioeventfd's */
		device_kick(t->device);
		return;
	case VIRTIO_MMIO_STATUS:
		write_status(t, value);
		return;
	}
	write_queue(t, offset, value);
}

static uint32_t read_register(const struct mmio_transport *t, uint32_t offset)
{
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return t->device->ops->type;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return t->features_select <= 1 ? offered(t) >> 32 * t->features_select : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return queue_max(t);
	case VIRTIO_MMIO_QUEUE_READY:
		return t->queue[t->queue_select].ready;
	case VIRTIO_MMIO_STATUS:
		return t->status | (device_broken(t->device) ? NEEDS_RESET : 0);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return t->generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return ~0u; /* there is no shared memory region */
	}
	return 0;
}

static void read_configuration(const struct mmio_transport *t, uint32_t offset, uint8_t *data, unsigned len)
{
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };

	if (t->device->ops->configuration)
		t->device->ops->configuration(t->device, space);
	if (offset <= sizeof(space) - len)
		memcpy(data, space + offset, len);
}

static bool covers_register(uint32_t offset, unsigned len)
{
	return len == 4 && offset % 4 == 0;
}

void mmio_write(struct mmio_bus *bus, unsigned index, uint32_t offset, const uint8_t *data, unsigned len)
{
	struct mmio_transport *t;
	uint32_t value = 0;

	if (index >= bus->count || (offset < VIRTIO_MMIO_CONFIG && !covers_register(offset, len)))
		return;
	t = &bus->transport[index];
	memcpy(&value, data, len < 4 ? len : 4);
	if (offset == VIRTIO_MMIO_INTERRUPT_ACK) { /* with each interrupt: no lock, the guest would wait for the devices */
		atomic_fetch_and(&t->interrupt, ~value);
		return;
	}
	loop_lock(t->device->set->loop);
	if (offset < VIRTIO_MMIO_CONFIG)
		write_register(t, offset, value);
	else if (t->device->ops->configure && offset - VIRTIO_MMIO_CONFIG <= DEVICE_CONFIG_MAX - len)
		t->device->ops->configure(t->device, offset - VIRTIO_MMIO_CONFIG, data, len);
	loop_unlock(t->device->set->loop);
}

void mmio_read(struct mmio_bus *bus, unsigned index, uint32_t offset, uint8_t *data, unsigned len)
{
	struct mmio_transport *t;
	uint32_t value = 0;

	memset(data, 0, len);
	if (index >= bus->count || (offset < VIRTIO_MMIO_CONFIG && !covers_register(offset, len)))
		return;
	t = &bus->transport[index];
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS) {
		value = atomic_load(&t->interrupt);
		memcpy(data, &value, 4);
		return;
	}
	loop_lock(t->device->set->loop);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		read_configuration(t, offset - VIRTIO_MMIO_CONFIG, data, len);
	} else {
		value = read_register(t, offset);
		memcpy(data, &value, 4);
	}
	loop_unlock(t->device->set->loop);
}

/* ---- state ---- */

#define MMIO_TAG STREAM_TAG("MMIO")
#define MMIO_VERSION 1

static int save(const struct device *device, struct stream *stream)
{
	const struct mmio_transport *t = transport_of(device);

	stream_begin(stream, MMIO_TAG, MMIO_VERSION);
	stream_put32(stream, t->status);
	stream_put32(stream, t->features_select);
	stream_put32(stream, t->driver_select);
	stream_put32(stream, t->queue_select);
	stream_put32(stream, t->generation);
	stream_put32(stream, atomic_load(&t->interrupt));
	stream_put64(stream, t->driver_features);
	stream_put8(stream, t->running);
	for (unsigned i = 0; i < device->queues; i++) {
		stream_put64(stream, t->queue[i].at.desc);
		stream_put64(stream, t->queue[i].at.driver);
		stream_put64(stream, t->queue[i].at.device);
		stream_put32(stream, t->queue[i].size);
		stream_put8(stream, t->queue[i].ready);
	}
	return stream_end(stream);
}

static void load_registers(struct mmio_transport *t, struct stream *stream)
{
	t->status = stream_get32(stream);
	t->features_select = stream_get32(stream);
	t->driver_select = stream_get32(stream);
	t->queue_select = stream_get32(stream);
	t->generation = stream_get32(stream);
	atomic_init(&t->interrupt, stream_get32(stream));
	t->driver_features = stream_get64(stream);
	t->running = stream_get_bool(stream);
	for (unsigned i = 0; i < t->device->queues; i++) {
		t->queue[i].at.desc = stream_get64(stream);
		t->queue[i].at.driver = stream_get64(stream);
		t->queue[i].at.device = stream_get64(stream);
		t->queue[i].size = stream_get32(stream);
		t->queue[i].ready = stream_get_bool(stream);
	}
}

/* What a driver could not have brought about is refused; what the host offers less now, too. */
static int load(struct device *device, struct stream *stream)
{
	struct mmio_transport *own = transport_of(device), t = { .device = device, .irq_fd = own->irq_fd };

	stream_begin(stream, MMIO_TAG, MMIO_VERSION);
	load_registers(&t, stream);
	int err = stream_end(stream);
	if (err)
		return err;
	if (t.status & ~(0xffu & ~NEEDS_RESET) || t.queue_select >= DEVICE_MAX_QUEUES || (t.running && t.driver_features & ~offered(&t)))
		return stream_refuse(stream);
	t.was_started = t.running;
	*own = t;
	return 0;
}

const struct transport_ops mmio_transport = { .notify = notify, .broken = broken, .save = save, .load = load };
