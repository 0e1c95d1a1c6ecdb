/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice(2), tee(2), vmsplice(2): no two files here can be spliced, and EINVAL says so. Programs then read and write;
 * ENOSYS would not do, as some take it for the failure of the copy (Go's net package among them).
 */
#include "libos/fs/vfs.h"

#define SPLICE_FLAGS 15ul /* MOVE, NONBLOCK, MORE, GIFT */

static struct file *open_file(long fd)
{
	struct file *file = fd_get((int)fd);

	return file && !(file->flags & O_PATH) ? file : NULL;
}

static long refuse_pair(long in_fd, long out_fd, long len, long flags)
{
	struct file *in = open_file(in_fd), *out = open_file(out_fd);

	if (!len)
		return 0;
	if ((unsigned long)flags & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!in || !out || (in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return -EINVAL;
}

SYSCALL(splice)
{
	return refuse_pair(a[0], a[2], a[4], a[5]);
}

SYSCALL(tee)
{
	return refuse_pair(a[0], a[1], a[2], a[3]);
}

SYSCALL(vmsplice)
{
	if ((unsigned long)a[3] & ~SPLICE_FLAGS)
		return -EINVAL;
	return open_file(a[0]) ? -EINVAL : -EBADF;
}
