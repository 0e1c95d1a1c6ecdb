/* SPDX-License-Identifier: Apache-2.0 */
#include "base/frame.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/deadline.h"

static int send_all(int fd, const void *data, size_t size, int flags)
{
	const char *at = data;
	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL | flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int frame_send(int fd, enum lv_agent_type type, const void *data, size_t size)
{
	struct lv_agent_frame frame = { .type = type, .size = (uint32_t)size };
	int err = send_all(fd, &frame, sizeof(frame), size ? MSG_MORE : 0);
	return err ? err : send_all(fd, data, size, 0);
}

int frame_send_error(int fd, int error, const char *format, ...)
{
	char body[1024];
	struct lv_agent_error head = { .error = error };
	va_list args;
	memcpy(body, &head, sizeof(head));
	va_start(args, format);
	int n = vsnprintf(body + sizeof(head), sizeof(body) - sizeof(head), format, args);
	va_end(args);
	size_t size = sizeof(head) + (n < 0 ? 0 : (size_t)n);
	return frame_send(fd, LV_AGENT_ERROR, body, size < sizeof(body) ? size : sizeof(body) - 1);
}

int fd_read_exactly(int fd, void *data, size_t size, uint64_t deadline)
{
	char *at = data;
	size_t left = size;
	while (left) {
		/* A time-out of each read would let a peer that sends a byte now and then take hours for a frame. */
		int err = deadline == DEADLINE_NEVER ? 0 : deadline_readable(fd, deadline);
		if (err)
			return err;
		ssize_t n = read(fd, at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return left == size ? -ECONNRESET : -EPROTO;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

int frame_receive(int fd, struct lv_agent_frame *frame, void *body, size_t room, uint64_t deadline)
{
	int err = fd_read_exactly(fd, frame, sizeof(*frame), deadline);
	if (err)
		return err;
	if (frame->size > room)
		return -EMSGSIZE;
	err = fd_read_exactly(fd, body, frame->size, deadline);
	return err == -ECONNRESET ? -EPROTO : err;
}
