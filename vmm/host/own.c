/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int own_stat(int fd, struct stat *st)
{
	return syscall(SYS_fstat, fd, st) < 0 ? -errno : 0;
}

int own_take(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) ? -errno : 0;
}

/* Not every C library has a function for these; an offset of -1 is the descriptor's own position. */
ssize_t shared_read(int fd, const struct iovec *iov, unsigned parts)
{
	ssize_t n = syscall(SYS_preadv2, fd, iov, (long)parts, -1l, -1l, (long)RWF_NOWAIT);

	return n < 0 ? -errno : n;
}

ssize_t shared_write(int fd, const struct iovec *iov, unsigned parts)
{
	ssize_t n = syscall(SYS_pwritev2, fd, iov, (long)parts, -1l, -1l, (long)RWF_NOWAIT);

	return n < 0 ? -errno : n;
}
