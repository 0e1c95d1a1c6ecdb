/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks from the time stamp counter, and the list of timers. */
#include "libos/core/core.h"
#include "libos/core/libos.h"

static struct timer *timers; /* by deadline, earliest first */
static uint32_t sequence_seen; /* of the device page's clocks, when timers was sorted */
struct waitq clocks_set;
static uint64_t started;       /* CLOCK_BOOTTIME, when the VM got its configuration */

/* By how much a clock was set: vdso.S adds it, too. A VM that is saved or cloned keeps it. */
int64_t clock_shift[LV_CLOCKS];

static uint64_t since_base(const volatile struct lv_device_page *page)
{
	uint64_t base = page->tsc_base, ticks = __builtin_ia32_rdtsc() - base;

	if ((int64_t)ticks < 0) /* counters of two host processors may differ by some ticks */
		return 0;
	return (uint64_t)(((unsigned __int128)ticks * page->tsc_mult) >> 32);
}

/* The VM may stand still between any two instructions, and go on with other bases, even on another machine. */
uint64_t clock_show(enum lv_clock clock)
{
	const volatile struct lv_device_page *page = device_page;
	uint32_t sequence;
	uint64_t ns;

	do {
		sequence = page->clock_sequence;
		ns = page->clock_base_ns[clock] + since_base(page);
	} while (page->clock_sequence != sequence);
	return ns + (uint64_t)clock_shift[clock];
}

uint64_t clock_monotonic(void)
{
	return clock_show(LV_CLOCK_MONOTONIC);
}

uint64_t clock_realtime(void)
{
	return clock_show(LV_CLOCK_REALTIME);
}

void clock_start(void)
{
	started = clock_show(LV_CLOCK_BOOTTIME);
}

uint64_t clock_uptime(void)
{
	return clock_show(LV_CLOCK_BOOTTIME) - started;
}

/* The monotonic time at which the clock shows that much; what has passed was, but never at 0. */
static uint64_t to_monotonic(enum lv_clock clock, uint64_t at)
{
	uint64_t now = clock_monotonic(), shown = clock_show(clock);

	if (clock == LV_CLOCK_MONOTONIC)
		return at;
	if (at >= shown)
		return now + (at - shown);
	return now > shown - at ? now - (shown - at) : 1;
}

static void insert(struct timer *timer)
{
	struct timer **at = &timers;

	while (*at && (*at)->deadline <= timer->deadline)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void timer_set_on(struct timer *timer, enum lv_clock clock, uint64_t at)
{
	timer_cancel(timer);
	timer->clock = clock;
	timer->at = at;
	timer->deadline = to_monotonic(clock, at);
	timer->armed = true;
	insert(timer);
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	timer_set_on(timer, LV_CLOCK_MONOTONIC, deadline);
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

/* After the clocks were set: what was to happen at noon happens at noon. */
static void sort_again(void)
{
	struct timer *old = timers, *next;

	timers = NULL;
	for (; old; old = next) {
		next = old->next;
		old->deadline = to_monotonic(old->clock, old->at);
		insert(old);
	}
}

static void clocks_changed(void)
{
	sort_again();
	wake_all(&clocks_set, 0);
}

void clock_look(void)
{
	uint32_t now = *(const volatile uint32_t *)&device_page->clock_sequence;

	if (now == sequence_seen)
		return;
	sequence_seen = now;
	clocks_changed();
}

void clock_set(int64_t ahead)
{
	clock_shift[LV_CLOCK_REALTIME] += ahead;
	clocks_changed();
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
