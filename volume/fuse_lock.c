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

static int lock_file(struct volume *volume, struct node *node, uint64_t owner, struct lock_file **file)
{
	char name[PROC_NAME];
	unsigned count;
	if ((*file = find_owner(node, owner, &count)))
		return 0;
	struct lock_file *new = node->type == S_IFREG && count < OWNERS ? malloc(sizeof(*new)) : NULL;
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
	new->owner = owner;
	new->next = node->locks;
	*file = node->locks = new;
	return 0;
}

void lock_drop(struct volume *volume, struct node *node, uint64_t owner)
{
	for (struct lock_file **link = &node->locks; *link; link = &(*link)->next) {
		struct lock_file *file = *link;
		if (file->owner != owner)
			continue;
		*link = file->next;
		close(file->fd);
		free(file);
		return;
	}
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

/* Who has no lock needs no file for having none, and who gives all back not any more: there are only so many. */
static int unlock(struct volume *volume, struct node *node, uint64_t owner, struct flock *host)
{
	unsigned count;
	const struct lock_file *file = find_owner(node, owner, &count);
	if (file && !host->l_start && !host->l_len)
		lock_drop(volume, node, owner);
	else if (file && fcntl(file->fd, F_OFD_SETLK, host))
		return -errno;
	return 0;
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
	int err = lock_file(volume, node, wait->owner, &file);
	if (err)
		return err;
	return fcntl(file->fd, F_OFD_SETLK, &host) ? errno == EACCES ? -EAGAIN : -errno : 0;
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
	int err = lock_file(request->volume, request->node, in->owner, &file);
	if (!err && fcntl(file->fd, F_OFD_GETLK, &host))
		err = -errno;
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	out->lk.type = (uint32_t)host.l_type;
	out->lk.start = (uint64_t)host.l_start;
	out->lk.end = host.l_len ? (uint64_t)host.l_start + (uint64_t)host.l_len - 1 : INT64_MAX;
	return sizeof(*out);
}
