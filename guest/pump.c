/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int pump_init(struct pump *pump, int from, int to)
{
	*pump = (struct pump){ .from = from, .to = to, .buffer = malloc(PUMP_ROOM) };
	if (pump->buffer)
		return 0;
	pump_close(pump);
	return -ENOMEM;
}

void pump_close(struct pump *pump)
{
	if (pump->from >= 0)
		close(pump->from);
	if (pump->to >= 0)
		close(pump->to);
	free(pump->buffer);
	*pump = PUMP_NONE;
}

void pump_poll(const struct pump *pump, struct pollfd fds[2])
{
	bool full = pump->start < pump->end;
	/* With nothing to write, `to` is still watched for its end: the writer at the other side shall learn of it. */
	fds[0] = (struct pollfd){ .fd = full ? -1 : pump->from, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = pump->to, .events = full ? POLLOUT : 0 };
}

/* False: that side has ended. */
static bool fill(struct pump *pump)
{
	ssize_t n = read(pump->from, pump->buffer, PUMP_ROOM);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	pump->start = 0;
	pump->end = (size_t)n;
	return n > 0;
}

static bool flush(struct pump *pump)
{
	while (pump->start < pump->end) {
		ssize_t n = write(pump->to, pump->buffer + pump->start, pump->end - pump->start);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		pump->start += (size_t)n;
	}
	return true;
}

void pump_move(struct pump *pump, const struct pollfd fds[2])
{
	bool open = pump->from >= 0;
	if (!open)
		return;
	if (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))
		open = false;
	if (open && pump->start == pump->end && fds[0].revents)
		open = fill(pump);
	if (open)
		open = flush(pump);
	if (!open)
		pump_close(pump);
}

void pump_drain(struct pump *pump, int patience_ms)
{
	while (pump->from >= 0) {
		struct pollfd out = { .fd = pump->to, .events = POLLOUT };
		if (pump->start == pump->end && (!fill(pump) || pump->start == pump->end))
			break;
		if (poll(&out, 1, patience_ms) <= 0 || (out.revents & (POLLHUP | POLLERR)) || !flush(pump))
			break;
	}
	pump_close(pump);
}
