/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon and the entropy device, with the test in the role of Linux' drivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/balloon.h"

#define PAGE 4096ull
#define PAGES 64u
#define RAM 0x40000000ull /* memory that is mapped as a monitor does it, for the pages that are given back */
#define STATS (1ull << VIRTIO_BALLOON_F_STATS_VQ)
#define REPORTING (1ull << VIRTIO_BALLOON_F_REPORTING)

struct fixture {
	struct guest guest;
	struct device *device;
	struct driver queue[5];
	gpa_t buffer;
	uint8_t *ram;
	unsigned told;
};

static void on_told(void *context)
{
	struct fixture *f = context;

	f->told++;
}

static void start(struct fixture *f, enum lv_device_type type, uint64_t features)
{
	guest_init(&f->guest);
	f->ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(mem_add(&f->guest.mem, RAM, PAGES * PAGE, f->ram, true), 0);
	memset(f->ram, 'x', PAGES * PAGE);
	f->device = guest_negotiate_device(&f->guest, &(struct device_config){ .type = type }, features);
	assert_non_null(f->device);
	for (unsigned i = 0; i < f->device->queues; i++)
		driver_init(&f->queue[i], &f->guest, &f->guest.ring[i]);
	f->buffer = guest_alloc(&f->guest, 1 << 20, 4096);
}

static int setup(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, LV_DEV_BALLOON, STATS | REPORTING);
	return 0;
}

static int setup_without_stats(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, LV_DEV_BALLOON, REPORTING);
	return 0;
}

static int setup_rng(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, LV_DEV_RNG, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	munmap(f->ram, PAGES * PAGE);
	free(f);
	return 0;
}

static void send_pages(struct fixture *f, unsigned queue, const uint32_t *pfn, unsigned count)
{
	uint32_t head, len;

	memcpy(guest_ptr(&f->guest, f->buffer), pfn, count * sizeof(*pfn));
	driver_post(&f->queue[queue], &(struct part){ f->buffer, count * sizeof(*pfn), false }, 1);
	guest_ring(&f->guest, f->device);
	assert_int_equal(driver_used(&f->queue[queue], &head, &len), 1);
}

static void expect_page(struct fixture *f, unsigned page, uint8_t byte)
{
	for (unsigned i = 0; i < PAGE; i++)
		assert_int_equal(f->ram[page * PAGE + i], byte);
}

static void test_inflate(void **state)
{
	struct fixture *f = *state;
	const uint32_t base = RAM / PAGE, pfn[] = { base + 5, base + 4, base + 3, base + 9, base + 10, base + 63, base + 20 };

	send_pages(f, 0, pfn, 7);
	for (unsigned i = 0; i < PAGES; i++)
		expect_page(f, i, (i >= 3 && i <= 5) || i == 9 || i == 10 || i == 20 || i == 63 ? 0 : 'x');
	send_pages(f, 1, pfn, 7); /* deflate: nothing to do */
}

/* What lies outside of memory takes nothing along. */
static void test_inflate_nonsense(void **state)
{
	struct fixture *f = *state;
	const uint32_t base = RAM / PAGE, pfn[] = { base + PAGES - 1, base + PAGES, ~0u, 0, base - 1, base, base };

	send_pages(f, 0, pfn, 7);
	expect_page(f, 0, 0);
	expect_page(f, 1, 'x');
	expect_page(f, PAGES - 2, 'x');
	expect_page(f, PAGES - 1, 0);
	assert_int_equal(f->device->stats.needs_reset, 0);
}

static void test_many_pages(void **state)
{
	struct fixture *f = *state;
	static uint32_t pfn[5000];

	for (unsigned i = 0; i < 5000; i++)
		pfn[i] = RAM / PAGE + i % 30;
	send_pages(f, 0, pfn, 5000);
	expect_page(f, 29, 0);
	expect_page(f, 30, 'x');
}

static void report(struct fixture *f, unsigned queue)
{
	const struct part part[] = { { RAM + 2 * PAGE, 8 * PAGE, true }, { RAM + 20 * PAGE + 100, 2 * PAGE, true }, { RAM + 50, 60, true } };
	uint32_t head, len;

	driver_post(&f->queue[queue], part, 3);
	guest_ring(&f->guest, f->device);
	assert_int_equal(driver_used(&f->queue[queue], &head, &len), 1);
	for (unsigned i = 0; i < PAGES; i++) /* only what is whole */
		expect_page(f, i, (i >= 2 && i < 10) || i == 21 ? 0 : 'x');
}

static void test_report(void **state)
{
	struct fixture *f = *state;
	struct lv_balloon balloon;

	report(f, 3); /* as Linux numbers queues */
	balloon_state(f->device, &balloon);
	assert_int_equal(balloon.reported, 9 * PAGE);
}

static void test_report_by_the_book(void **state)
{
	report(*state, 4);
}

static void test_report_without_stats(void **state)
{
	report(*state, 2);
}

static void test_target(void **state)
{
	struct fixture *f = *state;
	struct virtio_balloon_config config;
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };
	struct lv_balloon balloon = { 0 };
	const uint32_t actual = 100;

	assert_int_equal(balloon_set(f->device, 1 << 20), -ENOTCONN);
	guest_ring(&f->guest, f->device);
	assert_int_equal(balloon_set(f->device, 1 << 20), 0);
	assert_int_equal(balloon_set(f->device, ~0ull), -ERANGE);
	assert_int_equal(f->guest.reconfigurations, 1);
	f->device->ops->configure(f->device, 4, (const uint8_t *)&actual, 4);
	f->device->ops->configure(f->device, 0, (const uint8_t *)&actual, 4); /* not the driver's */
	f->device->ops->configure(f->device, 6, (const uint8_t *)&actual, 4); /* beyond */
	f->device->ops->configure(f->device, 240, (const uint8_t *)&actual, 4);
	f->device->ops->configuration(f->device, space);
	memcpy(&config, space, sizeof(config));
	assert_int_equal(config.num_pages, 256);
	assert_int_equal(config.actual, 100);
	balloon_state(f->device, &balloon);
	assert_int_equal(balloon.target, 1 << 20);
	assert_int_equal(balloon.actual, 100 * PAGE);
}

static void post_stats(struct fixture *f, gpa_t at, uint64_t free)
{
	const struct virtio_balloon_stat stat[] = { { VIRTIO_BALLOON_S_MEMFREE, free }, { VIRTIO_BALLOON_S_MEMTOT, 7777 }, { 999, 1 } };

	memcpy(guest_ptr(&f->guest, at), stat, sizeof(stat));
	driver_post(&f->queue[2], &(struct part){ at, sizeof(stat), false }, 1);
	guest_ring(&f->guest, f->device);
}

static void test_stats(void **state)
{
	struct fixture *f = *state;
	struct lv_balloon balloon;
	uint32_t head, len;

	assert_int_equal(balloon_ask(f->device, on_told, f), -ENOTCONN);
	post_stats(f, f->buffer, 1234);
	assert_int_equal(f->told, 0); /* nobody has asked */
	balloon_state(f->device, &balloon);
	assert_int_equal(balloon.stat[LV_BALLOON_FREE], 1234);
	assert_int_equal(balloon.stat[LV_BALLOON_TOTAL], 7777);
	assert_true(balloon.stat[LV_BALLOON_SWAP_IN] == UINT64_MAX);
	assert_int_equal(driver_used(&f->queue[2], &head, &len), 0); /* the buffer stays with the device */
	assert_int_equal(balloon_ask(f->device, on_told, f), 0);
	assert_int_equal(driver_used(&f->queue[2], &head, &len), 1);
	assert_int_equal(balloon_ask(f->device, on_told, f), 0); /* asked already */
	assert_int_equal(driver_used(&f->queue[2], &head, &len), 0);
	post_stats(f, f->buffer, 99);
	balloon_state(f->device, &balloon);
	assert_int_equal(balloon.stat[LV_BALLOON_FREE], 99);
	assert_int_equal(f->told, 1);
	post_stats(f, f->buffer + 4096, 98); /* a second buffer: the first comes back */
	assert_int_equal(driver_used(&f->queue[2], &head, &len), 1);
	assert_int_equal(driver_used(&f->queue[2], &head, &len), 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct lv_balloon balloon;

	post_stats(f, f->buffer, 1);
	f->device->ops->reset(f->device);
	assert_int_equal(balloon_ask(f->device, on_told, f), -ENOTCONN);
	balloon_state(f->device, &balloon);
	assert_int_equal(balloon.present, 0);
}

/* ---- rng ---- */

static void test_rng(void **state)
{
	struct fixture *f = *state;
	const struct part part[] = { { f->buffer, 64, true }, { f->buffer + 4096, 64, true } };
	uint8_t *got = guest_ptr(&f->guest, f->buffer), zero[64] = { 0 };
	uint32_t head, len;

	driver_post(&f->queue[0], part, 2);
	guest_ring(&f->guest, f->device);
	assert_int_equal(driver_used(&f->queue[0], &head, &len), 1);
	assert_int_equal(len, 128);
	assert_memory_not_equal(got, zero, 64);
	assert_memory_not_equal(got + 4096, zero, 64);
	assert_memory_not_equal(got, got + 4096, 64);
}

static void test_rng_is_bounded(void **state)
{
	struct fixture *f = *state;
	const struct part much = { f->buffer, 1 << 20, true }, none = { f->buffer, 64, false };
	uint8_t *got = guest_ptr(&f->guest, f->buffer), zero[64] = { 0 };
	uint32_t head, len;

	driver_post(&f->queue[0], &much, 1);
	driver_post(&f->queue[0], &none, 1);
	guest_ring(&f->guest, f->device);
	assert_int_equal(driver_used(&f->queue[0], &head, &len), 1);
	assert_int_equal(len, 4096);
	assert_memory_equal(got + 4096, zero, 64);
	assert_int_equal(driver_used(&f->queue[0], &head, &len), 1);
	assert_int_equal(len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define RNG(name) cmocka_unit_test_setup_teardown(name, setup_rng, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_inflate), TEST(test_inflate_nonsense), TEST(test_many_pages), TEST(test_report), TEST(test_report_by_the_book),
		cmocka_unit_test_setup_teardown(test_report_without_stats, setup_without_stats, teardown),
		TEST(test_target), TEST(test_stats), TEST(test_reset), RNG(test_rng), RNG(test_rng_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
