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

uint64_t deadline_at(int clock, uint64_t ns)
{
	if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_ALARM && clock != CLOCK_TAI)
		return ns ? ns : 1;
	uint64_t real = clock_realtime(), monotonic = clock_monotonic();

	if (ns >= real)
		return deadline_after(monotonic, ns - real);
	return monotonic > real - ns ? monotonic - (real - ns) : 1;
}
