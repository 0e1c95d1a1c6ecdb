/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks that the host and other VMs see. A record lock of the guest's is one of an open file of ours (F_OFD_SETLK), which stands for one owner of
 * the guest's and one file; flock is that of the guest's own open file. Nothing here waits: what does is tried again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "volume/operations.h"

#define GIVEN_UP UINT32_MAX /* in place of a kind of lock */
#define OWNERS 64 /* of locks of one file */

static struct lock_file *find_owner(const struct node *node, uint64_t owner, unsigned *count)
{
	struct lock_file *file = node->locks;
	for (*count = 0; file && file->owner != owner; ++*count)
		file = file->next;
	return file;
}

static int lock_file(struct volume *volume, struct node *node, uint64_t owner, unsigned most, struct lock_file **file)
{
	char name[PROC_NAME];
	unsigned count;
	if ((*file = find_owner(node, owner, &count)))
		return 0;
	struct lock_file *new = node->type == S_IFREG && count < most && volume->lockers < VOLUME_LOCKERS + (most - OWNERS) ? malloc(sizeof(*new)) : NULL;
	if (!new)
		return -ENOLCK;
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	new->fd = openat(volume->proc, proc_name(node->fd, name), (volume->read_only ? O_RDONLY : O_RDWR) | flags);
	if (new->fd < 0)
		new->fd = openat(volume->proc, name, O_RDONLY | flags);
	if (new->fd < 0) {
		free(new);
		return -errno;
	}
	*new = (struct lock_file){ .fd = new->fd, .owner = owner, .next = node->locks };
	*file = node->locks = new;
	volume->lockers++;
	return 0;
}

void lock_drop(struct volume *volume, struct node *node, uint64_t owner)
{
	for (struct lock_file **link = &node->locks; *link; link = &(*link)->next) {
		struct lock_file *file = *link;
		if (file->owner != owner)
			continue;
		*link = file->next;
		lock_file_free(volume, file);
		return;
	}
}

/* ---- ranges ---- */

/* What file has, once new is set: in out, which has room for two more than it has now. */
static uint32_t ranges_with(const struct lock_file *file, struct lock_range new, struct lock_range *out)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < file->ranges; i++) {
		const struct lock_range *old = &file->range[i];
		if (old->type == new.type && old->start <= new.end + 1 && new.start <= old->end + 1) {
			new.start = old->start < new.start ? old->start : new.start;
			new.end = old->end > new.end ? old->end : new.end;
			continue;
		}
		if (old->end < new.start || old->start > new.end) {
			out[n++] = *old;
			continue;
		}
		if (old->start < new.start)
			out[n++] = (struct lock_range){ old->start, new.start - 1, old->type };
		if (old->end > new.end)
			out[n++] = (struct lock_range){ new.end + 1, old->end, old->type };
	}
	if (new.type != F_UNLCK)
		out[n++] = new;
	return n;
}

/* The kernel's memory for it is as much as a guest asks for, so it is counted; taking one away may need one more. */
static int set_range(struct volume *volume, struct lock_file *file, struct flock *host)
{
	const uint64_t start = (uint64_t)host->l_start, end = host->l_len ? start + (uint64_t)host->l_len - 1 : INT64_MAX;
	struct lock_range *range = malloc((file->ranges + 2ul) * sizeof(*range));
	uint32_t n = range ? ranges_with(file, (struct lock_range){ start, end, (uint32_t)host->l_type }, range) : 0;
	int err = !range || (n > file->ranges && n - file->ranges > VOLUME_RANGES - volume->ranges) ? -ENOLCK : 0;
	if (!err && fcntl(file->fd, F_OFD_SETLK, host))
		err = errno == EACCES ? -EAGAIN : -errno;
	if (err) {
		free(range);
		return err;
	}
	volume->ranges += n - file->ranges;
	free(file->range);
	file->range = range;
	file->ranges = n;
	return 0;
}

/* Of the guest's words, those of the host; false: nonsense. */
static bool to_host(const struct fuse_file_lock *lock, struct flock *host)
{
	if (lock->type != F_RDLCK && lock->type != F_WRLCK && lock->type != F_UNLCK)
		return false;
	if (lock->start > INT64_MAX || lock->end < lock->start)
		return false;
	*host = (struct flock){ .l_type = (short)lock->type, .l_whence = SEEK_SET, .l_start = (off_t)lock->start };
	host->l_len = lock->end >= INT64_MAX ? 0 : (off_t)(lock->end - lock->start + 1);
	return true;
}

/* Who has no lock needs no file for having none, and who gives all back not any more: there are only so many (as for who is refused his first one). */
static int unlock(struct volume *volume, struct node *node, uint64_t owner, struct flock *host)
{
	unsigned count;
	struct lock_file *file = find_owner(node, owner, &count);
	const bool all = !host->l_start && !host->l_len;
	int err = file && !all ? set_range(volume, file, host) : 0;
	if (file && !err && (all || !file->ranges))
		lock_drop(volume, node, owner);
	return err;
}

static int try_flock(const struct volume *volume, const struct lock_wait *wait)
{
	struct handle *handle = handle_find(volume, wait->fh, wait->node, false);
	int how = wait->lock.type == F_RDLCK ? LOCK_SH : wait->lock.type == F_WRLCK ? LOCK_EX : LOCK_UN;
	if (!handle)
		return -EBADF;
	return flock(handle->fd, how | LOCK_NB) ? -errno : 0;
}

int lock_try(struct volume *volume, const struct lock_wait *wait)
{
	struct flock host;
	struct lock_file *file;
	struct node *node = node_find(volume, wait->node);
	if (wait->lock.type == GIVEN_UP)
		return -EINTR;
	if (!node || !to_host(&wait->lock, &host))
		return node ? -EINVAL : -ESTALE;
	if (wait->flags & FUSE_LK_FLOCK)
		return try_flock(volume, wait);
	if (host.l_type == F_UNLCK)
		return unlock(volume, node, wait->owner, &host);
	int err = lock_file(volume, node, wait->owner, OWNERS, &file);
	if (err)
		return err;
	err = set_range(volume, file, &host);
	if (!file->ranges)
		lock_drop(volume, node, wait->owner);
	return err;
}

static struct lock_wait wait_of(const struct request *request)
{
	const struct fuse_lk_in *in = request->in;
	return (struct lock_wait){ .unique = request->header->unique, .node = request->header->nodeid, .fh = in->fh, .owner = in->owner,
		.lock = in->lk, .flags = in->lk_flags };
}

int op_setlk(struct request *request)
{
	struct lock_wait wait = wait_of(request);
	return lock_try(request->volume, &wait);
}

int op_setlkw(struct request *request)
{
	struct volume *volume = request->volume;
	struct lock_wait wait = wait_of(request);
	int err = lock_try(volume, &wait);
	if (err != -EAGAIN)
		return err;
	if (volume->waits == VOLUME_WAITING)
		return -ENOLCK;
	volume->waiting[volume->waits++] = wait;
	return LOCK_WAITS;
}

bool lock_interrupt(struct volume *volume, uint64_t unique)
{
	for (unsigned i = 0; i < volume->waits; i++)
		if (volume->waiting[i].unique == unique) {
			volume->waiting[i].lock.type = GIVEN_UP; /* the next try answers it */
			return true;
		}
	return false;
}

int op_getlk(struct request *request)
{
	const struct fuse_lk_in *in = request->in;
	struct fuse_lk_out *out = request->out;
	struct flock host;
	struct lock_file *file;
	if (!to_host(&in->lk, &host) || host.l_type == F_UNLCK)
		return -EINVAL;
	unsigned owners;
	const bool had = find_owner(request->node, in->owner, &owners);
	int err = lock_file(request->volume, request->node, in->owner, OWNERS + 1, &file);
	if (!err && fcntl(file->fd, F_OFD_GETLK, &host))
		err = -errno;
	if (!had) /* who only asks is no owner of locks */
		lock_drop(request->volume, request->node, in->owner);
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	out->lk.type = (uint32_t)host.l_type;
	out->lk.start = (uint64_t)host.l_start;
	out->lk.end = host.l_len ? (uint64_t)host.l_start + (uint64_t)host.l_len - 1 : INT64_MAX;
	return sizeof(*out);
}
