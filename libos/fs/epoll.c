/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7). An item sits in its file's wait queue; when that is woken the item joins the ready list, and only items on
 * that list are ever looked at. So idle files cost nothing.
 */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define FIRST_BUCKETS 16
#define NESTING_MOST 4 /* epoll files below the first of a chain */
#define FLAGS (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define ALWAYS_REPORTED (EPOLLERR | EPOLLHUP)
#define EXCLUSIVE_ALLOWED (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct epoll_item {
	struct waiter waiter;
	struct epoll *epoll;
	struct epoll_item *bucket_next, *file_next;
	struct epoll_item *ready_next, *ready_prev;
	struct file *file;
	int fd;
	uint32_t events;
	bool ready; /* on the ready list */
	uint64_t data;
};

struct epoll {
	struct file *file; /* this one, borrowed */
	struct epoll_item **bucket;
	uint32_t buckets, count;
	struct epoll_item *ready_first, *ready_last;
	struct waitq threads; /* in epoll_wait */
	struct waitq pollers; /* that look at the epoll file itself */
};

static const struct file_ops epoll_ops;

/* ---- the ready list ---- */

static void ready_append(struct epoll_item *item)
{
	struct epoll *epoll = item->epoll;
	if (item->ready)
		return;
	item->ready = true;
	item->ready_next = NULL;
	item->ready_prev = epoll->ready_last;
	if (epoll->ready_last)
		epoll->ready_last->ready_next = item;
	else
		epoll->ready_first = item;
	epoll->ready_last = item;
}

static void ready_remove(struct epoll_item *item)
{
	struct epoll *epoll = item->epoll;
	if (!item->ready)
		return;
	if (item->ready_prev)
		item->ready_prev->ready_next = item->ready_next;
	else
		epoll->ready_first = item->ready_next;
	if (item->ready_next)
		item->ready_next->ready_prev = item->ready_prev;
	else
		epoll->ready_last = item->ready_prev;
	item->ready = false;
}

static bool tell(struct epoll *epoll)
{
	bool woken = wake_one(&epoll->threads, EPOLLIN);
	wake_all(&epoll->pollers, EPOLLIN | EPOLLRDNORM);
	return woken;
}

static bool on_wake(struct waiter *waiter, uint32_t events)
{
	struct epoll_item *item = container_of(waiter, struct epoll_item, waiter);
	if (!(item->events & ~FLAGS)) /* a one-shot that was reported */
		return false;
	if (events && !(events & item->events))
		return false;
	ready_append(item);
	return tell(item->epoll) && (item->events & EPOLLEXCLUSIVE);
}

static uint32_t item_events(struct epoll_item *item, struct waitq **queue)
{
	return item->file->ops->poll(item->file, queue) & item->events & ~FLAGS;
}

/* ---- items by descriptor and file ---- */

static struct epoll_item **bucket_of(struct epoll *epoll, int fd)
{
	return &epoll->bucket[(uint32_t)fd & (epoll->buckets - 1)];
}

static struct epoll_item *item_find(struct epoll *epoll, int fd, const struct file *file)
{
	struct epoll_item *item = epoll->bucket ? *bucket_of(epoll, fd) : NULL;
	while (item && (item->fd != fd || item->file != file))
		item = item->bucket_next;
	return item;
}

static int table_grow(struct epoll *epoll)
{
	uint32_t old = epoll->buckets, buckets = old ? old * 4 : FIRST_BUCKETS;
	struct epoll_item **from = epoll->bucket, **to = kzalloc(buckets * sizeof(*to));
	if (!to)
		return old ? 0 : -ENOMEM;
	epoll->bucket = to;
	epoll->buckets = buckets;
	for (uint32_t i = 0; i < old; i++) {
		for (struct epoll_item *item = from[i], *next; item; item = next) {
			next = item->bucket_next;
			item->bucket_next = *bucket_of(epoll, item->fd);
			*bucket_of(epoll, item->fd) = item;
		}
	}
	kfree(from);
	return 0;
}

static void item_free(struct epoll_item *item)
{
	struct epoll_item **link = bucket_of(item->epoll, item->fd);
	while (*link != item)
		link = &(*link)->bucket_next;
	*link = item->bucket_next;
	for (link = &item->file->watchers; *link != item; link = &(*link)->file_next)
		;
	*link = item->file_next;
	ready_remove(item);
	waitq_remove(&item->waiter);
	item->epoll->count--;
	kfree(item);
}

void epoll_forget(struct file *file)
{
	while (file->watchers)
		item_free(file->watchers);
}

/* Looks whether the item is ready now, after it was added or changed. */
static void item_look(struct epoll_item *item, struct waitq **queue)
{
	if (!item_events(item, queue))
		return;
	ready_append(item);
	tell(item->epoll);
}

static int item_add(struct epoll *epoll, int fd, struct file *file, const struct epoll_event *event)
{
	if (epoll->count >= epoll->buckets * 2) {
		int err = table_grow(epoll);
		if (err)
			return err;
	}
	struct epoll_item *item = kzalloc(sizeof(*item));
	if (!item)
		return -ENOMEM;
	*item = (struct epoll_item){ .epoll = epoll, .file = file, .fd = fd, .events = event->events | ALWAYS_REPORTED, .data = event->data,
		.waiter.wake = on_wake, .waiter.thread = current };
	item->bucket_next = *bucket_of(epoll, fd);
	*bucket_of(epoll, fd) = item;
	item->file_next = file->watchers;
	file->watchers = item;
	epoll->count++;
	struct waitq *queue = NULL;
	item_look(item, &queue);
	if (queue)
		waitq_add(queue, &item->waiter);
	return 0;
}

/* ---- epoll_ctl ---- */

/* How deep epoll files are nested below file, or more than the most if target is among them. */
static int depth_below(struct file *file, const struct file *target)
{
	if (file == target)
		return NESTING_MOST + 1;
	if (file->ops != &epoll_ops)
		return 0;
	const struct epoll *epoll = file->private;
	int depth = 0;
	for (uint32_t i = 0; i < epoll->buckets; i++) {
		for (struct epoll_item *item = epoll->bucket[i]; item; item = item->bucket_next) {
			if (item->file->ops != &epoll_ops)
				continue;
			depth = MAX(depth, depth_below(item->file, target));
			if (depth > NESTING_MOST)
				return depth;
		}
	}
	return depth + 1;
}

/* How many epoll files stand above this one. */
static int depth_above(const struct file *file, int most)
{
	int depth = 0;
	for (const struct epoll_item *item = file->watchers; item && most; item = item->file_next)
		depth = MAX(depth, depth_above(item->epoll->file, most - 1) + 1);
	return depth;
}

static int check_add(struct file *self, struct file *file, uint32_t events)
{
	if ((events & EPOLLEXCLUSIVE) && (file->ops == &epoll_ops || (events & ~EXCLUSIVE_ALLOWED)))
		return -EINVAL;
	if (file->ops != &epoll_ops)
		return 0;
	int below = depth_below(file, self);
	return below + depth_above(self, NESTING_MOST) > NESTING_MOST ? -ELOOP : 0;
}

static long control(struct file *self, int operation, int fd, struct file *file, const struct epoll_event *event)
{
	struct epoll *epoll = self->private;
	struct epoll_item *item = item_find(epoll, fd, file);
	struct waitq *queue;
	int err;
	switch (operation) {
	case EPOLL_CTL_ADD:
		err = check_add(self, file, event->events);
		return err ? err : item ? -EEXIST : item_add(epoll, fd, file, event);
	case EPOLL_CTL_DEL:
		if (!item)
			return -ENOENT;
		item_free(item);
		return 0;
	case EPOLL_CTL_MOD:
		if (!item)
			return -ENOENT;
		if ((item->events | event->events) & EPOLLEXCLUSIVE)
			return -EINVAL;
		item->events = event->events | ALWAYS_REPORTED;
		item->data = event->data;
		item_look(item, &queue);
		return 0;
	}
	return -EINVAL;
}

SYSCALL(epoll_ctl)
{
	struct file *self = fd_get((int)a[0]), *file = fd_get((int)a[2]);
	struct epoll_event event = { 0 };
	if (a[1] != EPOLL_CTL_DEL && user_read(&event, (void *)a[3], sizeof(event)))
		return -EFAULT;
	if (!self || !file || ((self->flags | file->flags) & O_PATH))
		return -EBADF;
	if (!file->ops->poll)
		return -EPERM;
	if (self == file || self->ops != &epoll_ops)
		return -EINVAL;
	return control(self, (int)a[1], (int)a[2], file, &event);
}

/* ---- epoll_wait ---- */

/* Takes what is ready off the list; what stays ready in level mode goes to its end, behind those not yet reported. */
static int collect(struct epoll *epoll, uaddr_t events, int most)
{
	int count = 0;
	struct epoll_item *stop = epoll->ready_last, *item;
	bool more = stop;
	while (more && count < most) {
		struct waitq *queue;
		item = epoll->ready_first;
		more = item != stop;
		ready_remove(item);
		uint32_t ready = item_events(item, &queue);
		if (!ready)
			continue;
		const struct epoll_event event = { .events = ready, .data = item->data };
		if (user_put(events, event)) {
			ready_append(item); /* not reported: somebody else may */
			return count ? count : -EFAULT;
		}
		events += sizeof(event);
		count++;
		if (item->events & EPOLLONESHOT)
			item->events &= FLAGS;
		else if (!(item->events & EPOLLET))
			ready_append(item);
	}
	return count;
}

static long wait_until(long fd, uaddr_t events, int most, uint64_t deadline)
{
	struct file *self = fd_get((int)fd);
	if (most <= 0 || most > (int)(INT32_MAX / sizeof(struct epoll_event)))
		return -EINVAL;
	if (!self || self->flags & O_PATH)
		return -EBADF;
	if (self->ops != &epoll_ops)
		return -EINVAL;
	struct epoll *epoll = self->private;
	long r = 0;
	int waited = 0;
	file_get(self);
	for (;;) {
		r = collect(epoll, events, most);
		if (r || deadline == 1 || waited)
			break;
		waited = wait_on(&epoll->threads, deadline);
	}
	/* What is left, or what this thread was woken for and did not take, is for the next one. */
	if (epoll->ready_first)
		wake_one(&epoll->threads, EPOLLIN);
	file_put(self);
	return r == 0 && waited == -EINTR ? -EINTR : r;
}

static uint64_t deadline_ms(int ms)
{
	return ms < 0 ? 0 : ms == 0 ? 1 : deadline_after(clock_monotonic(), (uint64_t)ms * 1000000);
}

SYSCALL(epoll_wait)
{
	return wait_until(a[0], (uaddr_t)a[1], (int)a[2], deadline_ms((int)a[3]));
}

SYSCALL(epoll_pwait)
{
	int err = signal_mask_from((uaddr_t)a[4], (size_t)a[5]);
	return err ? err : wait_until(a[0], (uaddr_t)a[1], (int)a[2], deadline_ms((int)a[3]));
}

SYSCALL(epoll_pwait2)
{
	uint64_t ns, deadline = 0;
	int err = a[3] ? user_read_time((void *)a[3], &ns) : 0;
	if (!err && a[3])
		deadline = ns ? deadline_after(clock_monotonic(), ns) : 1;
	if (!err)
		err = signal_mask_from((uaddr_t)a[4], (size_t)a[5]);
	return err ? err : wait_until(a[0], (uaddr_t)a[1], (int)a[2], deadline);
}

/* ---- the epoll file ---- */

static uint32_t epoll_poll(struct file *file, struct waitq **queue)
{
	struct epoll *epoll = file->private;
	struct epoll_item *item, *next;
	*queue = &epoll->pollers;
	for (item = epoll->ready_first; item; item = next) {
		struct waitq *ignored;
		next = item->ready_next;
		if (item_events(item, &ignored))
			return EPOLLIN | EPOLLRDNORM;
		ready_remove(item);
	}
	return 0;
}

static void epoll_release(struct file *file)
{
	struct epoll *epoll = file->private;
	for (uint32_t i = 0; i < epoll->buckets; i++)
		while (epoll->bucket[i])
			item_free(epoll->bucket[i]);
	kfree(epoll->bucket);
	kfree(epoll);
}

static const struct file_ops epoll_ops = { .kind = "eventpoll", .poll = epoll_poll, .release = epoll_release };

static long epoll_new(uint32_t flags)
{
	if (flags & ~(uint32_t)O_CLOEXEC)
		return -EINVAL;
	struct epoll *epoll = kzalloc(sizeof(*epoll));
	struct file *file = epoll ? file_new(&epoll_ops, O_RDWR, epoll) : NULL;
	if (!file) {
		kfree(epoll);
		return -ENOMEM;
	}
	epoll->file = file;
	return fd_install(file, 0, flags & O_CLOEXEC);
}

SYSCALL(epoll_create)
{
	return (int)a[0] > 0 ? epoll_new(0) : -EINVAL;
}

SYSCALL(epoll_create1)
{
	return epoll_new((uint32_t)a[0]);
}
