/* SPDX-License-Identifier: Apache-2.0 */
/* libos' side of a ring: chains come back once and in any order; a ring that somebody else wrote to is given up, not obeyed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "libos/dev/dev.h"

#define SIZE 8

struct lv_device_page test_device_page;
struct lv_shared test_shared_page;

void panic(const char *format, ...)
{
	fail_msg("%s", format);
	abort();
}

static unsigned bells;
void bell_ring(unsigned bell)
{
	bells++;
}

struct world {
	struct lv_device device;
	struct ring ring;
	void *cookie[SIZE];
	struct vring_desc desc[SIZE];
	uint16_t avail[2 + SIZE + 1]; /* the last: after which used index we want to be told */
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[SIZE];
		uint16_t bell_wish;
	} used;
};

static void start(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->device.queue[1] = (struct lv_queue){(uint64_t)w->desc, (uint64_t)w->avail, (uint64_t)&w->used, SIZE, 0};
	ring_init(&w->ring, &w->device, 1, w->cookie, SIZE);
}

/* As if so many chains had gone to and fro before. */
static void advance(struct world *w, uint16_t index)
{
	w->avail[1] = w->avail[2 + SIZE] = w->used.idx = w->used.bell_wish = index;
	w->ring.last_used = w->ring.told = w->ring.wish = index;
}

static void start_by_index(struct world *w, uint16_t index)
{
	start(w);
	w->device.features = LV_DEVICE_EVENT_IDX;
	ring_init(&w->ring, &w->device, 1, w->cookie, SIZE);
	advance(w, index);
	bells = 0;
}

static int add(struct world *w, unsigned parts, void *cookie)
{
	struct ring_buffer piece[SIZE + 1];
	for (unsigned i = 0; i < parts; i++)
		piece[i] = (struct ring_buffer){.data = w, .len = 1};
	return ring_add(&w->ring, piece, parts, cookie);
}

static void answer(struct world *w, uint32_t id, uint32_t len)
{
	w->used.ring[w->used.idx % SIZE] = (struct vring_used_elem){id, len};
	w->used.idx++;
}

static void chains_from(uint16_t index)
{
	struct world w;
	uint32_t len;
	start(&w);
	advance(&w, index);
	for (int round = 0; round < 100; round++) {
		int a, b;
		assert_int_equal(add(&w, 3, &a), 0);
		assert_int_equal(add(&w, 5, &b), 0);
		assert_int_equal(add(&w, 1, &b), -ENOSPC);
		assert_null(ring_get_used(&w.ring, &len));
		uint16_t first = w.avail[2 + (uint16_t)(w.avail[1] - 2) % SIZE], second = w.avail[2 + (uint16_t)(w.avail[1] - 1) % SIZE];
		answer(&w, second, 7);
		answer(&w, first, 0);
		assert_ptr_equal(ring_get_used(&w.ring, &len), &b);
		assert_int_equal(len, 7);
		assert_ptr_equal(ring_get_used(&w.ring, NULL), &a);
		assert_null(ring_get_used(&w.ring, NULL));
		assert_int_equal(w.ring.free_count, SIZE);
	}
	assert_false(ring_broken(&w.ring));
	assert_int_equal(w.avail[1], (uint16_t)(index + 200));
}

/* Indices have 16 bits, and wrap. */
static void test_chains(void **state)
{
	chains_from(0);
	chains_from(65500);
}

static void given_up(struct world *w)
{
	assert_null(ring_get_used(&w->ring, NULL));
	assert_true(ring_broken(&w->ring));
	assert_false(ring_has_used(&w->ring));
	assert_int_equal(add(w, 1, w), -EIO);
}

static void test_answers_to_nothing(void **state)
{
	static const uint32_t ids[] = {0, SIZE - 1, SIZE, 0xffff, 0x10000, UINT32_MAX};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct world w;
		start(&w);
		answer(&w, ids[i], 1);
		given_up(&w);
	}
}

static void test_answered_twice(void **state)
{
	struct world w;
	start(&w);
	assert_int_equal(add(&w, 2, &w), 0);
	answer(&w, 0, 1);
	answer(&w, 0, 1);
	assert_ptr_equal(ring_get_used(&w.ring, NULL), &w);
	given_up(&w);
}

/* The program wrote to the descriptor table: links that lead out of it, or in a circle. */
static void test_table_overwritten(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct world w;
		start(&w);
		assert_int_equal(add(&w, 3, &w), 0);
		w.desc[1].flags = VRING_DESC_F_NEXT;
		w.desc[1].next = kind ? 0xfff0 : 0;
		answer(&w, 0, 1);
		given_up(&w);
	}
}

static void test_free_list_overwritten(void **state)
{
	struct world w;
	start(&w);
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(add(&w, 1, &w), 0);
	answer(&w, 3, 1);
	answer(&w, 5, 1);
	assert_non_null(ring_get_used(&w.ring, NULL));
	assert_non_null(ring_get_used(&w.ring, NULL));
	w.desc[5].next = 0x1234;
	assert_int_equal(add(&w, 2, &w), -EIO);
	given_up(&w);
}

/* The monitor found the broken rule first. */
static void test_device_stopped(void **state)
{
	struct world w;
	start(&w);
	assert_int_equal(add(&w, 1, &w), 0);
	w.device.features |= LV_DEVICE_NEEDS_RESET;
	answer(&w, 0, 1);
	given_up(&w);
}

/* One bell for all that is added until the device has said that it waits again; what was put off is looked at when its time comes. */
static void bells_from(uint16_t index)
{
	struct world w;
	start_by_index(&w, index);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(add(&w, 1, &w), 0);
		ring_kick(&w.ring);
		assert_int_equal(bells, 1);
	}
	w.used.bell_wish = (uint16_t)(index + 4); /* it has taken three, and one more that is not there yet */
	assert_int_equal(add(&w, 1, &w), 0);
	ring_kick_later(&w.ring);
	ring_kick_later(&w.ring);
	rings_flush();
	assert_int_equal(bells, 1);
	assert_int_equal(add(&w, 1, &w), 0);
	ring_kick_later(&w.ring);
	assert_int_equal(bells, 1);
	rings_flush();
	assert_int_equal(bells, 2);
	assert_false(rings_heard());
	rings_flush();
	assert_int_equal(bells, 2);
	answer(&w, 0, 0);
	assert_true(rings_heard());
}

static void test_bells_by_index(void **state)
{
	for (unsigned before = 0; before < 8; before++) /* it wraps at each of the steps */
		bells_from((uint16_t)-before);
}

static void test_bells_by_flag(void **state)
{
	struct world w;
	start(&w);
	bells = 0;
	w.used.flags = VRING_USED_F_NO_NOTIFY;
	assert_int_equal(add(&w, 1, &w), 0);
	ring_kick_later(&w.ring);
	assert_int_equal(rings_take_bells(), 0);
	w.used.flags = 0;
	ring_kick_later(&w.ring);
	assert_int_equal(rings_take_bells(), 1);
	assert_int_equal(rings_take_bells(), 0);
	assert_int_equal(bells, 0);
}

/* The device knows what we wait for as soon as we have seen that there is nothing; of a silent ring, nothing. */
static void wishes_from(uint16_t index)
{
	struct world w;
	start_by_index(&w, index);
	assert_int_equal(add(&w, 1, &w), 0);
	assert_false(ring_has_used(&w.ring));
	assert_int_equal(w.avail[2 + SIZE], index);
	answer(&w, 0, 0);
	assert_ptr_equal(ring_get_used(&w.ring, NULL), &w);
	assert_int_equal(w.avail[2 + SIZE], index);
	assert_null(ring_get_used(&w.ring, NULL));
	assert_int_equal(w.avail[2 + SIZE], (uint16_t)(index + 1));
	ring_listen(&w.ring, false);
	assert_false(ring_has_used(&w.ring));
	assert_int_equal(w.avail[2 + SIZE], index);
	ring_listen(&w.ring, true);
	assert_int_equal(w.avail[2 + SIZE], (uint16_t)(index + 1)); /* at once, for who does not look again before he waits */
	assert_false(ring_has_used(&w.ring));
	assert_int_equal(w.avail[2 + SIZE], (uint16_t)(index + 1));
}

static void test_wishes(void **state)
{
	wishes_from(0);
	wishes_from(65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains), cmocka_unit_test(test_answers_to_nothing), cmocka_unit_test(test_answered_twice),
		cmocka_unit_test(test_table_overwritten), cmocka_unit_test(test_free_list_overwritten), cmocka_unit_test(test_device_stopped),
		cmocka_unit_test(test_bells_by_index), cmocka_unit_test(test_bells_by_flag), cmocka_unit_test(test_wishes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
