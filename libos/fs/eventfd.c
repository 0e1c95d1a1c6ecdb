/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that can be waited for: eventfd(2). */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define MOST (UINT64_MAX - 1)

struct event {
	uint64_t count;
	bool semaphore;
	struct waitq waiting;
};

static int wait_for(struct file *file, struct event *event)
{
	if (file->flags & O_NONBLOCK)
		return -EAGAIN;
	int err = wait_on(&event->waiting, 0);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static int64_t event_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct event *event = file->private;
	if (n < sizeof(uint64_t))
		return -EINVAL;
	while (!event->count) {
		int err = wait_for(file, event);
		if (err)
			return err;
	}
	uint64_t value = event->semaphore ? 1 : event->count;
	if (buffer_put(to, &value, sizeof(value)) < sizeof(value))
		return -EFAULT;
	event->count -= value;
	wake_all(&event->waiting, EPOLLOUT | EPOLLWRNORM);
	return sizeof(value);
}

static int64_t event_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct event *event = file->private;
	uint64_t value;
	if (n < sizeof(value))
		return -EINVAL;
	if (buffer_get(&value, from, sizeof(value)) < sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	while (value > MOST - event->count) {
		int err = wait_for(file, event);
		if (err)
			return err;
	}
	event->count += value;
	if (value)
		wake_all(&event->waiting, EPOLLIN | EPOLLRDNORM);
	return sizeof(value);
}

static uint32_t event_poll(struct file *file, struct waitq **queue)
{
	struct event *event = file->private;
	*queue = &event->waiting;
	return (event->count ? EPOLLIN | EPOLLRDNORM : 0) | (event->count < MOST ? EPOLLOUT | EPOLLWRNORM : 0);
}

static void event_release(struct file *file)
{
	kfree(file->private);
}

static const struct file_ops event_ops = { .kind = "eventfd", .read = event_read, .write = event_write, .poll = event_poll,
	.release = event_release };

static long event_new(uint32_t count, uint32_t flags)
{
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | LINUX_EFD_SEMAPHORE))
		return -EINVAL;
	struct event *event = kzalloc(sizeof(*event));
	struct file *file = event ? file_new(&event_ops, O_RDWR | (flags & O_NONBLOCK), event) : NULL;
	if (!file) {
		kfree(event);
		return -ENOMEM;
	}
	event->count = count;
	event->semaphore = flags & LINUX_EFD_SEMAPHORE;
	return fd_install(file, 0, flags & O_CLOEXEC);
}

SYSCALL(eventfd)
{
	return event_new((uint32_t)a[0], 0);
}

SYSCALL(eventfd2)
{
	return event_new((uint32_t)a[0], (uint32_t)a[1]);
}
