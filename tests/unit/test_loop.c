/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's timers, of which any number shares one descriptor; what it looks for by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

#define COUNT 2000

struct wake {
	struct loop_timer timer;
	struct test *test;
	uint64_t want;
	unsigned fired;
};

struct test {
	struct loop loop;
	struct wake wake[COUNT];
	uint64_t last;
	unsigned fired;
	bool disorder;
};

static void fire(void *context)
{
	struct wake *wake = context;

	if (!wake->want || wake->want < wake->test->last || clock_now() < wake->want)
		wake->test->disorder = true;
	wake->test->last = wake->want;
	wake->want = 0;
	wake->fired++;
	wake->test->fired++;
}

static void set(struct wake *wake, uint64_t deadline)
{
	wake->want = deadline;
	loop_timer_set(&wake->test->loop, &wake->timer, deadline);
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	assert_int_equal(loop_init(&test->loop), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		test->wake[i].test = test;
		test->wake[i].timer = (struct loop_timer){ .fire = fire, .context = &test->wake[i] };
	}
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	loop_fini(&test->loop);
	free(test);
	return 0;
}

/* Runs until all that are set have fired; the loop waits by itself. */
static void run(struct test *test, unsigned until)
{
	for (unsigned turn = 0; test->fired < until && turn < 10 * COUNT; turn++)
		loop_once(&test->loop, 1000);
	assert_int_equal(test->fired, until);
	assert_false(test->disorder);
	assert_null(test->loop.timers);
}

static void test_order(void **state)
{
	struct test *test = *state;
	uint64_t now = clock_now();

	srand(1);
	for (unsigned i = 0; i < COUNT; i++)
		set(&test->wake[i], now + 1 + rand() % 20000000);
	run(test, COUNT);
}

/* Set anew, put off, taken back, in any order: each fires at its last time, or not at all. */
static void test_changes(void **state)
{
	struct test *test = *state;
	uint64_t now = clock_now();
	unsigned set_now = 0;

	srand(2);
	for (unsigned i = 0; i < 20 * COUNT; i++) {
		struct wake *wake = &test->wake[rand() % COUNT];

		set(wake, rand() % 3 ? now + 1 + rand() % 20000000 : 0);
	}
	for (unsigned i = 0; i < COUNT; i++)
		set_now += test->wake[i].want != 0;
	assert_in_range(set_now, 1, COUNT - 1);
	run(test, set_now);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(test->wake[i].timer.deadline, 0);
}

/* No descriptor is left: timers are set all the same. */
static void test_no_descriptors(void **state)
{
	struct test *test = *state;
	struct rlimit old, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(open("/dev/null", O_RDONLY), -1);
	for (unsigned i = 0; i < COUNT; i++)
		set(&test->wake[i], clock_now() + 1);
	run(test, COUNT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void again(void *context)
{
	struct wake *wake = context;

	wake->fired++;
	loop_timer_set(&wake->test->loop, &wake->timer, 1);
}

/* One that sets itself to the past again and again keeps nobody else from his turn. */
static void test_again(void **state)
{
	struct test *test = *state;
	struct wake *wake = &test->wake[0];

	wake->timer.fire = again;
	loop_timer_set(&test->loop, &wake->timer, 1);
	loop_once(&test->loop, 1000);
	assert_in_range(wake->fired, 1, 1000);
	loop_once(&test->loop, 1000);
	loop_timer_set(&test->loop, &wake->timer, 0);
	wake->fired = 0;
	for (unsigned i = 0; i < 10; i++)
		loop_once(&test->loop, 0);
	assert_int_equal(wake->fired, 0);
}

/* An earlier one after a later one, and putting off costs nothing but a wake-up. */
static void test_earlier(void **state)
{
	struct test *test = *state;

	set(&test->wake[0], clock_now() + 3600 * NS_PER_S);
	set(&test->wake[1], clock_now() + NS_PER_MS);
	for (unsigned i = 0; i < 100; i++)
		set(&test->wake[1], clock_now() + 5 * NS_PER_MS);
	set(&test->wake[0], 0);
	run(test, 1);
}

/* ---- looking ---- */

struct seen {
	struct test *test;
	struct loop_look look;
	unsigned looks, comes_after; /* comes_after: looks, 0: never */
	unsigned over;
	bool expired; /* when it was over its time was, too */
};

static bool came(void *context)
{
	struct seen *seen = context;

	return ++seen->looks == seen->comes_after;
}

static void over(void *context)
{
	struct seen *seen = context;

	seen->over++;
	seen->expired = clock_now() >= seen->look.until;
}

static void ready(void *context, uint32_t events)
{
	((struct wake *)context)->fired++;
}

static void look_for(struct test *test, struct seen *seen, unsigned comes_after, uint64_t ns)
{
	*seen = (struct seen){ .test = test, .look = { .came = came, .over = over, .context = seen }, .comes_after = comes_after };
	test->loop.crowded_until = 0;
	assert_true(loop_look_for(&test->loop, &seen->look, ns));
}

/* Others may want our processor in any test: who gives way for long looks no further. */
static void test_look_comes(void **state)
{
	struct test *test = *state;
	struct seen seen;

	for (unsigned tries = 0; tries < 1000; tries++) {
		look_for(test, &seen, 3, 3600 * NS_PER_S);
		loop_once(&test->loop, 0);
		assert_int_equal(seen.over, 1);
		assert_false(seen.expired);
		assert_null(test->loop.look);
		if (seen.looks == 3)
			return;
	}
	fail_msg("in 1000 times nothing was looked for three times");
}

static void test_look_expires(void **state)
{
	struct test *test = *state;
	struct seen seen;

	for (unsigned tries = 0; tries < 1000; tries++) {
		look_for(test, &seen, 0, NS_PER_MS / 10);
		loop_once(&test->loop, 0);
		assert_int_equal(seen.over, 1);
		if (seen.expired && seen.looks > 1)
			return;
	}
	fail_msg("in 1000 times nothing was looked for until its time was over");
}

/* Descriptors and timers do not wait until it comes. */
static void test_look_aside(void **state)
{
	struct test *test = *state;
	struct seen seen;

	look_for(test, &seen, 0, 3600 * NS_PER_S);
	set(&test->wake[0], clock_now() + NS_PER_MS);
	run(test, 1);
	loop_look_end(&test->loop, &seen.look);
	loop_once(&test->loop, 0);
	assert_in_range(seen.over, 0, 1); /* 1: others wanted the processor */
}

/* What is ready at each turn keeps nobody from being looked for: it is seen when it comes, and is over in its time. */
static void test_look_busy(void **state)
{
	struct test *test = *state;
	struct wake *busy = &test->wake[0];
	struct seen seen;
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	struct loop_watch watch = { .fd = pipe_fds[0], .ready = ready, .context = busy };
	assert_int_equal(write(pipe_fds[1], "", 1), 1);
	assert_int_equal(loop_update(&test->loop, &watch, EPOLLIN), 0);
	look_for(test, &seen, 3, 3600 * NS_PER_S);
	for (unsigned turn = 1; turn <= 3; turn++) {
		assert_int_equal(seen.over, 0);
		loop_once(&test->loop, 1000);
		assert_int_equal(busy->fired, turn);
		assert_int_equal(seen.looks, turn);
	}
	assert_int_equal(seen.over, 1);
	look_for(test, &seen, 0, NS_PER_MS);
	while (!seen.over && clock_now() < seen.look.until + NS_PER_S)
		loop_once(&test->loop, 1000);
	assert_int_equal(seen.over, 1);
	assert_true(seen.expired);
	assert_null(test->loop.look);
	watch.events = 0;
	assert_int_equal(loop_update(&test->loop, &watch, 0), 0);
	close(pipe_fds[0]), close(pipe_fds[1]);
}

/* Where others do nothing is looked for, and who asked is told. */
static void test_look_crowded(void **state)
{
	struct test *test = *state;
	struct seen seen, second;

	look_for(test, &seen, 0, 3600 * NS_PER_S);
	test->loop.crowded_until = clock_now() + 3600 * NS_PER_S;
	loop_once(&test->loop, 0);
	assert_int_equal(seen.over, 1);
	assert_false(loop_look_for(&test->loop, &seen.look, NS_PER_S));
	assert_int_equal(seen.over, 1);
	look_for(test, &seen, 0, NS_PER_S);
	look_for(test, &second, 0, NS_PER_S);
	assert_int_equal(seen.over, 1); /* by the second one */
	loop_look_end(&test->loop, &seen.look); /* which goes on */
	assert_ptr_equal(test->loop.look, &second.look);
	loop_look_end(&test->loop, &second.look);
	assert_int_equal(second.over, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_earlier, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look_expires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look_crowded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
