/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hand_clock.h"

#include "base/clock.h"

static uint64_t held_at, held_step; /* held_at 0: not held */

uint64_t __real_clock_now(void);
uint64_t __wrap_clock_now(void);

uint64_t __wrap_clock_now(void)
{
	uint64_t now = held_at ? held_at : __real_clock_now();

	if (held_at)
		held_at += held_step;
	return now;
}

void clock_hold(uint64_t step)
{
	held_at = __real_clock_now();
	held_step = step;
}

void clock_release(void)
{
	held_at = 0;
}
