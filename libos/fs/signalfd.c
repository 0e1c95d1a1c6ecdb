/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as files: signalfd(2). */
#include "libos/fs/vfs.h"
#include "libos/proc/proc.h"

static uint64_t mask_of(const struct file *file)
{
	return (uint64_t)file->private;
}

static struct signalfd_siginfo_k record(const struct siginfo_k *info)
{
	struct signalfd_siginfo_k out = { .signo = (uint32_t)info->signo, .error = info->error, .code = info->code };
	bool kernels = info->code > 0 && info->code != 0x80;
	if (kernels && info->signo == SIGCHLD) {
		out.pid = (uint32_t)info->child.pid;
		out.uid = info->child.uid;
		out.status = info->child.status;
		out.utime = (uint64_t)info->child.utime;
		out.stime = (uint64_t)info->child.stime;
	} else if (kernels && SIG_BIT(info->signo) & SIG_OF_FAULTS) {
		out.addr = info->fault.addr;
	} else if (kernels || info->code == SI_SIGIO) { /* by fcntl, F_SETSIG */
		out.band = (uint32_t)info->poll.band;
		out.fd = info->poll.fd;
	} else if (info->code == -2) { /* SI_TIMER */
		out.tid = (uint32_t)info->timer.timer_id;
		out.overrun = (uint32_t)info->timer.overrun;
		out.pointer = info->timer.value;
		out.value = (int32_t)info->timer.value;
	} else {
		out.pid = (uint32_t)info->kill.pid;
		out.uid = info->kill.uid;
		out.pointer = info->kill.value;
		out.value = (int32_t)info->kill.value;
	}
	return out;
}

static int64_t signal_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	size_t done = 0;
	if (n < sizeof(struct signalfd_siginfo_k))
		return -EINVAL;
	while (done + sizeof(struct signalfd_siginfo_k) <= n) {
		struct siginfo_k info = { 0 };
		if (signal_take(mask_of(file), &info)) {
			struct signalfd_siginfo_k out = record(&info);
			if (buffer_put(to + done, &out, sizeof(out)) < sizeof(out))
				return done ? (int64_t)done : -EFAULT;
			done += sizeof(out);
			continue;
		}
		if (done)
			break;
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(&signal_queue, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return (int64_t)done;
}

static uint32_t signal_poll(struct file *file, struct waitq **queue)
{
	*queue = &signal_queue;
	return signal_pending_set() & mask_of(file) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_ops signal_ops = { .kind = "signalfd", .read = signal_read, .poll = signal_poll };

static long signalfd(int fd, const uint64_t *user, size_t size, uint32_t flags)
{
	uint64_t mask;
	if (size != sizeof(mask) || (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK)))
		return -EINVAL;
	if (user_read(&mask, user, sizeof(mask)))
		return -EFAULT;
	mask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	if (fd != -1) {
		struct file *file = fd_get(fd);
		if (!file || file->flags & O_PATH)
			return -EBADF;
		if (file->ops != &signal_ops)
			return -EINVAL;
		file->private = (void *)mask;
		wake_all(&signal_queue, 0);
		return fd;
	}
	struct file *file = file_new(&signal_ops, O_RDWR | (flags & O_NONBLOCK), (void *)mask);
	return file ? fd_install(file, 0, flags & O_CLOEXEC) : -ENOMEM;
}

SYSCALL(signalfd)
{
	return signalfd((int)a[0], (const uint64_t *)a[1], (size_t)a[2], 0);
}

SYSCALL(signalfd4)
{
	return signalfd((int)a[0], (const uint64_t *)a[1], (size_t)a[2], (uint32_t)a[3]);
}
