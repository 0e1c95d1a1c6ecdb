/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks from the time stamp counter, and the list of timers. */
#include "libos/core/libos.h"

static struct timer *timers; /* by deadline, earliest first */

static uint64_t since_base(void)
{
	uint64_t ticks = __builtin_ia32_rdtsc() - device_page->tsc_base;

	if ((int64_t)ticks < 0) /* counters of two host processors may differ by some ticks */
		return 0;
	return (uint64_t)(((unsigned __int128)ticks * device_page->tsc_mult) >> 32);
}

uint64_t clock_monotonic(void)
{
	return device_page->monotonic_base_ns + since_base();
}

uint64_t clock_realtime(void)
{
	return device_page->realtime_base_ns + since_base();
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	struct timer **at = &timers;

	timer_cancel(timer);
	timer->deadline = deadline;
	timer->armed = true;
	while (*at && (*at)->deadline <= deadline)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void timer_cancel(struct timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	for (struct timer **at = &timers; *at; at = &(*at)->next) {
		if (*at != timer)
			continue;
		*at = timer->next;
		return;
	}
}

uint64_t timers_next(void)
{
	return timers ? timers->deadline : 0;
}

void timers_run(void)
{
	if (!timers)
		return;
	uint64_t now = clock_monotonic();

	/* A timer that fires may set itself again, but not for a time that has passed: the loop ends. */
	while (timers && timers->deadline <= now) {
		struct timer *timer = timers;

		timers = timer->next;
		timer->armed = false;
		timer->fire(timer);
	}
}
