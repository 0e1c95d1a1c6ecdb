/* SPDX-License-Identifier: Apache-2.0 */
/* The ring walker, with drivers that obey and drivers that attack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ring_driver.h"

#define SIZE 8

struct fixture {
	struct guest guest;
	struct driver driver;
	struct queue queue;
	struct chain chain;
	gpa_t buffer;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct queue_layout layout;
	struct lv_queue queue = { .size = SIZE };

	guest_init(&f->guest);
	layout = queue_layout(guest_alloc(&f->guest, queue_bytes(SIZE), QUEUE_ALIGN), SIZE);
	queue.desc = layout.desc;
	queue.driver = layout.driver;
	queue.device = layout.device;
	driver_init(&f->driver, &f->guest, &queue);
	assert_int_equal(queue_init(&f->queue, &f->guest.mem, &layout, SIZE), 0);
	f->buffer = guest_alloc(&f->guest, 2 << 20, 4096);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	free(f);
	return 0;
}

static void expect_broken(struct fixture *f, const char *reason)
{
	assert_int_equal(queue_pop(&f->queue, &f->chain), -EPROTO);
	assert_string_equal(f->queue.broken, reason);
	/* and stays so, whatever the ring says by then */
	f->driver.avail->idx = f->queue.next_avail;
	assert_int_equal(queue_pop(&f->queue, &f->chain), -EPROTO);
	assert_false(queue_ready(&f->queue));
}

static void test_layout(void **state)
{
	struct queue_layout at = queue_layout(0x1000, 256);

	assert_int_equal(at.driver, 0x1000 + 256 * 16);
	assert_true(at.device >= at.driver + 4 + 2 * 256);
	assert_int_equal(at.device % 4, 0);
	assert_true(0x1000 + queue_bytes(256) >= at.device + 4 + 8 * 256);
}

static void test_init_refuses(void **state)
{
	struct fixture *f = *state;
	struct queue_layout good = queue_layout(GUEST_BASE, SIZE), at;
	struct queue q;

	assert_int_equal(queue_init(&q, &f->guest.mem, &good, 0), -EINVAL);
	assert_int_equal(queue_init(&q, &f->guest.mem, &good, 7), -EINVAL);
	assert_int_equal(queue_init(&q, &f->guest.mem, &good, 512), -EINVAL);
	at = good;
	at.desc += 8;
	assert_int_equal(queue_init(&q, &f->guest.mem, &at, SIZE), -EINVAL);
	at = good;
	at.device = GUEST_BASE + GUEST_SIZE - 8;
	assert_int_equal(queue_init(&q, &f->guest.mem, &at, SIZE), -EINVAL);
	at = good;
	at.driver = ~1ull;
	assert_int_equal(queue_init(&q, &f->guest.mem, &at, SIZE), -EINVAL);
}

static void test_chain(void **state)
{
	struct fixture *f = *state;
	struct part part[] = { { f->buffer, 16, false }, { f->buffer + 100, 50, false }, { f->buffer + 4096, 512, true } };
	uint32_t head, len;
	uint16_t posted = driver_post(&f->driver, part, 3);

	assert_true(queue_ready(&f->queue));
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.head, posted);
	assert_int_equal(f->chain.readable, 2);
	assert_int_equal(f->chain.writable, 1);
	assert_int_equal(f->chain.read_len, 66);
	assert_int_equal(f->chain.write_len, 512);
	assert_ptr_equal(f->chain.iov[1].iov_base, guest_ptr(&f->guest, f->buffer + 100));
	assert_ptr_equal(chain_writable(&f->chain)->iov_base, guest_ptr(&f->guest, f->buffer + 4096));
	assert_int_equal(queue_pop(&f->queue, &f->chain), 0);

	queue_push(&f->queue, posted, 512);
	assert_int_equal(driver_used(&f->driver, &head, &len), 0);
	assert_true(queue_publish(&f->queue));
	assert_false(queue_publish(&f->queue));
	assert_int_equal(driver_used(&f->driver, &head, &len), 1);
	assert_int_equal(head, posted);
	assert_int_equal(len, 512);
}

static void test_wrap(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, 8, true };
	uint32_t head, len;

	for (unsigned i = 0; i < 70000; i++) { /* more than the 16-bit indices hold */
		uint16_t posted = driver_post(&f->driver, &part, 1);

		assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
		queue_push(&f->queue, f->chain.head, i & 7);
		assert_true(queue_publish(&f->queue));
		assert_int_equal(driver_used(&f->driver, &head, &len), 1);
		assert_int_equal(head, posted);
		assert_int_equal(len, i & 7);
	}
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, 8, true };
	uint16_t first = driver_post(&f->driver, &part, 1);

	driver_post(&f->driver, &part, 1);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	queue_unpop(&f->queue, 2);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.head, first);
}

static void test_full_ring(void **state)
{
	struct fixture *f = *state;
	struct part part[SIZE];

	for (unsigned i = 0; i < SIZE; i++)
		part[i] = (struct part){ f->buffer + i, 1, i >= SIZE / 2 };
	driver_post(&f->driver, part, SIZE);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.readable + f->chain.writable, SIZE);
}

static void test_notify(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, 8, true };

	queue_notify_off(&f->queue);
	assert_int_equal(f->driver.used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(queue_notify_on(&f->queue));
	assert_int_equal(f->driver.used->flags, 0);
	queue_notify_off(&f->queue);
	driver_post(&f->driver, &part, 1);
	assert_true(queue_notify_on(&f->queue));
}

/* ---- event index, and transports that interrupt ---- */

static uint16_t *used_event(struct fixture *f) /* the driver's wish */
{
	return &f->driver.avail->ring[SIZE];
}

static uint16_t avail_event(struct fixture *f) /* the device's */
{
	uint16_t index;

	memcpy(&index, &f->driver.used->ring[SIZE], sizeof(index));
	return index;
}

static bool serve(struct fixture *f, unsigned n)
{
	struct part part = { f->buffer, 8, true };

	for (unsigned i = 0; i < n; i++) {
		driver_post(&f->driver, &part, 1);
		assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
		queue_push(&f->queue, f->chain.head, 0);
	}
	return queue_publish(&f->queue);
}

static void test_no_interrupt(void **state)
{
	struct fixture *f = *state;

	f->driver.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_true(serve(f, 1)); /* the page transport has its own way to be told */
	f->queue.interrupts = true;
	assert_false(serve(f, 1));
	f->driver.avail->flags = 0;
	assert_true(serve(f, 1));
	assert_false(queue_publish(&f->queue));
}

static void test_used_event(void **state)
{
	struct fixture *f = *state;

	f->queue.interrupts = f->queue.event_idx = true;
	f->driver.avail->flags = VRING_AVAIL_F_NO_INTERRUPT; /* says nothing when indices were agreed on */
	*used_event(f) = 0;
	assert_true(serve(f, 1));
	assert_false(serve(f, 1));
	*used_event(f) = 4;
	assert_false(serve(f, 2));
	assert_true(serve(f, 1));
	*used_event(f) = 6;
	assert_true(serve(f, 3)); /* passes it */
	*used_event(f) = 3; /* in the past: not before the index has gone all the way round */
	for (unsigned i = 8; i < 65536 + 3; i++)
		assert_false(serve(f, 1));
	assert_true(serve(f, 1));
}

static void test_avail_event(void **state)
{
	struct fixture *f = *state;

	f->queue.event_idx = true;
	assert_int_equal(avail_event(f), 0);
	serve(f, 3);
	queue_notify_off(&f->queue);
	assert_int_equal(f->driver.used->flags, 0);
	assert_int_equal(avail_event(f), 0);
	assert_false(queue_notify_on(&f->queue));
	assert_int_equal(avail_event(f), 3);
	serve(f, 1);
	assert_false(queue_notify_on(&f->queue)); /* also when it was not off */
	assert_int_equal(avail_event(f), 4);
	driver_post(&f->driver, &(struct part){ f->buffer, 8, true }, 1);
	assert_true(queue_notify_on(&f->queue));
	assert_int_equal(avail_event(f), 4);
}

/* What the guest writes over our half of the ring is its own loss. */
static void test_used_index_scribbled(void **state)
{
	struct fixture *f = *state;

	f->driver.used->idx = 77;
	assert_false(queue_publish(&f->queue));
	serve(f, 1);
	assert_int_equal(f->driver.used->idx, 1);
}

static void test_not_set_up(void **state)
{
	struct fixture *f = *state;
	struct queue_layout outside = queue_layout(GUEST_BASE + GUEST_SIZE - 16, SIZE);

	driver_post(&f->driver, &(struct part){ f->buffer, 8, true }, 1);
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			assert_int_equal(queue_init(&f->queue, &f->guest.mem, &outside, SIZE), -EINVAL);
		else
			queue_reset(&f->queue);
		assert_int_equal(queue_pop(&f->queue, &f->chain), 0);
		assert_false(queue_ready(&f->queue));
		queue_notify_off(&f->queue);
		assert_false(queue_notify_on(&f->queue));
		queue_push(&f->queue, 0, 1);
		assert_false(queue_publish(&f->queue));
	}
}

/* The largest frame that Linux sends: 64 KiB in pages, behind its headers. */
static void test_segmented_frame(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = (struct vring_desc *)guest_ptr(&f->guest, f->buffer + (1 << 20));
	struct queue queue;
	struct queue_layout at = queue_layout(guest_alloc(&f->guest, queue_bytes(QUEUE_MAX), QUEUE_ALIGN), QUEUE_MAX);
	struct driver driver;

	driver_init(&driver, &f->guest, &(struct lv_queue){ at.desc, at.driver, at.device, QUEUE_MAX, 0 });
	assert_int_equal(queue_init(&queue, &f->guest.mem, &at, QUEUE_MAX), 0);
	for (unsigned i = 0; i < 19; i++)
		table[i] = (struct vring_desc){ f->buffer + i * 4096, i ? 4096 : 12 + 66, i < 18 ? VRING_DESC_F_NEXT : 0, i + 1 };
	driver.desc[0] = (struct vring_desc){ f->buffer + (1 << 20), 19 * 16, VRING_DESC_F_INDIRECT, 0 };
	driver_publish(&driver, 0);
	assert_int_equal(queue_pop(&queue, &f->chain), 1);
	assert_int_equal(f->chain.readable, 19);
	assert_int_equal(f->chain.read_len, 12 + 66 + 18 * 4096);
}

/* An indirect table of n descriptors at the end of the buffer area; the caller fills it. */
static struct vring_desc *post_indirect(struct fixture *f, uint32_t bytes)
{
	gpa_t table = f->buffer + (1 << 20);

	f->driver.desc[0] = (struct vring_desc){ table, bytes, VRING_DESC_F_INDIRECT, 0 };
	driver_publish(&f->driver, 0);
	return guest_ptr(&f->guest, table);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = post_indirect(f, 3 * 16);

	table[0] = (struct vring_desc){ f->buffer, 10, VRING_DESC_F_NEXT, 2 };
	table[2] = (struct vring_desc){ f->buffer + 64, 20, VRING_DESC_F_WRITE, 0 };
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.head, 0);
	assert_int_equal(f->chain.read_len, 10);
	assert_int_equal(f->chain.write_len, 20);
}

static void test_indirect_as_long_as_queue(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = post_indirect(f, SIZE * 16);

	for (unsigned i = 0; i < SIZE; i++)
		table[i] = (struct vring_desc){ f->buffer + i, 1, i + 1 < SIZE ? VRING_DESC_F_NEXT : 0, i + 1 };
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.readable, SIZE);
}

static void test_zero_length_parts_vanish(void **state)
{
	struct fixture *f = *state;
	struct part part[] = { { 0, 0, false }, { f->buffer, 4, false } };

	driver_post(&f->driver, part, 2);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_int_equal(f->chain.readable, 1);
}

/* ---- attacks ---- */

static void test_index_jump(void **state)
{
	struct fixture *f = *state;

	f->driver.avail->idx = SIZE + 1;
	expect_broken(f, "the available index is ahead by more than the queue's size");
}

static void test_index_back(void **state)
{
	struct fixture *f = *state;

	f->driver.avail->idx = (uint16_t)-1;
	expect_broken(f, "the available index is ahead by more than the queue's size");
}

static void test_head_beyond(void **state)
{
	struct fixture *f = *state;

	driver_publish(&f->driver, SIZE);
	expect_broken(f, "an available entry names a descriptor beyond the table");
}

static void test_next_beyond(void **state)
{
	struct fixture *f = *state;

	f->driver.desc[0] = (struct vring_desc){ f->buffer, 4, VRING_DESC_F_NEXT, SIZE };
	driver_publish(&f->driver, 0);
	expect_broken(f, "a descriptor index beyond its table");
}

static void test_loop(void **state)
{
	struct fixture *f = *state;

	f->driver.desc[0] = (struct vring_desc){ f->buffer, 4, VRING_DESC_F_NEXT, 1 };
	f->driver.desc[1] = (struct vring_desc){ f->buffer, 4, VRING_DESC_F_NEXT, 0 };
	driver_publish(&f->driver, 0);
	expect_broken(f, "a descriptor chain loops or is longer than the queue");
}

static void test_loop_of_nothing(void **state)
{
	struct fixture *f = *state;

	f->driver.desc[0] = (struct vring_desc){ f->buffer, 0, VRING_DESC_F_NEXT, 0 };
	driver_publish(&f->driver, 0);
	expect_broken(f, "a descriptor chain loops or is longer than the queue");
}

static void test_outside(void **state)
{
	static const struct part bad[] = {
		{ 0, 4, false },
		{ GUEST_BASE - 1, 4, true },
		{ GUEST_BASE + GUEST_SIZE - 3, 4, false },
		{ GUEST_BASE + GUEST_SIZE, 1, true },
		{ ~0ull - 1, 4, false },
		{ ~0ull - 1, 100, true },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		driver_post(&f->driver, &bad[i], 1);
		expect_broken(f, "a descriptor points outside guest memory");
	}
}

static void test_order(void **state)
{
	struct fixture *f = *state;
	struct part part[] = { { f->buffer, 4, true }, { f->buffer, 4, false } };

	driver_post(&f->driver, part, 2);
	expect_broken(f, "a readable descriptor follows a writable one");
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = guest_ptr(&f->guest, f->buffer);
	const unsigned whole = QUEUE_CHAIN_BYTES >> 20;
	struct queue_layout at = queue_layout(f->buffer + (1 << 20), 64);
	struct driver driver;

	driver_init(&driver, &f->guest, &(struct lv_queue){ at.desc, at.driver, at.device, 64, 0 });
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(queue_init(&f->queue, &f->guest.mem, &at, 64), 0);
		f->queue.next_avail = round;
		for (unsigned i = 0; i < whole + round; i++)
			table[i] = (struct vring_desc){ f->buffer, i < whole ? 1 << 20 : 1,
							VRING_DESC_F_WRITE | (i + 1 < whole + round ? VRING_DESC_F_NEXT : 0), i + 1 };
		driver.desc[0] = (struct vring_desc){ f->buffer, (whole + round) * 16, VRING_DESC_F_INDIRECT, 0 };
		driver_publish(&driver, 0);
		if (round == 0)
			assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	}
	assert_int_equal(queue_pop(&f->queue, &f->chain), -EPROTO);
	assert_string_equal(f->queue.broken, "a descriptor chain is longer than a device takes");
}

static void test_huge(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, UINT32_MAX, true };

	driver_post(&f->driver, &part, 1);
	expect_broken(f, "a descriptor chain is longer than a device takes");
}

static void test_indirect_nested(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = post_indirect(f, 16);

	table[0] = (struct vring_desc){ f->buffer, 16, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(f, "an indirect table inside an indirect table");
}

static void test_indirect_next(void **state)
{
	struct fixture *f = *state;

	post_indirect(f, 16);
	f->driver.desc[0].flags |= VRING_DESC_F_NEXT;
	expect_broken(f, "an indirect descriptor with a successor");
}

static void test_indirect_sizes(void **state)
{
	static const uint32_t bad[] = { 0, 8, 17, 16 * (QUEUE_MAX + 1), UINT32_MAX, UINT32_MAX - 15 };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		teardown(state);
		setup(state);
		post_indirect(*state, bad[i]);
		expect_broken(*state, "an indirect table of impossible size");
	}
}

static void test_indirect_outside(void **state)
{
	struct fixture *f = *state;

	post_indirect(f, 32);
	f->driver.desc[0].addr = GUEST_BASE + GUEST_SIZE - 16;
	expect_broken(f, "an indirect table outside guest memory");
}

static void test_indirect_loop(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = post_indirect(f, 2 * 16);

	table[0] = (struct vring_desc){ f->buffer, 1, VRING_DESC_F_NEXT, 1 };
	table[1] = (struct vring_desc){ f->buffer, 1, VRING_DESC_F_NEXT, 0 };
	expect_broken(f, "a descriptor chain loops or is longer than the queue");
}

static void test_indirect_next_beyond(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = post_indirect(f, 2 * 16);

	table[0] = (struct vring_desc){ f->buffer, 1, VRING_DESC_F_NEXT, 2 };
	expect_broken(f, "a descriptor index beyond its table");
}

/* Read-only memory may be sent from, never received into. */
static void test_read_only(void **state)
{
	struct fixture *f = *state;
	static uint8_t image[4096];
	struct part part = { 0x5000000, 4096, false };

	assert_int_equal(mem_add(&f->guest.mem, 0x5000000, sizeof(image), image, false), 0);
	driver_post(&f->driver, &part, 1);
	assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
	assert_ptr_equal(f->chain.iov[0].iov_base, image);
	part.write = true;
	driver_post(&f->driver, &part, 1);
	expect_broken(f, "a descriptor points outside guest memory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_layout), TEST(test_init_refuses), TEST(test_chain), TEST(test_wrap), TEST(test_unpop),
		TEST(test_full_ring), TEST(test_notify), TEST(test_no_interrupt), TEST(test_used_event),
		TEST(test_avail_event), TEST(test_used_index_scribbled), TEST(test_not_set_up), TEST(test_segmented_frame),
		TEST(test_indirect), TEST(test_indirect_as_long_as_queue),
		TEST(test_zero_length_parts_vanish), TEST(test_index_jump), TEST(test_index_back), TEST(test_head_beyond),
		TEST(test_next_beyond), TEST(test_loop), TEST(test_loop_of_nothing), TEST(test_outside), TEST(test_order),
		TEST(test_too_long), TEST(test_huge), TEST(test_indirect_nested), TEST(test_indirect_next),
		TEST(test_indirect_sizes), TEST(test_indirect_outside), TEST(test_indirect_loop),
		TEST(test_indirect_next_beyond), TEST(test_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
