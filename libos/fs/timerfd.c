/* SPDX-License-Identifier: Apache-2.0 */
/* Timers as files: timerfd_create(2). A periodic one fires once, and counts the periods when it is read. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

struct timer_file {
	struct timer timer;
	int clock;
	struct deadline deadline; /* at 0: disarmed */
	uint64_t interval; /* ns; 0: once */
	bool expired;      /* and not read since */
	bool cancelled;    /* the same: the clocks were set */
	struct waiter set; /* TFD_TIMER_CANCEL_ON_SET: in clocks_set */
	struct waitq waiting;
};

static void on_fire(struct timer *timer)
{
	struct timer_file *t = container_of(timer, struct timer_file, timer);
	t->expired = true;
	wake_all(&t->waiting, EPOLLIN | EPOLLRDNORM);
}

static bool on_set(struct waiter *waiter, uint32_t events)
{
	struct timer_file *t = container_of(waiter, struct timer_file, set);
	t->cancelled = true;
	wake_all(&t->waiting, EPOLLIN | EPOLLRDNORM);
	return true;
}

static void arm(struct timer_file *t, struct deadline deadline)
{
	t->deadline = deadline;
	t->timer.fire = on_fire;
	if (deadline.at <= clock_show(deadline.clock)) /* it is not to be seen unexpired */
		on_fire(&t->timer);
	else
		timer_set_on(&t->timer, deadline.clock, deadline.at);
}

/* How often it expired until now; starts the next period. */
static uint64_t take_ticks(struct timer_file *t)
{
	uint64_t ticks = 1;
	t->expired = false;
	if (t->interval) {
		uint64_t now = clock_show(t->deadline.clock);
		if (now > t->deadline.at)
			ticks += (now - t->deadline.at) / t->interval;
		arm(t, (struct deadline){ t->deadline.clock, deadline_after(t->deadline.at, ticks * t->interval) });
	} else {
		t->deadline.at = 0;
	}
	return ticks;
}

static int64_t timer_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct timer_file *t = file->private;
	if (n < sizeof(uint64_t))
		return -EINVAL;
	while (!t->expired && !t->cancelled) {
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(&t->waiting, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	if (t->cancelled) {
		t->cancelled = t->expired = false;
		return -ECANCELED;
	}
	uint64_t ticks = take_ticks(t);
	return buffer_put(to, &ticks, sizeof(ticks)) < sizeof(ticks) ? -EFAULT : (int64_t)sizeof(ticks);
}

static uint32_t timer_poll(struct file *file, struct waitq **queue)
{
	struct timer_file *t = file->private;
	*queue = &t->waiting;
	return t->expired || t->cancelled ? EPOLLIN | EPOLLRDNORM : 0;
}

static void timer_release(struct file *file)
{
	struct timer_file *t = file->private;
	timer_cancel(&t->timer);
	waitq_remove(&t->set);
	kfree(t);
}

static const struct file_ops timer_ops = { .kind = "timerfd", .read = timer_read, .poll = timer_poll, .release = timer_release };

SYSCALL(timerfd_create)
{
	int clock = (int)a[0];
	uint32_t flags = (uint32_t)a[1];
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME_ALARM &&
	    clock != CLOCK_BOOTTIME_ALARM)
		return -EINVAL;
	struct timer_file *t = kzalloc(sizeof(*t));
	struct file *file = t ? file_new(&timer_ops, O_RDWR | (flags & O_NONBLOCK), t) : NULL;
	if (!file) {
		kfree(t);
		return -ENOMEM;
	}
	t->clock = clock;
	return fd_install(file, 0, flags & O_CLOEXEC);
}

static int timer_of(long fd, struct timer_file **t)
{
	struct file *file = fd_get((int)fd);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if (file->ops != &timer_ops)
		return -EINVAL;
	*t = file->private;
	return 0;
}

static void show(struct timer_file *t, struct itimerspec *to)
{
	uint64_t now = clock_show(t->deadline.clock), at = t->deadline.at, left = 0;
	if (at && t->interval && at <= now)
		left = t->interval - (now - at) % t->interval;
	else if (at > now)
		left = at - now;
	to->it_value = time_from_ns(left);
	to->it_interval = time_from_ns(t->interval);
}

SYSCALL(timerfd_gettime)
{
	struct timer_file *t;
	struct itimerspec old;
	int err = timer_of(a[0], &t);
	if (err)
		return err;
	show(t, &old);
	return user_write((void *)a[1], &old, sizeof(old));
}

SYSCALL(timerfd_settime)
{
	struct timer_file *t;
	struct itimerspec old;
	const struct itimerspec *new = (const struct itimerspec *)a[2];
	uint64_t value, interval;
	int err = user_read_time(&new->it_value, &value);
	if (!err)
		err = user_read_time(&new->it_interval, &interval);
	if (!err && a[1] & ~(long)(LINUX_TFD_TIMER_ABSTIME | LINUX_TFD_TIMER_CANCEL_ON_SET))
		err = -EINVAL;
	if (!err)
		err = timer_of(a[0], &t);
	if (err)
		return err;
	show(t, &old);
	timer_cancel(&t->timer);
	waitq_remove(&t->set);
	t->expired = t->cancelled = false;
	t->interval = interval;
	t->deadline.at = 0;
	if (value)
		arm(t, a[1] & LINUX_TFD_TIMER_ABSTIME ? deadline_at(t->clock, value) : deadline_from_now(t->clock, value));
	if (value && a[1] == (LINUX_TFD_TIMER_ABSTIME | LINUX_TFD_TIMER_CANCEL_ON_SET) && clock_of(t->clock) == LV_CLOCK_REALTIME) {
		t->set = (struct waiter){ .wake = on_set };
		waitq_add(&clocks_set, &t->set);
	}
	return a[3] ? user_write((void *)a[3], &old, sizeof(old)) : 0;
}
