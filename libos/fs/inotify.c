/* SPDX-License-Identifier: Apache-2.0 */
/* inotify(7): events of files and directories, read from a descriptor. */
#include "libos/fs/inotify.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define BUCKETS 256

struct watch {
	struct watch *hash_next;     /* by inode */
	struct watch *next;          /* of the instance */
	struct instance *instance;
	struct inode *inode;         /* a reference */
	int number;                  /* the watch descriptor */
	uint32_t mask;
};

struct event { /* that waits to be read */
	struct event *next;
	int watch;
	uint32_t mask, cookie, name_len;
	char name[];
};

struct instance {
	struct watch *watches;
	int last_number;
	struct event *first, *last;
	uint32_t count, bytes; /* of events */
	struct waitq readable;
};

int inotify_watches;
static int instances SELDOM_USED;
static struct watch **buckets SELDOM_USED; /* with the first instance; BUCKETS of them */

static struct watch **bucket_of(const struct inode *inode)
{
	return &buckets[((uint64_t)inode >> 5 ^ (uint64_t)inode >> 13) % BUCKETS];
}

/* ---- events ---- */

/* What the name takes in a record: terminated, and filled up to a multiple of the record's head. */
static size_t name_room(const struct event *event)
{
	return event->name_len ? ALIGN_UP(event->name_len + 1, sizeof(struct inotify_event)) : 0;
}

static bool is_same(const struct event *event, int watch, uint32_t mask, uint32_t cookie, const char *name, size_t len)
{
	return event && event->watch == watch && event->mask == mask && event->cookie == cookie && event->name_len == len && !memcmp(event->name, name, len);
}

/* What the last event says already is not said twice. */
static void queue(struct instance *instance, int watch, uint32_t mask, uint32_t cookie, const char *name, size_t len)
{
	if (instance->count >= INOTIFY_EVENTS) {
		watch = -1;
		mask = IN_Q_OVERFLOW;
		cookie = 0;
		len = 0;
	}
	if (is_same(instance->last, watch, mask, cookie, name, len))
		return;
	struct event *event = kmalloc(sizeof(*event) + len);
	if (!event)
		return;
	*event = (struct event){ .watch = watch, .mask = mask, .cookie = cookie, .name_len = (uint32_t)len };
	memcpy(event->name, name, len);
	if (instance->last)
		instance->last->next = event;
	else
		instance->first = event;
	instance->last = event;
	instance->count++;
	instance->bytes += (uint32_t)(sizeof(struct inotify_event) + name_room(event));
	wake_all(&instance->readable, EPOLLIN | EPOLLRDNORM);
}

static void event_drop(struct instance *instance)
{
	struct event *event = instance->first;
	instance->first = event->next;
	if (!instance->first)
		instance->last = NULL;
	instance->count--;
	instance->bytes -= (uint32_t)(sizeof(struct inotify_event) + name_room(event));
	kfree(event);
}

/* ---- watches ---- */

static void watch_end(struct watch *watch)
{
	struct watch **at = bucket_of(watch->inode);
	while (*at != watch)
		at = &(*at)->hash_next;
	*at = watch->hash_next;
	at = &watch->instance->watches;
	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	inotify_watches--;
	struct inode *inode = watch->inode;
	kfree(watch);
	inode_put(inode);
}

static void watch_ignored(struct watch *watch)
{
	queue(watch->instance, watch->number, IN_IGNORED, 0, "", 0);
	watch_end(watch);
}

/* gone: the name of the file that this is about is no longer in the directory. */
static void deliver(struct inode *inode, const char *name, size_t len, uint32_t event, uint32_t cookie, bool gone)
{
	if (!inode->watched)
		return;
	for (struct watch *watch = *bucket_of(inode), *next; watch; watch = next) {
		next = watch->hash_next;
		if (watch->inode != inode || !(watch->mask & event & IN_ALL_EVENTS) || (gone && (watch->mask & IN_EXCL_UNLINK)))
			continue;
		uint32_t shown = event & (IN_MOVE_SELF | IN_DELETE_SELF) ? event & ~(uint32_t)IN_ISDIR : event;
		bool once = watch->mask & IN_ONESHOT;
		queue(watch->instance, watch->number, shown, cookie, name, len);
		if (once)
			watch_ignored(watch);
	}
}

void inotify_tell_name(struct inode *dir, const char *name, size_t len, uint32_t event, uint32_t cookie)
{
	deliver(dir, name, len, event, cookie, false);
}

void inotify_tell(struct inode *inode, const struct dentry *dentry, uint32_t event)
{
	event |= S_ISDIR(inode->mode) ? IN_ISDIR : 0;
	if (dentry && dentry->parent && dentry->parent->inode)
		deliver(dentry->parent->inode, dentry->name, dentry->name_len, event, 0, !dentry->hashed);
	deliver(inode, "", 0, event, 0, false);
}

uint32_t inotify_cookie(void)
{
	static uint32_t last;
	return ++last;
}

void inotify_inode_unused(struct inode *inode)
{
	uint32_t count = 0;
	for (struct watch *watch = *bucket_of(inode); watch; watch = watch->hash_next)
		count += watch->inode == inode;
	if (!count || inode->refs != count)
		return;
	inode_get(inode); /* it goes with the last line, not with the last watch */
	deliver(inode, "", 0, IN_DELETE_SELF, 0, false);
	for (struct watch *watch = *bucket_of(inode), *next; watch; watch = next) {
		next = watch->hash_next;
		if (watch->inode == inode)
			watch_ignored(watch);
	}
	inode->watched = false;
	inode_put(inode);
}

/* ---- as a file ---- */

static int64_t put_event(const struct event *event, uaddr_t to, size_t n)
{
	char zeros[sizeof(struct inotify_event)] = { 0 };
	size_t room = name_room(event), total = sizeof(struct inotify_event) + room;
	struct inotify_event head = { .wd = event->watch, .mask = event->mask, .cookie = event->cookie, .len = (uint32_t)room };
	if (n < total)
		return 0;
	size_t done = buffer_put(to, &head, sizeof(head));
	done += buffer_put(to + sizeof(head), event->name, event->name_len);
	for (size_t at = event->name_len; at < room; at += sizeof(zeros))
		done += buffer_put(to + sizeof(head) + at, zeros, MIN(sizeof(zeros), room - at));
	return done == total ? (int64_t)total : -EFAULT;
}

static int64_t inotify_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct instance *instance = file->private;
	int64_t done = 0;
	while (!instance->first) {
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(&instance->readable, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	while (instance->first) {
		int64_t r = put_event(instance->first, to + (uint64_t)done, n - (size_t)done);
		if (r <= 0)
			return done ? done : r ? r : -EINVAL; /* no room for one */
		done += r;
		event_drop(instance);
	}
	return done;
}

static uint32_t inotify_poll(struct file *file, struct waitq **queue)
{
	struct instance *instance = file->private;
	*queue = &instance->readable;
	return instance->first ? EPOLLIN | EPOLLRDNORM : 0;
}

static long inotify_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	const struct instance *instance = file->private;
	return request == LINUX_FIONREAD ? user_put(arg, instance->bytes) : -ENOTTY;
}

static void inotify_release(struct file *file)
{
	struct instance *instance = file->private;
	while (instance->watches)
		watch_end(instance->watches);
	while (instance->first)
		event_drop(instance);
	instances--;
	kfree(instance);
}

static const struct file_ops inotify_ops = { .kind = "inotify", .read = inotify_read, .poll = inotify_poll, .ioctl = inotify_ioctl,
	.release = inotify_release };

/* ---- system calls ---- */

static long instance_new(uint32_t flags)
{
	if (flags & ~(uint32_t)(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	if (instances >= INOTIFY_INSTANCES)
		return -EMFILE;
	if (!buckets && !(buckets = kzalloc(BUCKETS * sizeof(*buckets))))
		return -ENOMEM;
	struct instance *instance = kzalloc(sizeof(*instance));
	struct file *file = instance ? file_new(&inotify_ops, O_RDONLY | (flags & O_NONBLOCK), instance) : NULL;
	if (!file) {
		kfree(instance);
		return -ENOMEM;
	}
	instances++;
	return fd_install(file, 0, flags & O_CLOEXEC);
}

SYSCALL(inotify_init)
{
	return instance_new(0);
}

SYSCALL(inotify_init1)
{
	return instance_new((uint32_t)a[0]);
}

static struct watch *find_inode(struct instance *instance, const struct inode *inode)
{
	struct watch *watch = *bucket_of(inode);
	while (watch && (watch->inode != inode || watch->instance != instance))
		watch = watch->hash_next;
	return watch;
}

static long watch_change(struct watch *watch, uint32_t mask)
{
	if (mask & IN_MASK_CREATE)
		return -EEXIST;
	watch->mask = mask & IN_MASK_ADD ? watch->mask | mask : mask;
	return watch->number;
}

static long watch_new(struct instance *instance, struct inode *inode, uint32_t mask)
{
	if (inotify_watches >= INOTIFY_WATCHES)
		return -ENOSPC;
	struct watch *watch = kmalloc(sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	struct watch **bucket = bucket_of(inode);
	*watch = (struct watch){ .hash_next = *bucket, .next = instance->watches, .instance = instance, .inode = inode,
		.number = ++instance->last_number, .mask = mask };
	*bucket = watch;
	instance->watches = watch;
	inode_get(inode);
	inode->watched = true;
	inotify_watches++;
	return watch->number;
}

static int instance_of(long fd, struct instance **instance)
{
	struct file *file = fd_get((int)fd);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (file->ops != &inotify_ops)
		return -EINVAL;
	*instance = file->private;
	return 0;
}

SYSCALL(inotify_add_watch)
{
	uint32_t mask = (uint32_t)a[2];
	struct instance *instance;
	struct walk walk;
	if (!(mask & (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR | IN_ONESHOT | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD |
		      IN_MASK_CREATE | IN_ONLYDIR)))
		return -EINVAL;
	if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
		return fd_get((int)a[0]) ? -EINVAL : -EBADF;
	long r = instance_of(a[0], &instance);
	if (!r)
		r = path_at(AT_FDCWD, (const char *)a[1], mask & IN_DONT_FOLLOW ? 0 : WALK_FOLLOW, &walk);
	if (r)
		return r;
	struct inode *inode = walk.dentry ? walk.dentry->inode : walk.file->inode;
	if (!inode)
		r = -EACCES;
	else if ((mask & IN_ONLYDIR) && !S_ISDIR(inode->mode))
		r = -ENOTDIR;
	else
		r = inode_permission(inode, LINUX_R_OK);
	if (!r) {
		struct watch *watch = find_inode(instance, inode);
		r = watch ? watch_change(watch, mask) : watch_new(instance, inode, mask);
	}
	walk_done(&walk);
	return r;
}

SYSCALL(inotify_rm_watch)
{
	struct instance *instance;
	int err = instance_of(a[0], &instance);
	if (err)
		return err;
	for (struct watch *watch = instance->watches; watch; watch = watch->next) {
		if (watch->number != (int)a[1])
			continue;
		watch_ignored(watch);
		return 0;
	}
	return -EINVAL;
}
