/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over MMIO: a driver that goes by the book (virtio 1.2, section 3.1), and one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/virtio/mmio.h"

#define NEEDS_RESET 0x40
#define BEGUN (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

struct fixture {
	struct guest guest;
	struct mmio_bus bus;
	struct driver driver;
	struct queue_layout at;
	int irq;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_BLOCK, .block = { .fd = memfd_create("disk", 0), .serial = "disk-0" } };
	const char *error;

	guest_init(&f->guest);
	assert_int_equal(ftruncate(config.block.fd, 64 * 512), 0);
	assert_int_equal(devices_add(&f->guest.devices, &config, &error), 0);
	f->irq = eventfd(0, EFD_NONBLOCK);
	mmio_bus_init(&f->bus, &f->guest.devices, &f->irq);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	close(f->irq);
	free(f);
	return 0;
}

static uint32_t get(struct fixture *f, uint32_t offset)
{
	uint32_t value = 0xdeadbeef;

	mmio_read(&f->bus, 0, offset, (uint8_t *)&value, 4);
	return value;
}

static void set(struct fixture *f, uint32_t offset, uint32_t value)
{
	mmio_write(&f->bus, 0, offset, (const uint8_t *)&value, 4);
}

static void set_address(struct fixture *f, uint32_t low, uint64_t address)
{
	set(f, low, (uint32_t)address);
	set(f, low + 4, address >> 32);
}

static void negotiate(struct fixture *f, uint64_t features)
{
	set(f, VIRTIO_MMIO_STATUS, 0);
	set(f, VIRTIO_MMIO_STATUS, BEGUN);
	for (unsigned i = 0; i < 2; i++) {
		set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		set(f, VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 * i);
	}
	set(f, VIRTIO_MMIO_STATUS, BEGUN | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void place_queue(struct fixture *f, unsigned size)
{
	f->at = queue_layout(guest_alloc(&f->guest, queue_bytes(size), QUEUE_ALIGN), size);
	set(f, VIRTIO_MMIO_QUEUE_SEL, 0);
	set(f, VIRTIO_MMIO_QUEUE_NUM, size);
	set_address(f, VIRTIO_MMIO_QUEUE_DESC_LOW, f->at.desc);
	set_address(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, f->at.driver);
	set_address(f, VIRTIO_MMIO_QUEUE_USED_LOW, f->at.device);
	set(f, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void bring_up(struct fixture *f)
{
	negotiate(f, 1ull << VIRTIO_F_VERSION_1);
	assert_true(get(f, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	place_queue(f, 8);
	assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 1);
	set(f, VIRTIO_MMIO_STATUS, BEGUN | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	driver_init(&f->driver, &f->guest,
		    &(struct lv_queue){ .desc = f->at.desc, .driver = f->at.driver, .device = f->at.device, .size = 8 });
}

/* Asks for the serial number; answers what the device said. */
static const char *ask_serial(struct fixture *f)
{
	gpa_t page = guest_alloc(&f->guest, 4096, 4096);
	const struct part parts[] = { { page, 16, false }, { page + 64, 20, true }, { page + 128, 1, true } };

	memcpy(guest_ptr(&f->guest, page), &(uint32_t){ 8 }, 4);
	driver_post(&f->driver, parts, 3);
	set(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	guest_settle(&f->guest);
	return guest_ptr(&f->guest, page + 64);
}

static void identity(void **state)
{
	struct fixture *f = *state;
	uint64_t sectors = 0;

	assert_int_equal(get(f, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(get(f, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(get(f, VIRTIO_MMIO_DEVICE_ID), LV_DEV_BLOCK);
	mmio_read(&f->bus, 0, VIRTIO_MMIO_CONFIG, (uint8_t *)&sectors, 8);
	assert_int_equal(sectors, 64);
	set(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_true(get(f, VIRTIO_MMIO_DEVICE_FEATURES) & 1);
	set(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(get(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

static void by_the_book(void **state)
{
	struct fixture *f = *state;
	uint64_t count = 0;

	bring_up(f);
	assert_string_equal(ask_serial(f), "disk-0");
	assert_int_equal(f->driver.used->idx, 1);
	assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	assert_int_equal(read(f->irq, &count, sizeof(count)), 8);
	set(f, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

/* A queue with something in it, but no driver that runs: the end of the VM does not wait for it. */
static void end_without_driver(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	negotiate(f, 1ull << VIRTIO_F_VERSION_1); /* begins with a reset */
	place_queue(f, 8);
	driver_init(&f->driver, &f->guest,
		    &(struct lv_queue){ .desc = f->at.desc, .driver = f->at.driver, .device = f->at.device, .size = 8 });
	driver_post(&f->driver, &(struct part){ guest_alloc(&f->guest, 4096, 4096), 16, false }, 1);
	devices_finish(&f->guest.devices);
	assert_int_equal(f->driver.used->idx, 0);
}

static void again_after_reset(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3; i++) {
		bring_up(f);
		assert_string_equal(ask_serial(f), "disk-0");
	}
	set(f, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(get(f, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void features_that_were_not_offered(void **state)
{
	struct fixture *f = *state;

	negotiate(f, 1ull << VIRTIO_F_VERSION_1 | 1ull << 63);
	assert_false(get(f, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	negotiate(f, 0); /* a driver of before version 1 */
	assert_false(get(f, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
}

static void ring_outside_of_memory(void **state)
{
	struct fixture *f = *state;

	negotiate(f, 1ull << VIRTIO_F_VERSION_1);
	set(f, VIRTIO_MMIO_QUEUE_NUM, 8);
	set_address(f, VIRTIO_MMIO_QUEUE_DESC_LOW, 1ull << 40);
	set(f, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_true(get(f, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(get(f, VIRTIO_MMIO_INTERRUPT_STATUS) & 2, 2);
	bring_up(f); /* a reset heals */
	assert_false(get(f, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_string_equal(ask_serial(f), "disk-0");
}

static void broken_ring(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->driver.avail->idx = 1000;
	set(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	guest_settle(&f->guest);
	assert_true(get(f, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
}

/* Before it is ready, the device does not look at its rings, whatever is said. */
static void notified_too_early(void **state)
{
	struct fixture *f = *state;

	set(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	guest_settle(&f->guest);
	negotiate(f, 1ull << VIRTIO_F_VERSION_1);
	set(f, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK); /* without a queue */
	set(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	guest_settle(&f->guest);
	assert_false(get(f, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
}

static void garbage(void **state)
{
	static const unsigned lengths[] = { 1, 2, 4, 8 };
	struct fixture *f = *state;
	unsigned seed = 7;

	for (unsigned i = 0; i < 300000; i++) {
		uint8_t data[8];
		seed = seed * 1103515245 + 12345;
		uint32_t offset = (seed >> 16 & 3) ? (seed >> 8 & 0x7f) << 2 : seed >> 8 & 0xfff;
		unsigned len = lengths[seed >> 20 & 3];
		memset(data, seed >> 24, sizeof(data));
		if (seed >> 31)
			mmio_write(&f->bus, seed >> 30 & 1, offset, data, len);
		else
			mmio_read(&f->bus, seed >> 30 & 1, offset, data, len);
		if (i % 1000 == 0)
			loop_once(&f->guest.loop, 0);
	}
	bring_up(f);
	assert_string_equal(ask_serial(f), "disk-0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, setup, teardown), cmocka_unit_test_setup_teardown(by_the_book, setup, teardown),
		cmocka_unit_test_setup_teardown(end_without_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(again_after_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(features_that_were_not_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_outside_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_ring, setup, teardown), cmocka_unit_test_setup_teardown(notified_too_early, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
