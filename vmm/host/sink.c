/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/sink.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe that polls as writable has room for one page; a larger write could block. Terminals are alike. */
#define STREAM_ROOM 4096

enum sink_kind sink_kind(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return SINK_NONE;
	if (S_ISSOCK(st.st_mode))
		return SINK_SOCKET;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? SINK_FILE : SINK_STREAM;
}

static int poll_room(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	if (poll(&poll_fd, 1, 0) < 0)
		return -errno;
	/* With POLLERR the write itself says what is wrong. */
	return poll_fd.revents & (POLLOUT | POLLERR | POLLHUP) ? 0 : -EAGAIN;
}

ssize_t sink_write(int fd, enum sink_kind kind, const void *data, size_t len)
{
	ssize_t n;

	if (kind == SINK_NONE)
		return len;
	if (kind == SINK_SOCKET) {
		n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return n < 0 ? -errno : n;
	}
	if (kind == SINK_STREAM) {
		int r = poll_room(fd);

		if (r)
			return r;
		len = len < STREAM_ROOM ? len : STREAM_ROOM;
	}
	n = write(fd, data, len);
	return n < 0 ? -errno : n;
}
