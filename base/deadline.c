/* SPDX-License-Identifier: Apache-2.0 */
#include "base/deadline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

#define NS_PER_MS 1000000

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t deadline_in(int64_t milliseconds)
{
	return now_ns() + (uint64_t)(milliseconds > 0 ? milliseconds : 0) * NS_PER_MS;
}

int deadline_left(uint64_t deadline)
{
	if (deadline == DEADLINE_NEVER)
		return -1;
	uint64_t now = now_ns(), left = now < deadline ? (deadline - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

int deadline_readable(int fd, uint64_t deadline)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	for (;;) {
		int n = poll(&wait, 1, deadline_left(deadline));
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}
