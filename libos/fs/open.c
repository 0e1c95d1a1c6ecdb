/* SPDX-License-Identifier: Apache-2.0 */
/* From a name in the tree to an open file, and new names. */
#include "libos/dev/dev.h"
#include "libos/fs/inotify.h"
#include "libos/fs/lock.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/openat2.h>
/* A place in the tree that cannot be read: O_PATH. */
static const struct file_ops path_ops = { .kind = "path" };

int vfs_open_special(struct inode *inode, struct file *file)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		file->ops = &regular_ops;
		return 0;
	case S_IFDIR:
		file->ops = &dir_ops;
		return 0;
	case S_IFIFO:
		return pipe_open_fifo(inode, file);
	case S_IFCHR:
	case S_IFBLK:
		return devfs_open_node(inode, file);
	}
	return -ENXIO;
}

static int check_access(const struct inode *inode, uint32_t flags)
{
	static const int masks[4] = { LINUX_R_OK, LINUX_W_OK, LINUX_R_OK | LINUX_W_OK, LINUX_R_OK | LINUX_W_OK };
	int mask = masks[flags & O_ACCMODE] | (flags & O_TRUNC ? LINUX_W_OK : 0); /* O_TRUNC also empties who only reads afterwards */
	if (S_ISLNK(inode->mode))
		return -ELOOP;
	if (S_ISDIR(inode->mode) && ((mask & LINUX_W_OK) || (flags & O_CREAT)))
		return -EISDIR;
	if ((mask & LINUX_W_OK) && S_ISREG(inode->mode) && inode_is_frozen(inode))
		return -EROFS;
	int err = inode_permission(inode, mask);
	if (!err && (mask & LINUX_W_OK) && process_runs(inode))
		return -ETXTBSY;
	return err ? err : (flags & O_NOATIME) && !inode_is_own(inode) ? -EPERM : 0;
}

#define KEPT_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | \
		    O_NOATIME | O_PATH | __O_SYNC | __O_TMPFILE)

int vfs_open_inode(struct inode *inode, struct dentry *dentry, uint32_t flags, struct file **out)
{
	struct file *file = file_new(&path_ops, (flags & (KEPT_FLAGS | O_NOCTTY)) | O_LARGEFILE, NULL);
	if (!file)
		return -ENOMEM;
	inode_get(inode);
	file->inode = inode;
	if (used_wanted() && inode->lower)
		used_opened(inode);
	if (dentry) {
		dentry_get(dentry);
		file->dentry = dentry;
	}
	int err = 0;
	if (!(flags & O_PATH))
		err = inode->ops && inode->ops->open ? inode->ops->open(inode, file) : vfs_open_special(inode, file);
	file->flags &= ~(uint32_t)O_NOCTTY;
	if (err) {
		file->ops = &path_ops;
		file_put(file);
		return err;
	}
	*out = file;
	return 0;
}

/* O_TRUNC */
static int empty(struct inode *inode, const struct dentry *dentry)
{
	int err = inode->size || remote_of(inode) ? inode_truncate(inode, 0) : 0;
	if (!err)
		fs_event(inode, dentry, IN_MODIFY);
	return err;
}

static int open_checked(struct inode *inode, struct dentry *dentry, uint32_t flags, struct file **file)
{
	if ((flags & O_DIRECTORY) && !S_ISDIR(inode->mode))
		return -ENOTDIR;
	int err = flags & O_PATH ? 0 : check_access(inode, flags);
	if (!err && !(flags & O_PATH))
		err = lease_break(inode, flags);
	if (!err && (flags & O_TRUNC) && !(flags & O_PATH) && S_ISREG(inode->mode) && !inode->fs->read_only)
		err = empty(inode, dentry);
	return err ? err : vfs_open_inode(inode, dentry, flags, file);
}

int vfs_open(struct dentry *dentry, uint32_t flags, struct file **file)
{
	return open_checked(dentry->inode, dentry, flags, file);
}

/* Files in a set-group-id directory belong to its group, directories hand that on. */
static void take_group(struct inode *inode, const struct inode *dir)
{
	if (!(dir->mode & S_ISGID))
		return;
	inode->gid = dir->gid;
	if (S_ISDIR(inode->mode))
		inode->mode |= S_ISGID;
	else if ((inode->mode & S_IXGRP) && !in_group(inode->gid) && !capable(CAP_FSETID))
		inode->mode &= ~(uint32_t)S_ISGID; /* nobody makes a program of a group that he is not in */
}

static void tell_new(const struct dentry *dentry, uint32_t mode)
{
	fs_event_name(dentry->parent->inode, dentry->name, dentry->name_len, S_ISDIR(mode) ? IN_CREATE | IN_ISDIR : IN_CREATE);
}

static int make_remote(struct dentry *dentry, uint32_t mode, uint64_t rdev, const char *target, struct inode **made)
{
	int err = remote_of(dentry->parent->inode)->make(dentry, mode, rdev, target, made);
	if (!err) {
		dentry_found(dentry, *made);
		tell_new(dentry, mode);
	}
	return err;
}

/* May something be made there? */
static int may_make(const struct dentry *dentry)
{
	struct inode *dir = dentry->parent ? dentry->parent->inode : NULL;
	if (dentry->inode)
		return -EEXIST;
	if (!dir || dir->fs->read_only)
		return dir && !dir->fs->remembered ? -ENOENT : -EROFS;
	if (dentry->parent->parent && !dentry->parent->hashed && !remote_of(dir))
		return -ENOENT; /* the directory was removed meanwhile; a server says so itself */
	return inode_permission(dir, LINUX_W_OK | LINUX_X_OK);
}

int vfs_symlink(struct dentry *dentry, const char *target)
{
	struct inode *inode;
	int err = may_make(dentry);
	return err ? err : make_remote(dentry, S_IFLNK | 0777, 0, target, &inode);
}

int vfs_create(struct dentry *dentry, uint32_t mode, uint64_t rdev, struct inode **made)
{
	int err = may_make(dentry);
	if (err)
		return err;
	struct inode *dir = dentry->parent->inode;
	if (remote_of(dir))
		return make_remote(dentry, mode, rdev, NULL, made);
	struct inode *inode = inode_new(dir->fs, mode);
	if (!inode)
		return -ENOMEM;
	inode->rdev = rdev;
	take_group(inode, dir);
	dentry_attach(dentry, inode);
	if (S_ISDIR(mode))
		dir->nlink++;
	inode_touch(dir, TOUCH_MTIME | TOUCH_CTIME);
	tell_new(dentry, mode);
	*made = inode;
	return 0;
}

/* Where a walk with WALK_CREATE ended. */
static int make_there(struct walk *walk, uint32_t mode, uint64_t rdev, struct inode **inode)
{
	int err;

	if (walk->file || walk->dentry->inode)
		err = -EEXIST;
	else if (walk->slash && !S_ISDIR(mode))
		err = -ENOENT;
	else
		err = vfs_create(walk->dentry, mode, rdev, inode);
	if (!err)
		inode_get(*inode);
	walk_done(walk);
	return err;
}

int vfs_mknod_at(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct inode **inode)
{
	struct walk walk;
	int err = path_at(dirfd, path, WALK_CREATE | WALK_NAME, &walk);

	return err ? err : make_there(&walk, mode, rdev, inode);
}

static int make_from(struct dentry *start, const char *path, unsigned flags, uint32_t mode, struct inode **inode)
{
	struct walk walk;
	int err = path_walk(start, path, strlen(path), WALK_CREATE | WALK_NAME | flags, &walk);

	return err ? err : make_there(&walk, mode, 0, inode);
}

int vfs_make(struct dentry *start, const char *path, uint32_t mode, struct inode **inode)
{
	return make_from(start, path, 0, mode, inode);
}

#define WALK_OWN (WALK_IN_ROOT | WALK_NO_WAIT) /* others would go on with libos' rights */

int vfs_make_own(const char *path, uint32_t mode, struct inode **inode)
{
	const struct credentials had = credentials_of_libos();
	int err = make_from(path_top(), path, WALK_OWN, mode, inode);

	credentials_put_back(&had);
	return err;
}

static int find_from(struct dentry *start, const char *path, unsigned flags, struct inode **inode)
{
	struct walk walk;
	int err = path_walk(start, path, strlen(path), WALK_FOLLOW | flags, &walk);

	if (err)
		return err;
	*inode = walk.dentry ? walk.dentry->inode : NULL;
	if (*inode)
		inode_get(*inode);
	walk_done(&walk);
	return *inode ? 0 : -ENOENT;
}

int vfs_find(struct dentry *start, const char *path, struct inode **inode)
{
	return find_from(start, path, 0, inode);
}

int vfs_find_own(const char *path, struct inode **inode)
{
	const struct credentials had = credentials_of_libos();
	int err = find_from(path_top(), path, WALK_OWN, inode);

	credentials_put_back(&had);
	return err;
}

/* ---- open(2) ---- */

/* What /proc/self/fd shows for a file that never had a name. */
static char *temporary_name(const struct dentry *dir, uint64_t ino)
{
	char *text = kmalloc(PATH_MAX), *path = text ? dentry_path(dir, path_root(), text, PATH_MAX) : NULL;
	size_t room = path ? strlen(path) + 32 : 0;
	char *name = path ? kmalloc(room) : NULL;
	if (name)
		snprintf(name, room, "%s/#%lu", path[1] ? path : "", ino);
	kfree(text);
	return name;
}

static int make_temporary(struct dentry *dir, uint32_t flags, uint32_t mode, struct file **file)
{
	struct inode *inode = inode_new(dir->inode->fs, S_IFREG | mode);
	if (!inode)
		return -ENOMEM;
	inode->nlink = 0;
	inode->linkable = !(flags & O_EXCL);
	take_group(inode, dir->inode);
	int err = vfs_open_inode(inode, NULL, flags, file);
	inode_put(inode);
	return err;
}

static int open_temporary(struct dentry *dir, uint32_t flags, uint32_t mode, struct file **file)
{
	if (!dir->inode || !S_ISDIR(dir->inode->mode))
		return -ENOTDIR;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	const struct remote_ops *remote = remote_of(dir->inode);
	if (dir->inode->fs->read_only)
		return remote || inode_is_frozen(dir->inode) ? -EROFS : -EOPNOTSUPP;
	int err = inode_permission(dir->inode, LINUX_W_OK | LINUX_X_OK);
	flags &= ~(uint32_t)(O_DIRECTORY | __O_TMPFILE);
	if (!err)
		err = remote ? remote->temporary(dir, flags, mode, file) : make_temporary(dir, flags, mode, file);
	if (!err && !(*file)->inode->target)
		(*file)->inode->target = temporary_name(dir, (*file)->inode->ino);
	return err;
}

static int open_new(struct walk *walk, uint32_t flags, uint32_t mode, struct file **file)
{
	struct inode *inode;
	if (walk->slash)
		return -EISDIR;
	int err = may_make(walk->dentry);
	if (!err && remote_of(walk->dentry->parent->inode)) {
		err = remote_of(walk->dentry->parent->inode)->create(walk->dentry, flags, mode, file);
		if (!err)
			tell_new(walk->dentry, S_IFREG);
		return err;
	}
	err = vfs_create(walk->dentry, S_IFREG | mode, 0, &inode);
	return err ? err : vfs_open_inode(inode, walk->dentry, flags, file); /* the mode does not bind who creates */
}

/* By /proc/self/fd, something without a name in the tree. */
static int open_again(struct file *open, uint32_t flags, struct file **file)
{
	if (open->inode)
		return open_checked(open->inode, NULL, flags, file);
	if (open->ops->kind && !strcmp(open->ops->kind, "console")) { /* what the program was started with: it stays one open file */
		file_get(open);
		*file = open;
		return 0;
	}
	return pipe_open_again(open, flags, file);
}

static int open_walked(struct walk *walk, uint32_t flags, uint32_t mode, struct file **file)
{
	if (walk->file)
		return open_again(walk->file, flags, file);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_temporary(walk->dentry, flags, mode, file);
	if (!walk->dentry->inode)
		return open_new(walk, flags, mode, file);
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return vfs_open(walk->dentry, flags, file);
}

static unsigned walk_flags(uint32_t flags)
{
	bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	return (flags & O_NOFOLLOW) || exclusive ? ((flags & O_CREAT) ? WALK_CREATE : 0) :
		WALK_FOLLOW | ((flags & O_CREAT) ? WALK_CREATE : 0);
}

static long open_by(int dirfd, const char *path, uint32_t flags, uint32_t mode, unsigned limits)
{
	struct walk walk;
	struct file *file;
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & O_CREAT) && (flags & O_DIRECTORY))
		return -EINVAL;
	int err = path_at(dirfd, path, walk_flags(flags) | limits, &walk);
	if (err)
		return err;
	err = open_walked(&walk, flags, mode & 07777 & ~path_umask(), &file);
	walk_done(&walk);
	if (!err && !(flags & O_PATH))
		fs_event_file(file, IN_OPEN);
	return err ? err : fd_install(file, 0, flags & O_CLOEXEC);
}

static long open_at(int dirfd, const char *path, uint32_t flags, uint32_t mode)
{
	return open_by(dirfd, path, flags, mode, 0);
}

SYSCALL(open)
{
	return open_at(AT_FDCWD, (const char *)a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

SYSCALL(openat)
{
	return open_at((int)a[0], (const char *)a[1], (uint32_t)a[2], (uint32_t)a[3]);
}

/* What openat2 may ask of the walk, or -EINVAL, -EAGAIN. */
static int limits_of(uint64_t resolve, uint64_t flags)
{
	static const struct { uint8_t resolve; uint16_t walk; } limits[] = {
		{ RESOLVE_BENEATH, WALK_BENEATH }, { RESOLVE_IN_ROOT, WALK_IN_ROOT }, { RESOLVE_NO_SYMLINKS, WALK_NO_LINKS },
		{ RESOLVE_NO_MAGICLINKS, WALK_NO_JUMPS }, { RESOLVE_NO_XDEV, WALK_ONE_FS }, { RESOLVE_CACHED, WALK_NO_WAIT } };
	unsigned walk = 0;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		walk |= resolve & limits[i].resolve ? limits[i].walk : 0;
		resolve &= ~(uint64_t)limits[i].resolve;
	}
	if (resolve || (walk & WALK_SCOPED) == WALK_SCOPED)
		return -EINVAL;
	return walk & WALK_NO_WAIT && flags & (O_TRUNC | O_CREAT | __O_TMPFILE) ? -EAGAIN : (int)walk;
}

#define OPENAT2_FLAGS (KEPT_FLAGS | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

SYSCALL(openat2)
{
	struct { uint64_t flags, mode, resolve; } how = { 0 };
	size_t size = (size_t)a[3];
	if (size < sizeof(how) || size > 4096)
		return size < sizeof(how) ? -EINVAL : -E2BIG;
	if (user_get(&how, a[2]))
		return -EFAULT;
	for (size_t at = sizeof(how); at < size; at++) { /* what a later Linux may know */
		char byte;
		if (user_get(&byte, a[2] + (long)at))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	if ((how.flags & ~(uint64_t)OPENAT2_FLAGS) || (how.mode & ~07777ull) ||
	    (how.mode && !(how.flags & O_CREAT) && (how.flags & O_TMPFILE) != O_TMPFILE) ||
	    ((how.flags & O_PATH) && (how.flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))))
		return -EINVAL; /* open and openat let these pass */
	int limits = limits_of(how.resolve, how.flags);
	if (limits < 0)
		return limits;
	return open_by((int)a[0], (const char *)a[1], (uint32_t)how.flags, (uint32_t)how.mode, (unsigned)limits);
}

SYSCALL(creat)
{
	return open_at(AT_FDCWD, (const char *)a[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a[1]);
}

int file_open_flags(const char *path, uint32_t flags, struct file **file)
{
	struct walk walk;
	int err = path_walk(path_root(), path, strlen(path), WALK_FOLLOW, &walk);
	if (err)
		return err;
	err = walk.dentry ? vfs_open(walk.dentry, flags, file) : -ENXIO;
	walk_done(&walk);
	return err;
}

/* What scripts are told of a path below a descriptor. */
static int name_below(int dirfd, char *path, size_t len, size_t size)
{
	char start[24];
	size_t n = (size_t)snprintf(start, sizeof(start), "/dev/fd/%d/", dirfd);

	if (n + len >= size)
		return -ENAMETOOLONG;
	memmove(path + n, path, len + 1);
	memcpy(path, start, n);
	return 0;
}

int file_open_program(int dirfd, uaddr_t name, int flags, struct file **file, char *path, size_t size)
{
	int64_t len = user_string(path, name, size);
	struct walk walk;
	int err;

	*file = NULL;
	if (len < 0)
		return (int)len;
	err = path_at(dirfd, (const char *)name, (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0), &walk);
	if (err)
		return err;
	if (walk.dentry && walk.dentry->inode && S_ISLNK(walk.dentry->inode->mode))
		err = -ELOOP;
	else if (walk.dentry && walk.slash && !S_ISDIR(walk.dentry->inode->mode))
		err = -ENOTDIR;
	else if (walk.dentry)
		err = vfs_open_inode(walk.dentry->inode, walk.dentry, O_RDONLY, file);
	else {
		*file = walk.file;
		walk.file = NULL;
	}
	if (!err && !len)
		snprintf(path, size, "/dev/fd/%d", dirfd);
	else if (!err && path[0] != '/' && dirfd != AT_FDCWD)
		err = name_below(dirfd, path, (size_t)len, size);
	if (err == -ENAMETOOLONG && *file) {
		file_put(*file);
		*file = NULL;
	}
	walk_done(&walk);
	return err;
}

int vfs_open_memory(struct inode *inode, struct file **file)
{
	return vfs_open_inode(inode, NULL, O_RDONLY, file);
}

int file_open_kernel(const char *path, struct file **file)
{
	return file_open_flags(path, O_RDONLY, file);
}

/* The console is a terminal, or to the program one end of a pipe. */
static const char *kind_of(struct file *file, const struct stat *st)
{
	const char *kind = file->ops->kind ? file->ops->kind : "file";
	return !strcmp(kind, "console") && S_ISFIFO(st->st_mode) ? "pipe" : kind;
}

const char *file_path(const struct file *file, char *buffer, size_t size)
{
	struct stat st = { 0 };
	char *path = file->dentry ? dentry_path(file->dentry, path_root(), buffer, size) : NULL;
	if (path)
		return path;
	file_stat((struct file *)file, &st);
	const char *kind = kind_of((struct file *)file, &st);
	if (file->inode && file->inode->fs == &memory_fs)
		snprintf(buffer, size, "/memfd:%s (deleted)", file->inode->target ? file->inode->target : "");
	else if (file->inode && S_ISREG(file->inode->mode)) /* O_TMPFILE */
		snprintf(buffer, size, "%s (deleted)", file->inode->target ? file->inode->target : "/");
	else if (!strcmp(kind, "console"))
		snprintf(buffer, size, "/dev/console");
	else if (!strcmp(kind, "pipe") || !strcmp(kind, "socket"))
		snprintf(buffer, size, "%s:[%lu]", kind, st.st_ino);
	else
		snprintf(buffer, size, "anon_inode:[%s]", kind);
	return buffer;
}

SYSCALL(memfd_create)
{
	char name[250];
	if (a[1] & ~(long)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
		return -EINVAL;
	int64_t len = user_string(name, a[0], sizeof(name));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	struct inode *inode = inode_new(&memory_fs, S_IFREG | 0777);
	struct file *file;
	if (!inode)
		return -ENOMEM;
	inode->nlink = 0;
	inode->seals = a[1] & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
	inode->target = kstrdup(name);
	int err = vfs_open_inode(inode, NULL, O_RDWR, &file);
	inode_put(inode);
	return err ? err : fd_install(file, 0, a[1] & MFD_CLOEXEC);
}
