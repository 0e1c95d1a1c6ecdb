/* SPDX-License-Identifier: Apache-2.0 */
/* How many shells a pool wants: by the rate at which they are claimed, by bursts, within bounds; and what counts as pressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/demand.h"
#include "node/pressure.h"

#define S 1000000000ull
#define MS 1000000ull

static void bounds(void **state)
{
	struct demand demand = { 0 };
	assert_int_equal(demand_wanted(&demand, S, 3 * MS, 0, 10), 0);
	assert_int_equal(demand_wanted(&demand, S, 3 * MS, 4, 10), 4);
	for (unsigned i = 0; i < 100; i++)
		demand_came(&demand, 2 * S);
	assert_int_equal(demand_wanted(&demand, 2 * S, 3 * MS, 4, 10), 10);
	assert_int_equal(demand_wanted(&demand, 2 * S, 3 * MS, 0, 0), 0);
}

/* 100 a second, each refilled at once: as many as come, twice, while one is made. */
static void rate(void **state)
{
	struct demand demand = { 0 };
	uint64_t now = S;
	for (; now < 121 * S; now += 10 * MS) {
		demand_came(&demand, now);
		demand_full(&demand);
	}
	unsigned slow = demand_wanted(&demand, now, 100 * MS, 0, 1000), fast = demand_wanted(&demand, now, 3 * MS, 0, 1000);
	assert_in_range(slow, 18, 22);
	assert_int_equal(fast, 1);
	assert_in_range(demand_wanted(&demand, now + 8 * S, 100 * MS, 0, 1000), 9, 11); /* half of it after a half-life */
	assert_int_equal(demand_wanted(&demand, now + 3600 * S, 100 * MS, 0, 1000), 0);
}

/* Twenty at once every ten seconds: that many are kept for the next time. */
static void bursts(void **state)
{
	struct demand demand = { 0 };
	uint64_t now = S;
	for (unsigned round = 0; round < 10; round++, now += 10 * S) {
		for (unsigned i = 0; i < 20; i++)
			demand_came(&demand, now);
		assert_in_range(demand_wanted(&demand, now, 3 * MS, 0, 1000), 20, 20);
		demand_full(&demand);
	}
	assert_in_range(demand_wanted(&demand, now, 3 * MS, 0, 1000), 16, 20);
	assert_in_range(demand_wanted(&demand, now + 600 * S, 3 * MS, 0, 1000), 0, 1);
}

/* A clock that stands still or is asked out of order changes nothing. */
static void odd_times(void **state)
{
	struct demand demand = { 0 };
	demand_came(&demand, 5 * S);
	demand_came(&demand, 4 * S);
	assert_int_equal(demand_wanted(&demand, 3 * S, UINT64_MAX, 0, 7), 7);
	assert_int_equal(demand_wanted(&demand, UINT64_MAX, 3 * MS, 0, 7), 0);
}

static void pressure(void **state)
{
	assert_false(pressure_read("some avg10=0.00 avg60=99.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"));
	assert_false(pressure_read("some avg10=9.99 avg60=0.00 avg300=0.00 total=1\n"));
	assert_true(pressure_read("some avg10=10.00 avg60=0.00 avg300=0.00 total=1\n"));
	assert_true(pressure_read("some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n"));
	assert_false(pressure_read(""));
	assert_false(pressure_read("full avg10=50.00"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bounds), cmocka_unit_test(rate), cmocka_unit_test(bursts), cmocka_unit_test(odd_times),
		cmocka_unit_test(pressure) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
