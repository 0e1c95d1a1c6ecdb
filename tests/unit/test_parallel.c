/* SPDX-License-Identifier: Apache-2.0 */
/* base/parallel: every item once, and those that wait for each other meet. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "base/parallel.h"

#define ITEMS 1000
#define PATIENCE_S 20

static unsigned calls[ITEMS];

static void count(void *context, size_t index)
{
	__atomic_fetch_add((unsigned *)context + index, 1, __ATOMIC_RELAXED);
}

static void each_once(void **state)
{
	static const unsigned threads[] = { 0, 1, 2, 64, 5000 };
	for (size_t t = 0; t < sizeof(threads) / sizeof(*threads); t++) {
		for (size_t i = 0; i < ITEMS; i++)
			calls[i] = 0;
		parallel_each(ITEMS, threads[t], count, calls);
		for (size_t i = 0; i < ITEMS; i++)
			assert_int_equal(calls[i], 1);
	}
	parallel_each(0, 8, count, NULL);
}

static void processors(void **state)
{
	assert_int_equal(parallel_processors(1), 1);
	assert_in_range(parallel_processors(1000), 1, 1000);
}

static void note(void *context, size_t index)
{
	size_t *next = context;
	assert_int_equal(index, *next);
	(*next)++;
}

static void one_thread_keeps_the_order(void **state)
{
	size_t next = 0;
	parallel_each(ITEMS, 1, note, &next);
	assert_int_equal(next, ITEMS);
}

struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t all;
	unsigned here, missed;
};

static void meet(void *context, size_t index)
{
	struct meeting *meeting = context;
	struct timespec limit;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&meeting->lock);
	if (++meeting->here == 8)
		pthread_cond_broadcast(&meeting->all);
	int err = 0;
	while (meeting->here < 8 && !err)
		err = pthread_cond_timedwait(&meeting->all, &meeting->lock, &limit);
	meeting->missed += err != 0;
	pthread_mutex_unlock(&meeting->lock);
}

static void at_the_same_time(void **state)
{
	struct meeting meeting = { .lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER };
	parallel_each(8, 8, meet, &meeting);
	assert_int_equal(meeting.here, 8);
	assert_int_equal(meeting.missed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_once), cmocka_unit_test(processors),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(at_the_same_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
