/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: the file systems here have none, and answer as one of Linux that has none. What is wrong with the
 * call itself is said first, in Linux' order.
 */
#include "libos/fs/vfs.h"
#include "libos/proc/proc.h"

#define NAME_MOST 255
#define VALUE_MOST 65536
#define CREATE 1
#define REPLACE 2

static int name_from(const char *user, char *name)
{
	int64_t len = user_string(name, user, NAME_MOST + 1);

	if (len == -EFAULT)
		return -EFAULT;
	if (len <= 0) /* empty or too long */
		return -ERANGE;
	return 0;
}

/* The inode of a path (follow: of what a link at its end leads to), or of a descriptor; NULL if what was opened has none. */
static int inode_at(const char *path, bool follow, struct walk *walk, const struct inode **inode)
{
	int err = path_at(AT_FDCWD, path, follow ? WALK_FOLLOW : 0, walk);

	if (!err)
		*inode = walk->dentry ? walk->dentry->inode : walk->file->inode;
	return err;
}

static int inode_of(long fd, const struct inode **inode)
{
	const struct file *file = fd_get((int)fd);

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	*inode = file->inode;
	return 0;
}

/* What access to an attribute of this name comes to: programs may give attributes of their own to files and directories only. */
static long refuse(const struct inode *inode, const char *name, bool write)
{
	bool common = inode && (S_ISREG(inode->mode) || S_ISDIR(inode->mode));

	if (!strncmp(name, "user.", 5) && !common)
		return write ? -EPERM : -ENODATA;
	if (!strncmp(name, "trusted.", 8) && !capable(CAP_SYS_ADMIN))
		return write ? -EPERM : -ENODATA;
	if (write && inode && inode->fs->read_only && inode->fs->remembered)
		return -EROFS;
	return -EOPNOTSUPP;
}

static int check_value(uaddr_t value, size_t size, long flags)
{
	if (flags & ~(long)(CREATE | REPLACE))
		return -EINVAL;
	if (size > VALUE_MOST)
		return -E2BIG;
	/* The value is not kept: that it can be read is all there is to know. */
	char piece[256];

	for (size_t at = 0; at < size; at += sizeof(piece))
		if (user_read(piece, value + at, MIN(size - at, sizeof(piece))))
			return -EFAULT;
	return 0;
}

static long at_path(const char *path, bool follow, const char *name, bool write)
{
	const struct inode *inode;
	char text[NAME_MOST + 1];
	struct walk walk;
	long err = name_from(name, text);

	if (!err)
		err = inode_at(path, follow, &walk, &inode);
	if (err)
		return err;
	err = refuse(inode, text, write);
	walk_done(&walk);
	return err;
}

static long at_file(long fd, const char *name, bool write)
{
	const struct inode *inode;
	char text[NAME_MOST + 1];
	long err = name_from(name, text);

	if (!err)
		err = inode_of(fd, &inode);
	return err ? err : refuse(inode, text, write);
}

SYSCALL(setxattr)
{
	int err = check_value((uaddr_t)a[2], (size_t)a[3], a[4]);

	return err ? err : at_path((const char *)a[0], true, (const char *)a[1], true);
}

SYSCALL(lsetxattr)
{
	int err = check_value((uaddr_t)a[2], (size_t)a[3], a[4]);

	return err ? err : at_path((const char *)a[0], false, (const char *)a[1], true);
}

SYSCALL(fsetxattr)
{
	int err = check_value((uaddr_t)a[2], (size_t)a[3], a[4]);

	return err ? err : at_file(a[0], (const char *)a[1], true);
}

SYSCALL(getxattr)
{
	return at_path((const char *)a[0], true, (const char *)a[1], false);
}

SYSCALL(lgetxattr)
{
	return at_path((const char *)a[0], false, (const char *)a[1], false);
}

SYSCALL(fgetxattr)
{
	return at_file(a[0], (const char *)a[1], false);
}

SYSCALL(removexattr)
{
	return at_path((const char *)a[0], true, (const char *)a[1], true);
}

SYSCALL(lremovexattr)
{
	return at_path((const char *)a[0], false, (const char *)a[1], true);
}

SYSCALL(fremovexattr)
{
	return at_file(a[0], (const char *)a[1], true);
}

/* An empty list, of any file. */
static long list_path(const char *path, bool follow)
{
	const struct inode *inode;
	struct walk walk;
	int err = inode_at(path, follow, &walk, &inode);

	if (!err)
		walk_done(&walk);
	return err;
}

SYSCALL(listxattr)
{
	return list_path((const char *)a[0], true);
}

SYSCALL(llistxattr)
{
	return list_path((const char *)a[0], false);
}

SYSCALL(flistxattr)
{
	const struct inode *inode;

	return inode_of(a[0], &inode);
}
