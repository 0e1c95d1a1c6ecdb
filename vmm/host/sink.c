/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/own_open.h"
#include "vmm/host/own.h"

/* A pipe that polls as writable has room for one page, as long as nobody else writes; a terminal, for something. */
#define SHARED_ROOM 4096

static enum sink_kind kind_of(int fd)
{
	struct stat st;

	if (fd < 0 || own_stat(fd, &st))
		return SINK_NONE;
	if (S_ISSOCK(st.st_mode))
		return SINK_SOCKET;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? SINK_FILE : SINK_SHARED;
}

void sink_open(struct sink *sink, int fd)
{
	*sink = (struct sink){ .fd = fd, .kind = kind_of(fd) };
	int own = sink->kind == SINK_SHARED ? own_open(fd, O_WRONLY) : -1;

	if (own >= 0)
		*sink = (struct sink){ .fd = own, .kind = SINK_STREAM, .owned = true };
	if (sink->kind == SINK_NONE)
		sink->fd = -1;
}

void sink_take(struct sink *sink, int fd)
{
	*sink = (struct sink){ .fd = fd, .kind = kind_of(fd), .owned = fd >= 0 };
	if (sink->kind == SINK_SHARED && own_take(fd) == 0)
		sink->kind = SINK_STREAM;
}

void sink_close(struct sink *sink)
{
	if (sink->owned)
		close(sink->fd);
	*sink = (struct sink){ .fd = -1 };
}

static ssize_t write_shared(int fd, const void *data, size_t len)
{
	struct iovec iov = { (void *)data, len };
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	ssize_t n = shared_write(fd, &iov, 1);

	if (n != -EOPNOTSUPP)
		return n;
	n = poll(&poll_fd, 1, 0);
	if (n == 1) /* with POLLERR the write itself says what is wrong */
		n = write(fd, data, len < SHARED_ROOM ? len : SHARED_ROOM);
	else if (!n)
		return -EAGAIN;
	return n < 0 ? -errno : n;
}

ssize_t sink_write(const struct sink *sink, const void *data, size_t len)
{
	ssize_t n;

	if (sink->kind == SINK_NONE)
		return len;
	if (sink->kind == SINK_SHARED)
		return write_shared(sink->fd, data, len);
	n = sink->kind == SINK_SOCKET ? send(sink->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(sink->fd, data, len);
	return n < 0 ? -errno : n;
}
