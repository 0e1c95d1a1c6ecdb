/* SPDX-License-Identifier: Apache-2.0 */
/* Names made, removed and moved. */
#include "libos/fs/inotify.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

static long make_at(int dirfd, const char *path, uint32_t mode, uint64_t rdev)
{
	struct inode *inode;
	int err = vfs_mknod_at(dirfd, path, mode, rdev, &inode);
	if (!err)
		inode_put(inode);
	return err;
}

SYSCALL(mkdir)
{
	return make_at(AT_FDCWD, (const char *)a[0], S_IFDIR | ((uint32_t)a[1] & 01777 & ~path_umask()), 0);
}

SYSCALL(mkdirat)
{
	return make_at((int)a[0], (const char *)a[1], S_IFDIR | ((uint32_t)a[2] & 01777 & ~path_umask()), 0);
}

static long mknod_at(int dirfd, const char *path, uint32_t mode, uint64_t rdev)
{
	uint32_t type = mode & S_IFMT;
	if (type == S_IFDIR)
		return -EPERM;
	if (type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR && type != S_IFBLK)
		return -EINVAL;
	if ((type == S_IFCHR || type == S_IFBLK) && !capable(CAP_MKNOD))
		return -EPERM;
	return make_at(dirfd, path, (type ? type : S_IFREG) | (mode & 07777 & ~path_umask()), rdev);
}

SYSCALL(mknod)
{
	return mknod_at(AT_FDCWD, (const char *)a[0], (uint32_t)a[1], (uint64_t)a[2]);
}

SYSCALL(mknodat)
{
	return mknod_at((int)a[0], (const char *)a[1], (uint32_t)a[2], (uint64_t)a[3]);
}

/* The text is the link's from then on, where it is made here. */
static int symlink_make(int dirfd, const char *path, char *text)
{
	struct walk walk;
	struct inode *inode;
	int err = path_at(dirfd, path, WALK_CREATE | WALK_NAME, &walk);
	if (err)
		return err;
	if (walk.dentry && !walk.dentry->inode && walk.dentry->parent && remote_of(walk.dentry->parent->inode))
		err = walk.slash ? -ENOENT : vfs_symlink(walk.dentry, text) ? : 1;
	walk_done(&walk);
	if (err)
		return err;
	err = vfs_mknod_at(dirfd, path, S_IFLNK | 0777, 0, &inode);
	if (err)
		return err;
	inode->target = text;
	inode->size = strlen(text);
	inode_put(inode);
	return 0;
}

static long symlink_at(const char *target, int dirfd, const char *path)
{
	char *text = kmalloc(PATH_MAX);
	int64_t len = text ? user_string(text, target, PATH_MAX) : -ENOMEM;
	char *copy = len > 0 ? kstrdup(text) : NULL;
	kfree(text);
	if (len <= 0)
		return len ? len : -ENOENT;
	if (!copy)
		return -ENOMEM;
	int err = symlink_make(dirfd, path, copy);
	if (err)
		kfree(copy);
	return err < 0 ? err : 0;
}

SYSCALL(symlink)
{
	return symlink_at((const char *)a[0], AT_FDCWD, (const char *)a[1]);
}

SYSCALL(symlinkat)
{
	return symlink_at((const char *)a[0], (int)a[1], (const char *)a[2]);
}

/* ---- removal ---- */

/* May this name be taken away from its directory? (the sticky bit: only by the owner) */
static int removable(const struct dentry *dentry)
{
	const struct inode *dir = dentry->parent ? dentry->parent->inode : NULL;
	if (!dir || dentry == path_root())
		return -EBUSY;
	if (dir->fs->read_only)
		return dir->fs->remembered ? -EROFS : -EPERM;
	if (!dentry->hashed)
		return -ENOENT;
	if (dentry->inode && dentry->inode->fs != dir->fs)
		return -EBUSY; /* the root of another file system */
	int err = inode_permission(dir, LINUX_W_OK | LINUX_X_OK);
	if (!err && (dir->mode & S_ISVTX) && dir->uid != credentials()->fsuid && dentry->inode && !inode_is_own(dentry->inode))
		err = -EPERM;
	return err;
}

static void name_gone(struct inode *inode)
{
	if (S_ISDIR(inode->mode)) {
		inode->nlink = 0;
	} else if (inode->nlink) {
		inode->nlink--;
		fs_event(inode, NULL, IN_ATTRIB);
	}
}

static int remove_remote(struct dentry *dentry)
{
	struct inode *inode = dentry->inode;
	int err = remote_of(dentry->parent->inode)->remove(dentry);
	if (err)
		return err;
	name_gone(inode); /* until its server is asked again, which who watches it does not do */
	dentry_lost(dentry);
	return 0;
}

static int remove_name(struct dentry *dentry)
{
	struct inode *inode = dentry->inode, *dir = dentry->parent->inode;
	if (remote_of(dir))
		return remove_remote(dentry);
	int err = dentry_detach(dentry);
	if (err)
		return err;
	if (S_ISDIR(inode->mode)) {
		dentry_forget_children(dentry);
		dir->nlink--;
	}
	name_gone(inode);
	inode_touch(inode, TOUCH_CTIME);
	inode_touch(dir, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

static int check_rmdir(struct dentry *dentry)
{
	if (!S_ISDIR(dentry->inode->mode))
		return -ENOTDIR;
	int r = removable(dentry);
	if (r)
		return r;
	r = remote_of(dentry->inode) ? 1 : dir_is_empty(dentry); /* a server says so itself */
	return r < 0 ? r : r ? 0 : -ENOTEMPTY;
}

static int check_unlink(struct dentry *dentry)
{
	return S_ISDIR(dentry->inode->mode) ? -EISDIR : removable(dentry);
}

/* The directory's event comes after those of the file, which goes with the walk. */
static void walk_done_removed(struct walk *walk)
{
	struct inode *dir = walk->dentry->parent->inode;
	uint32_t event = S_ISDIR(walk->dentry->inode->mode) ? IN_DELETE | IN_ISDIR : IN_DELETE;
	size_t len = walk->dentry->name_len;
	char name[256];
	memcpy(name, walk->dentry->name, len);
	inode_get(dir);
	walk_done(walk);
	fs_event_name(dir, name, len, event);
	inode_put(dir);
}

static long remove_at(int dirfd, const char *path, bool dir)
{
	struct walk walk;
	int r = path_at(dirfd, path, WALK_NAME, &walk);
	if (r)
		return r;
	if (!walk.dentry)
		r = -EPERM;
	else if (walk.dots) /* "." and ".." cannot be removed or renamed */
		r = !dir ? -EISDIR : walk.dots == 1 ? -EINVAL : -ENOTEMPTY;
	else
		r = dir ? check_rmdir(walk.dentry) : check_unlink(walk.dentry);
	if (!r)
		r = remove_name(walk.dentry);
	if (!r && inotify_watches) {
		walk_done_removed(&walk);
		return 0;
	}
	walk_done(&walk);
	return r;
}

SYSCALL(unlink)
{
	return remove_at(AT_FDCWD, (const char *)a[0], false);
}

SYSCALL(rmdir)
{
	return remove_at(AT_FDCWD, (const char *)a[0], true);
}

SYSCALL(unlinkat)
{
	if (a[2] & ~(long)AT_REMOVEDIR)
		return -EINVAL;
	return remove_at((int)a[0], (const char *)a[1], a[2] & AT_REMOVEDIR);
}

/* ---- hard links ---- */

/* fs.protected_hardlinks: a name of a file that one could not have made so gives it a life that its owner does not know of. */
static bool may_be_linked(const struct inode *inode)
{
	bool runs_as_others = inode->mode & S_ISUID || (inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	return inode_is_own(inode) || (S_ISREG(inode->mode) && !runs_as_others && !inode_permission(inode, LINUX_R_OK | LINUX_W_OK));
}

static int link_to(struct inode *inode, struct walk *to)
{
	if (to->file || to->dentry->inode)
		return -EEXIST;
	if (to->slash)
		return -ENOENT;
	struct inode *dir = to->dentry->parent->inode;
	if (S_ISDIR(inode->mode))
		return -EPERM;
	if (inode->fs != dir->fs)
		return -EXDEV;
	if (dir->fs->read_only)
		return -EROFS;
	if (!may_be_linked(inode))
		return -EPERM;
	int err = inode_permission(dir, LINUX_W_OK | LINUX_X_OK);
	if (err)
		return err;
	if (remote_of(dir)) {
		err = remote_of(dir)->link(inode, to->dentry);
		if (err)
			return err;
	} else {
		if (!inode->nlink && !inode->linkable)
			return -ENOENT; /* what was removed does not come back */
		inode->linkable = false;
		inode_get(inode);
		inode->nlink++;
		dentry_attach(to->dentry, inode);
		inode_touch(inode, TOUCH_CTIME);
		inode_touch(dir, TOUCH_MTIME | TOUCH_CTIME);
	}
	fs_event(inode, NULL, IN_ATTRIB);
	fs_event_name(dir, to->dentry->name, to->dentry->name_len, IN_CREATE);
	return 0;
}

static long link_at(int from_fd, const char *from_path, int to_fd, const char *to_path, int flags)
{
	struct walk from, to;
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int err = path_at(from_fd, from_path, (flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0), &from);
	if (err)
		return err;
	struct inode *inode = from.file ? from.file->inode : from.dentry->inode;
	err = inode ? path_at(to_fd, to_path, WALK_CREATE | WALK_NAME, &to) : -EXDEV;
	if (!err) {
		err = link_to(inode, &to);
		walk_done(&to);
	}
	walk_done(&from);
	return err;
}

SYSCALL(link)
{
	return link_at(AT_FDCWD, (const char *)a[0], AT_FDCWD, (const char *)a[1], 0);
}

SYSCALL(linkat)
{
	return link_at((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (int)a[4]);
}

/* ---- rename ---- */

static bool is_dir(const struct dentry *dentry)
{
	return dentry->inode && S_ISDIR(dentry->inode->mode);
}

static int check_replaced(struct dentry *from, struct dentry *to)
{
	if (is_dir(from) && !is_dir(to))
		return -ENOTDIR;
	if (is_dir(to))
		return is_dir(from) ? check_rmdir(to) : -EISDIR;
	return 0;
}

/* A directory that moves to another one takes its ".." along. */
static void move_link_count(const struct dentry *what, struct inode *from, struct inode *to)
{
	if (!is_dir(what) || from == to)
		return;
	from->nlink--;
	to->nlink++;
}

/* from is still where it was, and about to be where to is. */
static void tell_move(const struct dentry *from, const struct dentry *to)
{
	uint32_t dir = is_dir(from) ? IN_ISDIR : 0, cookie = inotify_cookie();
	inotify_tell_name(from->parent->inode, from->name, from->name_len, IN_MOVED_FROM | dir, cookie);
	inotify_tell_name(to->parent->inode, to->name, to->name_len, IN_MOVED_TO | dir, cookie);
}

static int rename_over(struct dentry *from, struct dentry *to)
{
	struct inode *from_dir = from->parent->inode, *to_dir = to->parent->inode;
	int err = 0;
	if (to->inode)
		err = check_replaced(from, to);
	if (!err && inotify_watches)
		tell_move(from, to);
	if (!err && to->inode)
		err = remove_name(to);
	if (!err)
		err = dentry_move(from, to);
	if (err)
		return err;
	move_link_count(from, from_dir, to_dir);
	inode_touch(from_dir, TOUCH_MTIME | TOUCH_CTIME);
	inode_touch(to_dir, TOUCH_MTIME | TOUCH_CTIME);
	inode_touch(from->inode, TOUCH_CTIME);
	fs_event(from->inode, NULL, IN_MOVE_SELF);
	return 0;
}

static int rename_swap(struct dentry *from, struct dentry *to)
{
	struct inode *from_dir = from->parent->inode, *to_dir = to->parent->inode;
	if (inotify_watches) {
		tell_move(from, to);
		tell_move(to, from);
	}
	int err = dentry_exchange(from, to);
	if (err)
		return err;
	move_link_count(from, from_dir, to_dir);
	move_link_count(to, to_dir, from_dir);
	inode_touch(from_dir, TOUCH_MTIME | TOUCH_CTIME);
	inode_touch(to_dir, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

static int rename_remote(struct dentry *from, struct dentry *to, uint32_t flags)
{
	bool swap = flags & LINUX_RENAME_EXCHANGE;
	int err = remote_of(from->parent->inode)->rename(from, to, flags);
	if (err)
		return err;
	if (inotify_watches)
		tell_move(from, to);
	if (inotify_watches && swap)
		tell_move(to, from);
	if (to->inode && to->inode != from->inode && !swap)
		name_gone(to->inode);
	err = dentry_moved(from, to, swap);
	fs_event(from->inode, NULL, IN_MOVE_SELF);
	return err;
}

/* What is wrong with the names themselves, in the order in which Linux looks. */
static int check_names(const struct walk *from, const struct walk *to, uint32_t flags)
{
	const struct dentry *a = from->dentry, *b = to->dentry;
	bool swap = flags & LINUX_RENAME_EXCHANGE;
	if (!a->parent || !b->parent)
		return -EBUSY;
	if (a->parent->inode->fs != b->parent->inode->fs)
		return -EXDEV;
	if (a->parent->inode->fs->read_only)
		return removable(a);
	if (!a->hashed)
		return -ENOENT;
	if (b->inode && (flags & LINUX_RENAME_NOREPLACE))
		return -EEXIST;
	if (swap && !b->inode)
		return -ENOENT;
	if ((swap && !is_dir(b) && to->slash) || (!is_dir(a) && (from->slash || (!swap && to->slash))))
		return -ENOTDIR;
	if (dentry_is_below(b->parent, a))
		return -EINVAL;
	return b->inode && dentry_is_below(a->parent, b) ? swap ? -EINVAL : -ENOTEMPTY : 0;
}

/* A directory that moves to another one is written to, as its ".." changes. */
static int check_parent_change(const struct dentry *what, const struct dentry *to)
{
	return is_dir(what) && what->parent->inode != to->parent->inode ? inode_permission(what->inode, LINUX_W_OK) : 0;
}

static int check_rights(const struct dentry *a, const struct dentry *b, uint32_t flags)
{
	int err = removable(a);
	if (err)
		return err;
	if (b->parent->parent && !b->parent->hashed && !remote_of(b->parent->inode)) /* a server says so itself */
		return -ENOENT;
	err = b->inode ? removable(b) : inode_permission(b->parent->inode, LINUX_W_OK | LINUX_X_OK);
	if (!err)
		err = check_parent_change(a, b);
	return err || !(flags & LINUX_RENAME_EXCHANGE) ? err : check_parent_change(b, a);
}

static int rename_walked(struct walk *from, struct walk *to, uint32_t flags)
{
	if (!from->dentry || !to->dentry)
		return -EXDEV;
	struct dentry *a = from->dentry, *b = to->dentry;
	int err = check_names(from, to, flags);
	if (err || a->inode == b->inode) /* one file: nothing to do, whatever the flags and rights */
		return err;
	err = check_rights(a, b, flags);
	if (err)
		return err;
	if (remote_of(a->parent->inode))
		return rename_remote(a, b, flags);
	return flags & LINUX_RENAME_EXCHANGE ? rename_swap(a, b) : rename_over(a, b);
}

static long rename_at(int from_fd, const char *from_path, int to_fd, const char *to_path, uint32_t flags)
{
	struct walk from, to;
	if ((flags & ~(LINUX_RENAME_NOREPLACE | LINUX_RENAME_EXCHANGE)) || flags == (LINUX_RENAME_NOREPLACE | LINUX_RENAME_EXCHANGE))
		return -EINVAL;
	int err = path_at(from_fd, from_path, WALK_NAME, &from);
	if (err)
		return err;
	err = path_at(to_fd, to_path, WALK_CREATE | WALK_NAME, &to);
	if (!err) {
		err = from.dots ? -EBUSY : to.dots ? flags & LINUX_RENAME_NOREPLACE ? -EEXIST : -EBUSY : rename_walked(&from, &to, flags);
		walk_done(&to);
	}
	walk_done(&from);
	return err;
}

SYSCALL(rename)
{
	return rename_at(AT_FDCWD, (const char *)a[0], AT_FDCWD, (const char *)a[1], 0);
}

SYSCALL(renameat)
{
	return rename_at((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], 0);
}

SYSCALL(renameat2)
{
	return rename_at((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (uint32_t)a[4]);
}
