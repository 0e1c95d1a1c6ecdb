/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ring_driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void count_wake(void *context)
{
	struct guest *guest = context;

	guest->wakes++;
}

void guest_init(struct guest *guest)
{
	memset(guest, 0, sizeof(*guest));
	guest->ram = calloc(1, GUEST_SIZE);
	guest->next = GUEST_BASE;
	if (!guest->ram || mem_add(&guest->mem, GUEST_BASE, GUEST_SIZE, guest->ram, true) || loop_init(&guest->loop))
		abort();
	devices_init(&guest->devices, &guest->loop);
	guest->devices.mem = &guest->mem;
	guest->devices.shared = &guest->shared;
	guest->devices.wake = count_wake;
	guest->devices.wake_context = guest;
}

void guest_fini(struct guest *guest)
{
	devices_free(&guest->devices);
	loop_fini(&guest->loop);
	free(guest->ram);
}

gpa_t guest_alloc(void *context, size_t size, size_t align)
{
	struct guest *guest = context;
	gpa_t at = (guest->next + align - 1) / align * align;

	if (at + size > GUEST_BASE + GUEST_SIZE)
		return (gpa_t)-1;
	guest->next = at + size;
	return at;
}

void *guest_ptr(struct guest *guest, gpa_t gpa)
{
	return guest->ram + (gpa - GUEST_BASE);
}

struct device *guest_add_device(struct guest *guest, const struct device_config *config)
{
	const char *error;

	if (devices_add(&guest->devices, config, &error) || devices_describe(&guest->devices, &guest->page, guest_alloc, guest) ||
	    devices_start(&guest->devices))
		return NULL;
	return guest->devices.device[guest->devices.count - 1];
}

static void count_interrupt(struct device *device, bool configuration)
{
	struct guest *guest = device->set->transport_context;

	*(configuration ? &guest->reconfigurations : &guest->interrupts) += 1;
}

static void ignore(struct device *device)
{
}

static int save_nothing(const struct device *device, struct stream *stream)
{
	return 0;
}

static int load_nothing(struct device *device, struct stream *stream)
{
	return 0;
}

static const struct transport_ops counting = { .notify = count_interrupt, .broken = ignore, .save = save_nothing, .load = load_nothing };

static void place_ring(struct guest *guest, struct device *device, unsigned i)
{
	unsigned size = device->queue_size[i];
	struct queue_layout layout = queue_layout(guest_alloc(guest, queue_bytes(size), QUEUE_ALIGN), size);

	if (queue_init(&device->queue[i], &guest->mem, &layout, size))
		abort();
	device->queue[i].interrupts = true;
	guest->ring[i] = (struct lv_queue){ layout.desc, layout.driver, layout.device, size, 0 };
}

struct device *guest_negotiate_device(struct guest *guest, const struct device_config *config, uint64_t features)
{
	struct device *device;
	const char *error;

	guest->devices.transport = &counting;
	guest->devices.transport_context = guest;
	if (devices_add(&guest->devices, config, &error))
		return NULL;
	device = guest->devices.device[guest->devices.count - 1];
	for (unsigned i = 0; i < device->queues; i++)
		place_ring(guest, device, i);
	device->features = features & device->ops->offer(device);
	return devices_start(&guest->devices) ? NULL : device;
}

void guest_settle(struct guest *guest)
{
	for (int i = 0; i < 20; i++)
		loop_once(&guest->loop, 0);
}

void guest_ring(struct guest *guest, struct device *device)
{
	uint64_t one = 1;

	if (write(device->bell.fd, &one, sizeof(one)) != sizeof(one))
		abort();
	guest_settle(guest);
}

void driver_init(struct driver *driver, struct guest *guest, const struct lv_queue *queue)
{
	*driver = (struct driver){ .guest = guest, .size = queue->size };
	driver->desc = guest_ptr(guest, queue->desc);
	driver->avail = guest_ptr(guest, queue->driver);
	driver->used = guest_ptr(guest, queue->device);
}

void driver_of(struct driver *driver, struct guest *guest, const struct device *device, unsigned queue)
{
	driver_init(driver, guest, &guest->page.device[device->index].queue[queue]);
}

uint16_t driver_post(struct driver *driver, const struct part *part, unsigned parts)
{
	uint16_t head = driver->next_desc;

	for (unsigned i = 0; i < parts; i++) {
		uint16_t at = driver->next_desc;

		driver->next_desc = (at + 1) % driver->size;
		driver->desc[at] = (struct vring_desc){ part[i].gpa, part[i].len, part[i].write ? VRING_DESC_F_WRITE : 0, 0 };
		if (i + 1 < parts) {
			driver->desc[at].flags |= VRING_DESC_F_NEXT;
			driver->desc[at].next = driver->next_desc;
		}
	}
	driver_publish(driver, head);
	return head;
}

void driver_publish(struct driver *driver, uint16_t head)
{
	uint16_t idx = driver->avail->idx;

	driver->avail->ring[idx % driver->size] = head;
	__atomic_store_n(&driver->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE); /* the device may look from another thread */
}

int driver_used(struct driver *driver, uint32_t *head, uint32_t *len)
{
	struct vring_used_elem *element = &driver->used->ring[driver->last_used % driver->size];

	if (driver->used->idx == driver->last_used)
		return 0;
	*head = element->id;
	*len = element->len;
	driver->last_used++;
	return 1;
}
