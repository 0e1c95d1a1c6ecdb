/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO (virtio 1.2, section 4.2), version 2 registers: how Linux guests reach the devices of the one table.
 * The driver is hostile: every register may be read and written at any time, in any width and order.
 */
#ifndef LV_VMM_VIRTIO_MMIO_H
#define LV_VMM_VIRTIO_MMIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/device.h"

#define MMIO_NOTIFY 0x50 /* QueueNotify: where the doorbell's ioeventfd listens, for all queues */

struct mmio_transport {
	struct device *device;
	int irq_fd; /* eventfd behind an irqfd */
	atomic_uint interrupt; /* InterruptStatus */
	uint32_t status, features_select, driver_select, queue_select, generation;
	uint64_t driver_features;
	bool running, was_started;
	struct {
		struct queue_layout at;
		uint32_t size;
		bool ready;
	} queue[DEVICE_MAX_QUEUES];
};

struct mmio_bus {
	unsigned count;
	void (*raise)(void *context, unsigned index); /* interrupts for a device; NULL: by its irq_fd */
	void *raise_context;
	struct mmio_transport transport[LV_MAX_DEVICES];
};

/*
 * One transport for each device of the set; interrupts of the set go through the bus from now on. irq_fd: an eventfd a
 * device, owned by the caller; NULL if raise is set afterwards.
 */
void mmio_bus_init(struct mmio_bus *bus, struct devices *set, const int *irq_fd);

/*
 * One access of len (1, 2, 4 or 8) bytes at offset (below 0x1000) into transport index; what cannot be is ignored, or
 * reads as zero. Any vCPU thread: takes the loop's lock where the devices' own thread could be in the way.
 */
void mmio_write(struct mmio_bus *bus, unsigned index, uint32_t offset, const uint8_t *data, unsigned len);
void mmio_read(struct mmio_bus *bus, unsigned index, uint32_t offset, uint8_t *data, unsigned len);

#endif
