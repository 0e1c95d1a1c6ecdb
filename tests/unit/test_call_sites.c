/* SPDX-License-Identifier: Apache-2.0 */
/* The table of system calls that trap (libos/core/calls.c): by place and number, the busiest kept, and how many in a second. */
#include "libos/core/core.h"
#include "libos/proc/proc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct lv_shared test_shared_page;
struct lv_device_page test_device_page;
static uint64_t now, named, named_last;

uint64_t clock_monotonic(void)
{
	return now;
}

void crash_name_site(uint64_t rip)
{
	named++;
	named_last = rip;
}

static const struct lv_call_site *find(uint64_t rip, uint32_t nr)
{
	const struct lv_call_site *site = test_shared_page.calls.site;

	for (unsigned i = 0; i < LV_CALL_SITES; i++)
		if (site[i].count && site[i].rip == rip && site[i].nr == nr)
			return &site[i];
	return NULL;
}

static void trap(unsigned times, uint64_t rip, uint64_t nr)
{
	while (times--)
		calls_trapped(rip, nr);
}

static int begin(void **state)
{
	memset(&test_shared_page, 0, sizeof(test_shared_page));
	now += 100 * NS_PER_S;
	named = 0;
	return 0;
}

static void test_counts(void **state)
{
	trap(3, 0x401002, 39);
	trap(5, 0x401002, 0);
	trap(2, 0x401020, 39);
	trap(1, 0x401020, 1ull << 40);
	assert_int_equal(test_shared_page.calls.trapped, 11);
	assert_int_equal(find(0x401002, 39)->count, 3);
	assert_int_equal(find(0x401002, 0)->count, 5);
	assert_int_equal(find(0x401020, 39)->count, 2);
	assert_int_equal(find(0x401020, UINT32_MAX)->count, 1); /* no number is that large */
	assert_int_equal(named, 0);
	trap(60, 0x401002, 39);
	assert_int_equal(named, 0);
	trap(1, 0x401002, 39);
	assert_int_equal(named, 1);
	assert_int_equal(named_last, 0x401002);
}

/* Whoever comes when all slots are taken gets that of the least, with its count: who traps much is never missed. */
static void test_full(void **state)
{
	for (unsigned i = 0; i < LV_CALL_SITES; i++)
		trap(10 + i, 0x1000 + i, 1);
	trap(1, 0x9000, 1);
	assert_null(find(0x1000, 1));
	assert_int_equal(find(0x9000, 1)->count, 11);
	for (unsigned i = 0; i < 1000; i++) {
		trap(1, 0x100000 + i, 1);
		trap(1, 0x9001, 1);
	}
	assert_true(find(0x9001, 1)->count >= 1000);
}

static void test_second(void **state)
{
	trap(5, 1, 1);
	now += NS_PER_S;
	trap(9, 1, 1);
	now += NS_PER_S;
	trap(3, 1, 1);
	assert_int_equal(test_shared_page.calls.most, 9);
	assert_int_equal(test_shared_page.calls.trapped, 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counts, begin),
		cmocka_unit_test_setup(test_full, begin),
		cmocka_unit_test_setup(test_second, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
