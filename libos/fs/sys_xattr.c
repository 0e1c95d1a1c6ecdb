/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: live volumes have those of programs ("user."); the other file systems here have none, and answer as one of Linux that has none.
 * What is wrong with the call itself is said first, in Linux' order.
 */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define NAME_MOST 255
#define VALUE_MOST 65536
#define CREATE 1
#define REPLACE 2

struct access { /* what a call asks for */
	enum attribute_verb verb;
	char name[NAME_MOST + 1]; /* not of a list */
	uaddr_t value;            /* or the list */
	size_t size;
	int flags;
};

static bool writes(const struct access *access)
{
	return access->verb == ATTRIBUTE_SET || access->verb == ATTRIBUTE_REMOVE;
}

static int name_from(const char *user, char *name)
{
	int64_t len = user_string(name, user, NAME_MOST + 1);

	if (len == -EFAULT)
		return -EFAULT;
	if (len <= 0) /* empty or too long */
		return -ERANGE;
	return 0;
}

static bool is_for_programs(const struct access *access)
{
	return !strncmp(access->name, "user.", 5);
}

/* Programs may give attributes of their own to files and directories only. */
static bool may_have(const struct inode *inode)
{
	return inode && (S_ISREG(inode->mode) || S_ISDIR(inode->mode));
}

/* What access comes to where there are none. */
static long refuse(const struct inode *inode, const struct access *access)
{
	bool write = writes(access);

	if (access->verb == ATTRIBUTE_LIST)
		return 0;
	if (is_for_programs(access) && !may_have(inode))
		return write ? -EPERM : -ENODATA;
	if (!strncmp(access->name, "trusted.", 8) && !capable(CAP_SYS_ADMIN))
		return write ? -EPERM : -ENODATA;
	if (write && inode && inode->fs->read_only && inode->fs->remembered)
		return -EROFS;
	return -EOPNOTSUPP;
}

/* By way of a buffer of libos' own: the volume's server does not see the program's memory. */
static long ask_remote(struct inode *inode, const struct access *access)
{
	size_t size = MIN(access->size, VALUE_MOST), pages = ALIGN_UP(size, 4096) / 4096;
	char *buffer = size ? page_alloc_run(pages) : NULL;
	long r = size && !buffer ? -ENOMEM : 0;

	if (!r && access->verb == ATTRIBUTE_SET && user_read(buffer, access->value, size))
		r = -EFAULT;
	if (!r)
		r = remote_of(inode)->attribute(inode, access->verb, access->name, buffer, size, access->flags);
	if (r > 0 && size && !writes(access) && user_write(access->value, buffer, (size_t)r))
		r = -EFAULT;
	if (buffer)
		page_free_run(buffer, pages);
	return r;
}

static long act(struct inode *inode, const struct access *access)
{
	bool list = access->verb == ATTRIBUTE_LIST;

	if (!remote_of(inode) || !may_have(inode) || (!list && !is_for_programs(access)) || (writes(access) && inode->fs->read_only))
		return refuse(inode, access);
	inode_get(inode); /* who asked may go meanwhile */
	long r = inode_refresh(inode);
	if (!r && !list)
		r = inode_permission(inode, writes(access) ? LINUX_W_OK : LINUX_R_OK);
	if (!r)
		r = ask_remote(inode, access);
	inode_put(inode);
	return r;
}

/* ---- whose ---- */

/* follow: of what a link at the path's end leads to. */
static long at_path(const char *path, bool follow, const struct access *access)
{
	struct walk walk;
	long r = path_at(AT_FDCWD, path, follow ? WALK_FOLLOW : 0, &walk);

	if (r)
		return r;
	r = act(walk.dentry ? walk.dentry->inode : walk.file->inode, access);
	walk_done(&walk);
	return r;
}

static long at_file(long fd, const struct access *access)
{
	const struct file *file = fd_get((int)fd);

	return !file || (file->flags & O_PATH) ? -EBADF : act(file->inode, access);
}

/* ---- calls ---- */

enum by { BY_PATH, BY_LINK, BY_FILE }; /* BY_LINK: a link at the path's end is meant itself */

static long at(enum by by, const long *a, const struct access *access)
{
	return by == BY_FILE ? at_file(a[0], access) : at_path((const char *)a[0], by == BY_PATH, access);
}

static long named(enum by by, const long *a, struct access access)
{
	int err = name_from((const char *)a[1], access.name);

	return err ? err : at(by, a, &access);
}

static long set(enum by by, const long *a)
{
	if (a[4] & ~(long)(CREATE | REPLACE))
		return -EINVAL;
	if ((size_t)a[3] > VALUE_MOST)
		return -E2BIG;
	/* Where the value is not kept, that it can be read is all there is to know. */
	char piece[256];

	for (size_t done = 0; done < (size_t)a[3]; done += sizeof(piece))
		if (user_read(piece, (uaddr_t)a[2] + done, MIN((size_t)a[3] - done, sizeof(piece))))
			return -EFAULT;
	return named(by, a, (struct access){ .verb = ATTRIBUTE_SET, .value = (uaddr_t)a[2], .size = (size_t)a[3], .flags = (int)a[4] });
}

static long get(enum by by, const long *a)
{
	return named(by, a, (struct access){ .verb = ATTRIBUTE_GET, .value = (uaddr_t)a[2], .size = (size_t)a[3] });
}

static long remove(enum by by, const long *a)
{
	return named(by, a, (struct access){ .verb = ATTRIBUTE_REMOVE });
}

static long list(enum by by, const long *a)
{
	return at(by, a, &(struct access){ .verb = ATTRIBUTE_LIST, .value = (uaddr_t)a[1], .size = (size_t)a[2] });
}

SYSCALL(setxattr)
{
	return set(BY_PATH, a);
}

SYSCALL(lsetxattr)
{
	return set(BY_LINK, a);
}

SYSCALL(fsetxattr)
{
	return set(BY_FILE, a);
}

SYSCALL(getxattr)
{
	return get(BY_PATH, a);
}

SYSCALL(lgetxattr)
{
	return get(BY_LINK, a);
}

SYSCALL(fgetxattr)
{
	return get(BY_FILE, a);
}

SYSCALL(removexattr)
{
	return remove(BY_PATH, a);
}

SYSCALL(lremovexattr)
{
	return remove(BY_LINK, a);
}

SYSCALL(fremovexattr)
{
	return remove(BY_FILE, a);
}

SYSCALL(listxattr)
{
	return list(BY_PATH, a);
}

SYSCALL(llistxattr)
{
	return list(BY_LINK, a);
}

SYSCALL(flistxattr)
{
	return list(BY_FILE, a);
}
