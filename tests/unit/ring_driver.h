/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's side of a ring, for tests: guest memory, a driver that obeys the rules, and ways to break them. */
#ifndef LV_TESTS_RING_DRIVER_H
#define LV_TESTS_RING_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "abi/device_page.h"
#include "vmm/device.h"
#include "vmm/mem.h"
#include "vmm/virtio/queue.h"

#define GUEST_BASE 0x100000ull
#define GUEST_SIZE (4u << 20)

struct guest { /* a VM without a vCPU: memory, loop and devices, with the test in the guest's role */
	uint8_t *ram;
	struct mem mem;
	uint64_t next; /* free guest memory */
	struct lv_device_page page;
	struct lv_shared shared;
	struct loop loop;
	struct devices devices;
	unsigned wakes;
	unsigned interrupts, reconfigurations; /* of devices with a transport that negotiates */
	struct lv_queue ring[DEVICE_MAX_QUEUES];
};

struct driver {
	struct guest *guest;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size, next_desc, last_used;
};

void guest_init(struct guest *guest);
void guest_fini(struct guest *guest);
gpa_t guest_alloc(void *guest, size_t size, size_t align); /* zeroed */
void *guest_ptr(struct guest *guest, gpa_t gpa);
/* Adds one device, places its rings and starts it. */
struct device *guest_add_device(struct guest *guest, const struct device_config *config);
/* The same as a driver that negotiates does it, and takes these of the features; the rings are in guest->ring. */
struct device *guest_negotiate_device(struct guest *guest, const struct device_config *config, uint64_t features);
/* Rings the bell of a device and lets the loop run until nothing happens for some milliseconds. */
void guest_ring(struct guest *guest, struct device *device);
void guest_settle(struct guest *guest);

void driver_init(struct driver *driver, struct guest *guest, const struct lv_queue *queue);
void driver_of(struct driver *driver, struct guest *guest, const struct device *device, unsigned queue);

struct part {
	gpa_t gpa;
	uint32_t len;
	bool write;
};
/* Posts one chain; its head. Descriptors are taken round robin: the test does not overrun the ring. */
uint16_t driver_post(struct driver *driver, const struct part *part, unsigned parts);
void driver_publish(struct driver *driver, uint16_t head);
/* Takes a used element: 1, or 0 if there is none. */
int driver_used(struct driver *driver, uint32_t *head, uint32_t *len);

#endif
