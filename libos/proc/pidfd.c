/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of processes (pidfd_open(2)): they become readable when the process has ended. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#define PIDFD_NONBLOCK O_NONBLOCK

static uint32_t pidfd_poll(struct file *file, struct waitq **queue)
{
	struct process *process = file->private;

	*queue = &process->changed;
	return process->dead ? EPOLLIN | EPOLLRDNORM : 0;
}

static void pidfd_release(struct file *file)
{
	process_put(file->private);
}

static const struct file_ops pidfd_ops = { .kind = "pidfd", .poll = pidfd_poll, .release = pidfd_release };

int pidfd_new(struct process *process, uint32_t flags)
{
	struct file *file = file_new(&pidfd_ops, O_RDWR | flags, process);

	if (!file)
		return -ENOMEM;
	process_get(process);
	return fd_install(file, 0, true);
}

struct process *pidfd_process(int fd)
{
	struct file *file = fd_get(fd);

	return file && file->ops == &pidfd_ops ? file->private : NULL;
}

int pidfd_or_directory(int fd, struct process **process)
{
	const struct file *file = fd_get(fd);
	int pid = file && file->inode ? proc_directory_of(file->inode) : 0;

	*process = pid ? process_find(pid) : pidfd_process(fd);
	return *process ? 0 : pid ? -ESRCH : -EBADF;
}

SYSCALL(pidfd_open)
{
	struct process *process = (int)a[0] > 0 ? process_find((int)a[0]) : NULL;

	if (a[1] & ~(long)PIDFD_NONBLOCK || (int)a[0] <= 0)
		return -EINVAL;
	if (!process)
		return thread_find((int)a[0]) ? -EINVAL : -ESRCH;
	return pidfd_new(process, (uint32_t)a[1]);
}
