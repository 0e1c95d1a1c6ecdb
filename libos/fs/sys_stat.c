/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about files, and changes of their attributes. */
#include "libos/fs/inotify.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/capability.h>

#define HANDLE_MOST 128 /* MAX_HANDLE_SZ */

static int walked_stat(const struct walk *walk, struct stat *st)
{
	if (walk->file)
		return file_stat(walk->file, st);
	int err = inode_refresh(walk->dentry->inode);
	if (!err)
		inode_stat(walk->dentry->inode, st);
	return err;
}

static unsigned follow_unless(bool no_follow)
{
	return no_follow ? 0 : WALK_FOLLOW;
}

#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)

static unsigned at_flags(int flags)
{
	return follow_unless(flags & AT_SYMLINK_NOFOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
}

static int stat_at(int dirfd, const char *path, unsigned flags, struct stat *st)
{
	struct walk walk;
	int err = path_at(dirfd, path, flags, &walk);
	if (err)
		return err;
	err = walked_stat(&walk, st);
	walk_done(&walk);
	return err;
}

static long stat_to_user(int dirfd, const char *path, unsigned flags, long to)
{
	struct stat st;
	int err = stat_at(dirfd, path, flags, &st);
	if (err)
		return err;
	return user_put(to, st);
}

SYSCALL(stat)
{
	return stat_to_user(AT_FDCWD, (const char *)a[0], WALK_FOLLOW, a[1]);
}

SYSCALL(lstat)
{
	return stat_to_user(AT_FDCWD, (const char *)a[0], 0, a[1]);
}

SYSCALL(newfstatat)
{
	if (a[3] & ~(long)STAT_FLAGS)
		return -EINVAL;
	return stat_to_user((int)a[0], (const char *)a[1], at_flags((int)a[3]), a[2]);
}

SYSCALL(fstat)
{
	struct file *file = fd_get((int)a[0]);
	struct stat st;
	if (!file)
		return -EBADF;
	int err = file_stat(file, &st);
	return err ? err : user_put(a[1], st);
}

static struct statx_timestamp statx_time(uint64_t seconds, uint64_t ns)
{
	return (struct statx_timestamp){ .tv_sec = (int64_t)seconds, .tv_nsec = (uint32_t)ns };
}

/* STATX_ATTR_MOUNT_ROOT for where something is mounted. */
static uint64_t mount_root_of(const struct walk *walk)
{
	const struct dentry *dentry = walk->dentry, *parent = dentry ? dentry->parent : NULL;
	return dentry && dentry->inode && (!parent || !parent->inode || parent->inode->fs != dentry->inode->fs) ? STATX_ATTR_MOUNT_ROOT : 0;
}

static uint64_t birth_of(const struct walk *walk)
{
	const struct inode *inode = walk->file ? walk->file->inode : walk->dentry->inode;
	return inode && inode->fs->remembered ? inode->btime : 0;
}

SYSCALL(statx)
{
	struct stat st;
	uint64_t born, attributes;
	struct walk walk;
	if ((a[3] & STATX__RESERVED) || (a[2] & ~(long)(STAT_FLAGS | AT_STATX_SYNC_TYPE)) || (a[2] & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	int err = path_at((int)a[0], (const char *)a[1], at_flags((int)a[2]), &walk);
	if (err)
		return err;
	err = walked_stat(&walk, &st);
	born = birth_of(&walk);
	attributes = mount_root_of(&walk);
	walk_done(&walk);
	if (err)
		return err;
	const struct statx out = {
		.stx_mask = STATX_BASIC_STATS | (born ? STATX_BTIME : 0), .stx_btime = statx_time(born / NS_PER_S, born % NS_PER_S), .stx_blksize = (uint32_t)st.st_blksize, .stx_nlink = (uint32_t)st.st_nlink,
		.stx_attributes = attributes, .stx_attributes_mask = STATX_ATTR_MOUNT_ROOT,
		.stx_uid = st.st_uid, .stx_gid = st.st_gid, .stx_mode = (uint16_t)st.st_mode, .stx_ino = st.st_ino,
		.stx_size = (uint64_t)st.st_size, .stx_blocks = (uint64_t)st.st_blocks,
		.stx_atime = statx_time(st.st_atime, st.st_atime_nsec), .stx_mtime = statx_time(st.st_mtime, st.st_mtime_nsec),
		.stx_ctime = statx_time(st.st_ctime, st.st_ctime_nsec),
		.stx_rdev_major = LINUX_MAJOR(st.st_rdev), .stx_rdev_minor = LINUX_MINOR(st.st_rdev),
		.stx_dev_major = LINUX_MAJOR(st.st_dev), .stx_dev_minor = LINUX_MINOR(st.st_dev),
	};
	return user_put(a[4], out);
}

static long access_at(int dirfd, const char *path, int mask, unsigned flags, bool effective)
{
	struct walk walk;
	if (mask & ~7)
		return -EINVAL;
	int err = path_at(dirfd, path, flags, &walk);
	if (err)
		return err;
	const struct inode *inode = walk.file ? walk.file->inode : walk.dentry->inode;
	if (inode && (mask & LINUX_W_OK) && S_ISREG(inode->mode) && inode_is_frozen(inode))
		err = -EROFS;
	else if (inode && mask)
		err = effective ? inode_permission(inode, mask) : inode_permission_real(inode, mask);
	if (!err && inode && (mask & LINUX_W_OK) && inode->fs->read_only && S_ISDIR(inode->mode))
		err = -EROFS;
	walk_done(&walk);
	return err;
}

SYSCALL(access)
{
	return access_at(AT_FDCWD, (const char *)a[0], (int)a[1], WALK_FOLLOW, false);
}

SYSCALL(faccessat)
{
	return access_at((int)a[0], (const char *)a[1], (int)a[2], WALK_FOLLOW, false);
}

SYSCALL(faccessat2)
{
	if (a[3] & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS))
		return -EINVAL;
	return access_at((int)a[0], (const char *)a[1], (int)a[2], at_flags((int)a[3]), a[3] & AT_EACCESS);
}

static long readlink_of(struct inode *inode, uaddr_t to, int64_t size)
{
	char *text = kmalloc(PATH_MAX);
	if (!text)
		return -ENOMEM;
	int64_t len;
	if (inode->ops && inode->ops->readlink) {
		len = inode->ops->readlink(inode, text, PATH_MAX);
	} else {
		len = (int64_t)strlen(inode->target);
		memcpy(text, inode->target, (size_t)len);
	}
	len = MIN(len, size);
	if (len > 0 && user_write(to, text, (size_t)len))
		len = -EFAULT;
	kfree(text);
	return len;
}

static long readlink_at(int dirfd, const char *path, uaddr_t to, int64_t size)
{
	struct walk walk;
	char first;
	if (size <= 0)
		return -EINVAL;
	if (user_get(&first, path))
		return -EFAULT;
	long r = path_at(dirfd, path, WALK_EMPTY, &walk);
	if (r)
		return r;
	struct inode *inode = walk.file ? walk.file->inode : walk.dentry->inode;
	if (!inode || !S_ISLNK(inode->mode))
		r = first ? -EINVAL : -ENOENT; /* the descriptor itself is no link */
	else
		r = readlink_of(inode, to, size);
	walk_done(&walk);
	return r;
}

SYSCALL(readlink)
{
	return readlink_at(AT_FDCWD, (const char *)a[0], (uaddr_t)a[1], (int)a[2]);
}

SYSCALL(readlinkat)
{
	return readlink_at((int)a[0], (const char *)a[1], (uaddr_t)a[2], (int)a[3]);
}

/* ---- attributes ---- */

/* Can the attributes be changed at all? */
static int changeable(const struct inode *inode)
{
	return !inode ? -EINVAL : !inode->fs->read_only ? 0 : inode_is_frozen(inode) ? -EROFS : -EPERM;
}

static long chmod_inode(struct inode *inode, uint32_t mode)
{
	int err = changeable(inode);
	if (err)
		return err;
	if (S_ISLNK(inode->mode))
		return -EOPNOTSUPP;
	if (!inode_is_own(inode))
		return -EPERM;
	if (!in_group(inode->gid) && !capable(CAP_FSETID))
		mode &= ~(uint32_t)S_ISGID;
	if (remote_of(inode))
		return inode_change(inode, &(struct attr_change){ .what = CHANGE_MODE, .mode = mode & 07777 });
	inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
	inode_touch(inode, TOUCH_CTIME);
	return 0;
}

/* An owner may give a file to a group that he is in, to another user only who has the right. */
static bool may_give(const struct inode *inode, uint32_t uid, uint32_t gid)
{
	bool own = inode->uid == credentials()->fsuid;
	if (capable(CAP_CHOWN))
		return true;
	if (uid != UINT32_MAX && !(own && uid == inode->uid))
		return false;
	return gid == UINT32_MAX || (own && (gid == inode->gid || in_group(gid)));
}

static long chown_inode(struct inode *inode, uint32_t uid, uint32_t gid)
{
	int err = changeable(inode);
	if (err)
		return err;
	if (!may_give(inode, uid, gid))
		return -EPERM;
	if (remote_of(inode))
		return inode_change(inode, &(struct attr_change){ .what = (uid != UINT32_MAX ? CHANGE_UID : 0) | (gid != UINT32_MAX ? CHANGE_GID : 0), .uid = uid, .gid = gid });
	if (uid != UINT32_MAX)
		inode->uid = uid;
	if (gid != UINT32_MAX)
		inode->gid = gid;
	if (!S_ISDIR(inode->mode)) /* set-id programs of another owner: not even by root */
		inode->mode &= ~(uint32_t)(S_ISUID | (inode->mode & S_IXGRP ? S_ISGID : 0));
	inode_touch(inode, TOUCH_CTIME);
	return 0;
}

static struct inode *walked_inode(const struct walk *walk)
{
	return walk->file ? walk->file->inode : walk->dentry->inode;
}

static long chmod_at(int dirfd, const char *path, uint32_t mode, unsigned flags)
{
	struct walk walk;
	long r = path_at(dirfd, path, flags, &walk);
	if (r)
		return r;
	r = chmod_inode(walked_inode(&walk), mode);
	if (!r)
		fs_event(walked_inode(&walk), walk.dentry, IN_ATTRIB);
	walk_done(&walk);
	return r;
}

static long chown_at(int dirfd, const char *path, uint32_t uid, uint32_t gid, unsigned flags)
{
	struct walk walk;
	long r = path_at(dirfd, path, flags, &walk);
	if (r)
		return r;
	r = chown_inode(walked_inode(&walk), uid, gid);
	if (!r)
		fs_event(walked_inode(&walk), walk.dentry, IN_ATTRIB);
	walk_done(&walk);
	return r;
}

SYSCALL(chmod)
{
	return chmod_at(AT_FDCWD, (const char *)a[0], (uint32_t)a[1], WALK_FOLLOW);
}

SYSCALL(fchmodat)
{
	return chmod_at((int)a[0], (const char *)a[1], (uint32_t)a[2], WALK_FOLLOW);
}

/* ENOTSUP is what Linux answers where a file system has no such names for what is open. */
SYSCALL(name_to_handle_at)
{
	struct walk walk;
	if (a[4] & ~(long)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int err = path_at((int)a[0], (const char *)a[1], (a[4] & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0) | (a[4] & AT_EMPTY_PATH ? WALK_EMPTY : 0), &walk);
	if (err)
		return err;
	walk_done(&walk);
	return -EOPNOTSUPP;
}

/* There are none here that could be opened: what is given is looked at as Linux does where a file system has none. */
SYSCALL(open_by_handle_at)
{
	struct {
		uint32_t bytes;
		int32_t type;
		uint8_t bytes_of_it[HANDLE_MOST];
	} handle;
	const size_t head = offsetof(typeof(handle), bytes_of_it);
	if (!capable(CAP_DAC_READ_SEARCH))
		return -EPERM;
	if (user_read(&handle, (const void *)a[1], head))
		return -EFAULT;
	if (!handle.bytes || handle.bytes > HANDLE_MOST)
		return -EINVAL;
	if (user_read(handle.bytes_of_it, (const char *)a[1] + head, handle.bytes))
		return -EFAULT;
	return (int)a[0] == AT_FDCWD || fd_get((int)a[0]) ? -ESTALE : -EBADF;
}

SYSCALL(fchmod)
{
	struct file *file;
	long r = fd_take((int)a[0], &file); /* of a live volume it may wait, and another thread close the descriptor */
	if (r)
		return r;
	r = file->flags & O_PATH ? -EBADF : chmod_inode(file->inode, (uint32_t)a[1]);
	if (!r)
		fs_event_file(file, IN_ATTRIB);
	file_put(file);
	return r;
}

SYSCALL(chown)
{
	return chown_at(AT_FDCWD, (const char *)a[0], (uint32_t)a[1], (uint32_t)a[2], WALK_FOLLOW);
}

SYSCALL(lchown)
{
	return chown_at(AT_FDCWD, (const char *)a[0], (uint32_t)a[1], (uint32_t)a[2], 0);
}

SYSCALL(fchownat)
{
	if (a[4] & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return chown_at((int)a[0], (const char *)a[1], (uint32_t)a[2], (uint32_t)a[3], at_flags((int)a[4]));
}

SYSCALL(fchown)
{
	struct file *file;
	long r = fd_take((int)a[0], &file); /* of a live volume it may wait, and another thread close the descriptor */
	if (r)
		return r;
	r = file->flags & O_PATH ? -EBADF : chown_inode(file->inode, (uint32_t)a[1], (uint32_t)a[2]);
	if (!r)
		fs_event_file(file, IN_ATTRIB);
	file_put(file);
	return r;
}

/* ---- times ---- */

#define TIME_FAR ((int64_t)(INT64_MAX / NS_PER_S) - 1) /* seconds before and after 1970 that an inode can have */

static int one_time(const struct timespec *ts, uint64_t *time)
{
	if (ts->tv_nsec == LINUX_UTIME_OMIT)
		return 0;
	if (ts->tv_nsec == LINUX_UTIME_NOW)
		*time = clock_realtime();
	else if (ts->tv_nsec < 0 || ts->tv_nsec >= (long)NS_PER_S)
		return -EINVAL;
	else
		*time = (uint64_t)(MAX(-TIME_FAR, MIN(ts->tv_sec, TIME_FAR)) * (int64_t)NS_PER_S + ts->tv_nsec);
	return 0;
}

/* The owner may set any time; who may write can say "now". */
static int times_allowed(const struct inode *inode, const struct timespec ts[2])
{
	int err = changeable(inode);
	if (err || inode_is_own(inode))
		return err;
	if (ts[0].tv_nsec == LINUX_UTIME_NOW && ts[1].tv_nsec == LINUX_UTIME_NOW)
		return inode_permission(inode, LINUX_W_OK);
	return -EPERM;
}

static int set_remote_times(struct inode *inode, const struct timespec ts[2])
{
	struct attr_change change = { .atime = { (uint64_t)ts[0].tv_sec, ts[0].tv_nsec }, .mtime = { (uint64_t)ts[1].tv_sec, ts[1].tv_nsec } };
	if (ts[0].tv_nsec != LINUX_UTIME_OMIT)
		change.what |= ts[0].tv_nsec == LINUX_UTIME_NOW ? CHANGE_ATIME_NOW : CHANGE_ATIME;
	if (ts[1].tv_nsec != LINUX_UTIME_OMIT)
		change.what |= ts[1].tv_nsec == LINUX_UTIME_NOW ? CHANGE_MTIME_NOW : CHANGE_MTIME;
	return inode_change(inode, &change);
}

static long set_times(struct inode *inode, const struct dentry *dentry, const struct timespec ts[2])
{
	if (ts[0].tv_nsec == LINUX_UTIME_OMIT && ts[1].tv_nsec == LINUX_UTIME_OMIT)
		return 0;
	int r = times_allowed(inode, ts);
	uint64_t atime = r ? 0 : inode->atime, mtime = r ? 0 : inode->mtime;
	if (!r)
		r = one_time(&ts[0], &atime);
	if (!r)
		r = one_time(&ts[1], &mtime);
	if (r)
		return r;
	if (remote_of(inode)) {
		r = set_remote_times(inode, ts);
		if (r)
			return r;
	} else {
		inode->atime = atime;
		inode->mtime = mtime;
		inode_touch(inode, TOUCH_CTIME);
	}
	fs_event(inode, dentry, ts[0].tv_nsec == LINUX_UTIME_OMIT ? IN_MODIFY : ts[1].tv_nsec == LINUX_UTIME_OMIT ? IN_ACCESS : IN_ATTRIB);
	return 0;
}

static long times_at(int dirfd, const char *path, const struct timespec ts[2], unsigned flags)
{
	struct walk walk;
	if (!path && dirfd != AT_FDCWD) { /* futimens */
		struct file *file;
		long r = fd_take(dirfd, &file);
		if (r)
			return r;
		r = set_times(file->inode, file->dentry, ts);
		file_put(file);
		return r;
	}
	long r = path_at(dirfd, path, flags, &walk);
	if (r)
		return r;
	r = set_times(walked_inode(&walk), walk.dentry, ts);
	walk_done(&walk);
	return r;
}

static const struct timespec both_now[2] = { { .tv_nsec = LINUX_UTIME_NOW }, { .tv_nsec = LINUX_UTIME_NOW } };

SYSCALL(utimensat)
{
	struct timespec ts[2];
	if (a[3] & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (a[2] && user_read(ts, a[2], sizeof(ts)))
		return -EFAULT;
	if (a[2] && ts[0].tv_nsec == LINUX_UTIME_OMIT && ts[1].tv_nsec == LINUX_UTIME_OMIT)
		return 0; /* nothing to do, whatever the path */
	if (!a[1] && a[3])
		return -EINVAL;
	return times_at((int)a[0], (const char *)a[1], a[2] ? ts : both_now, at_flags((int)a[3]));
}

static long times_us(int dirfd, const char *path, long user)
{
	struct timeval time[2];
	struct timespec ts[2];
	if (!user)
		return times_at(dirfd, path, both_now, WALK_FOLLOW);
	if (user_read(time, user, sizeof(time)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (time[i].tv_usec < 0 || time[i].tv_usec >= 1000000)
			return -EINVAL;
		ts[i] = (struct timespec){ .tv_sec = time[i].tv_sec, .tv_nsec = time[i].tv_usec * 1000 };
	}
	return times_at(dirfd, path, ts, WALK_FOLLOW);
}

SYSCALL(utimes)
{
	return times_us(AT_FDCWD, (const char *)a[0], a[1]);
}

SYSCALL(futimesat)
{
	return times_us((int)a[0], (const char *)a[1], a[2]);
}

SYSCALL(utime)
{
	long seconds[2];
	if (!a[1])
		return times_at(AT_FDCWD, (const char *)a[0], both_now, WALK_FOLLOW);
	if (user_read(seconds, a[1], sizeof(seconds)))
		return -EFAULT;
	struct timespec ts[2] = { { .tv_sec = seconds[0] }, { .tv_sec = seconds[1] } };
	return times_at(AT_FDCWD, (const char *)a[0], ts, WALK_FOLLOW);
}

/* ---- file systems ---- */

static long statfs_inode(struct inode *inode, long to)
{
	const struct fs *fs = inode ? inode->fs : &memory_fs;
	struct statfs out = { .f_type = fs->magic, .f_bsize = 4096, .f_frsize = 4096, .f_namelen = NAME_MAX, .f_flags = 0x20 };
	if (fs->remembered) {
		out.f_blocks = (page_total_bytes() + ALIGN_UP(device_page->image_size, 4096)) / 4096;
		out.f_bfree = out.f_bavail = page_free_bytes() / 4096;
		out.f_files = out.f_ffree = page_free_bytes() / 1024;
	}
	if (remote_of(inode)) {
		int err = remote_of(inode)->statfs(inode, &out);
		if (err)
			return err;
	}
	if (fs->room) {
		out.f_blocks = (long)fs->room->most;
		out.f_bfree = out.f_bavail = MIN((long)(fs->room->most - MIN(fs->room->most, fs->room->used)), out.f_bfree);
	}
	out.f_flags |= inode && inode_is_frozen(inode) ? 1 : 0; /* ST_RDONLY */
	return user_put(to, out);
}

SYSCALL(statfs)
{
	struct walk walk;
	long r = path_at(AT_FDCWD, (const char *)a[0], WALK_FOLLOW, &walk);
	if (r)
		return r;
	r = statfs_inode(walked_inode(&walk), a[1]);
	walk_done(&walk);
	return r;
}

SYSCALL(fstatfs)
{
	struct file *file = fd_get((int)a[0]);
	if (!file)
		return -EBADF;
	file_get(file);
	long r = statfs_inode(file->inode, a[1]);
	file_put(file);
	return r;
}

/* By the device number: of the root, as all that was asked with this call is known by statfs now. */
SYSCALL(ustat)
{
	struct { int32_t free, pad; uint64_t inodes; char name[6], pack[6], pad2[4]; } out = { .free = (int32_t)(page_free_bytes() / LV_PAGE), .inodes = page_free_bytes() / 1024 };

	static_assert(sizeof(out) == 32, "struct ustat");
	if ((uint32_t)a[0] != path_root()->inode->fs->dev)
		return -EINVAL;
	return user_put(a[1], out);
}
