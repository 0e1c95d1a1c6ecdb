/* SPDX-License-Identifier: Apache-2.0 */
/* The program's notion of a point in time. */
#include "libos/proc/proc.h"

#define TIME_MAX (INT64_MAX / 2) /* ns; some 146 years: later is never */

int user_read_time(const void *user, uint64_t *ns)
{
	struct timespec time;

	if (user_read(&time, user, sizeof(time)))
		return -EFAULT;
	if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= (long)NS_PER_S)
		return -EINVAL;
	*ns = (uint64_t)time.tv_sec >= TIME_MAX / NS_PER_S ? TIME_MAX : (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
	return 0;
}

struct timespec time_from_ns(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (long)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

int user_write_time(void *user, uint64_t ns)
{
	struct timespec time = time_from_ns(ns);

	return user_write(user, &time, sizeof(time));
}

uint64_t deadline_after(uint64_t start, uint64_t ns)
{
	uint64_t end = start + ns;

	return end < start || end > TIME_MAX ? TIME_MAX : end ? end : 1;
}

enum lv_clock clock_of(int clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		return LV_CLOCK_REALTIME;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return LV_CLOCK_BOOTTIME;
	default:
		return LV_CLOCK_MONOTONIC;
	}
}

struct deadline deadline_at(int clock, uint64_t ns)
{
	return (struct deadline){ clock_of(clock), ns ? ns : 1 };
}

int clock_for_spans(int clock)
{
	return clock_of(clock) == LV_CLOCK_REALTIME ? CLOCK_MONOTONIC : clock;
}

struct deadline deadline_from_now(int clock, uint64_t ns)
{
	enum lv_clock base = clock_of(clock_for_spans(clock));

	return (struct deadline){ base, deadline_after(clock_show(base), ns) };
}
