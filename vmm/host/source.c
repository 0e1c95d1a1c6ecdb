/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own_open.h"
#include "vmm/host/own.h"

static enum source_kind kind_of(int fd)
{
	struct stat st;

	if (fd < 0 || own_stat(fd, &st))
		return SOURCE_NONE;
	if (S_ISSOCK(st.st_mode))
		return SOURCE_SOCKET;
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? SOURCE_DIRECT : SOURCE_SHARED;
}

void source_open(struct source *source, int fd)
{
	*source = (struct source){ .fd = fd, .kind = kind_of(fd) };
	int own = source->kind == SOURCE_SHARED ? own_open(fd, O_RDONLY) : -1;

	if (own >= 0)
		*source = (struct source){ .fd = own, .kind = SOURCE_DIRECT, .owned = true };
	if (source->kind == SOURCE_NONE)
		source->fd = -1;
}

void source_take(struct source *source, int fd)
{
	*source = (struct source){ .fd = fd, .kind = kind_of(fd), .owned = fd >= 0 };
	if (source->kind == SOURCE_SHARED && own_take(fd) == 0)
		source->kind = SOURCE_DIRECT;
}

void source_close(struct source *source)
{
	if (source->owned)
		close(source->fd);
	*source = (struct source){ .fd = -1 };
}

static ssize_t read_shared(int fd, const struct iovec *iov, unsigned parts)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	ssize_t n = shared_read(fd, iov, parts);

	if (n != -EOPNOTSUPP)
		return n;
	/*
	 * A terminal of another user (after su), or a device: nobody can promise that its bytes are not taken between these two
	 * calls, but its readers would be a human being's doing.
	 */
	n = poll(&poll_fd, 1, 0);
	if (n == 1)
		n = readv(fd, iov, parts);
	else if (!n)
		return -EAGAIN;
	return n < 0 ? -errno : n;
}

ssize_t source_read(const struct source *source, const struct iovec *iov, unsigned parts)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = parts };
	ssize_t n = 0;

	if (source->kind == SOURCE_SHARED)
		n = read_shared(source->fd, iov, parts);
	else if (source->kind != SOURCE_NONE)
		n = source->kind == SOURCE_SOCKET ? recvmsg(source->fd, &message, MSG_DONTWAIT) : readv(source->fd, iov, parts);
	if (n < 0 && source->kind != SOURCE_SHARED)
		n = -errno;
	return n == -EINTR ? -EAGAIN : n;
}
