/* SPDX-License-Identifier: Apache-2.0 */
#include "base/deadline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "base/clock.h"

uint64_t deadline_in(int64_t milliseconds)
{
	return clock_now() + (uint64_t)(milliseconds > 0 ? milliseconds : 0) * NS_PER_MS;
}

int deadline_left(uint64_t deadline)
{
	if (deadline == DEADLINE_NEVER)
		return -1;
	uint64_t now = clock_now(), left = now < deadline ? (deadline - now + NS_PER_MS - 1) / NS_PER_MS : 0;
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
