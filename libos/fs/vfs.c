/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes: what a file is, apart from its names. And how the tree begins. */
#include "libos/dev/dev.h"
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"

#include "libos/proc/proc.h"

const struct fs root_fs = { .name = "overlay", .dev = LINUX_DEV(0, 21), .magic = 0x794c7630, .remembered = true };
const struct fs memory_fs = { .name = "tmpfs", .dev = LINUX_DEV(0, 1), .magic = 0x01021994, .remembered = true };

static uint64_t last_ino = 1ull << 32; /* above those of the image */

static void now_all(struct inode *inode)
{
	inode->atime = inode->mtime = inode->ctime = clock_realtime();
}

struct inode *inode_new(const struct fs *fs, uint32_t mode)
{
	struct inode *inode = kzalloc(sizeof(*inode));
	if (!inode)
		return NULL;
	inode->fs = fs;
	inode->refs = 1;
	inode->mode = mode;
	inode->nlink = S_ISDIR(mode) ? 2 : 1;
	inode->uid = credentials()->fsuid;
	inode->gid = credentials()->fsgid;
	inode->ino = ++last_ino;
	inode->dirty = true;
	now_all(inode);
	inode->btime = inode->ctime;
	return inode;
}

void inode_get(struct inode *inode)
{
	inode->refs++;
}

void inode_put(struct inode *inode)
{
	if (--inode->refs) {
		if (inode->watched && !inode->nlink)
			inotify_inode_unused(inode);
		return;
	}
	if (inode->lower && !image_inode_drop(inode))
		return;
	if (inode->ops && inode->ops->free)
		inode->ops->free(inode);
	inode_cut(inode, 0, UINT64_MAX);
	xattrs_free(inode);
	kfree(inode->target);
	kfree(inode);
}

void inode_touch(struct inode *inode, int what)
{
	uint64_t now = clock_realtime();
	if (inode_is_frozen(inode) || remote_of(inode))
		return;
	inode->dirty = true;
	if (what & TOUCH_ATIME)
		inode->atime = now;
	if (what & TOUCH_MTIME)
		inode->mtime = now;
	if (what & TOUCH_CTIME)
		inode->ctime = now;
}

static uint64_t blocks_of(const struct inode *inode)
{
	uint64_t bytes = inode->pages.count * 4096;
	if (remote_of(inode))
		return inode->lower_size / 512;
	if (inode->lower && inode->lower_size > bytes)
		bytes = inode->lower_size;
	return ALIGN_UP(bytes, 4096) / 512;
}

/* Times before 1970 are negative; the nanoseconds never are. */
static void split(uint64_t time, unsigned long *seconds, unsigned long *nsec)
{
	int64_t ns = (int64_t)time, rest = ns % (int64_t)NS_PER_S;
	*nsec = (unsigned long)(rest < 0 ? rest + (int64_t)NS_PER_S : rest);
	*seconds = (unsigned long)((ns - (int64_t)*nsec) / (int64_t)NS_PER_S);
}

void inode_stat(const struct inode *inode, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_dev = inode->fs->dev;
	st->st_ino = inode->ino;
	st->st_nlink = inode->nlink;
	st->st_mode = inode->mode;
	st->st_uid = inode->uid;
	st->st_gid = inode->gid;
	st->st_rdev = inode->rdev;
	st->st_size = (long)inode->size;
	st->st_blksize = 4096;
	st->st_blocks = (long)blocks_of(inode);
	split(inode->atime, &st->st_atime, &st->st_atime_nsec);
	split(inode->mtime, &st->st_mtime, &st->st_mtime_nsec);
	split(inode->ctime, &st->st_ctime, &st->st_ctime_nsec);
}

/* Does the mode let a user do this, who is one of the file's group or not? */
static bool mode_permits(const struct inode *inode, int mask, bool owner, bool group)
{
	uint32_t bits = owner ? inode->mode >> 6 : group ? inode->mode >> 3 : inode->mode;

	return !(mask & ~bits & 7);
}

/* The superuser may do all but execute what nobody may. */
static bool right_overrides(const struct inode *inode, int mask)
{
	return !(mask & LINUX_X_OK) || S_ISDIR(inode->mode) || (inode->mode & 0111);
}

int inode_permission(const struct inode *inode, int mask)
{
	if (capable(CAP_DAC_OVERRIDE) && right_overrides(inode, mask))
		return 0;
	if (capable(CAP_DAC_READ_SEARCH) && !(mask & LINUX_W_OK) && (S_ISDIR(inode->mode) || !(mask & LINUX_X_OK)))
		return 0;
	return mode_permits(inode, mask, inode->uid == credentials()->fsuid, in_group(inode->gid)) ? 0 : -EACCES;
}

int inode_permission_real(const struct inode *inode, int mask)
{
	const struct credentials *ids = credentials();
	bool group = inode->gid == ids->gid || (inode->gid != ids->fsgid && in_group(inode->gid));

	if (!ids->uid && (ids->permitted & (1ull << CAP_DAC_OVERRIDE)) && right_overrides(inode, mask))
		return 0;
	return mode_permits(inode, mask, inode->uid == ids->uid, group) ? 0 : -EACCES;
}

bool inode_is_own(const struct inode *inode)
{
	return inode->uid == credentials()->fsuid || capable(CAP_FOWNER);
}

void inode_drop_set_id(struct inode *inode)
{
	if (remote_of(inode))
		return; /* who wrote it did that */
	uint32_t drop = inode->mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID;

	if (S_ISREG(inode->mode) && (inode->mode & drop) && !capable(CAP_FSETID))
		inode->mode &= ~drop;
}

int inode_change(struct inode *inode, const struct attr_change *change)
{
	inode_get(inode);
	int err = remote_of(inode)->change(inode, change);
	inode_put(inode);
	return err;
}

int file_stat(struct file *file, struct stat *st)
{
	if (file->ops->stat)
		return file->ops->stat(file, st);
	memset(st, 0, sizeof(*st));
	if (file->inode) {
		file_get(file);
		int err = inode_refresh(file->inode);
		if (!err)
			inode_stat(file->inode, st);
		file_put(file);
		return err;
	}
	st->st_dev = LINUX_DEV(0, 14); /* all anonymous files share one inode, as on Linux */
	st->st_ino = 1;
	st->st_nlink = 1;
	st->st_mode = 0600;
	st->st_blksize = 4096;
	return 0;
}

/* A directory of the root: over what the image may have there if it is another file system, else only if missing. */
static void root_dir(const char *name, struct inode *over, uint32_t mode)
{
	struct dentry *dentry;
	size_t len = strlen(name);
	if (dentry_lookup(path_root(), name, len, &dentry))
		panic("no memory for the root directory");
	if (over && dentry->inode) {
		dentry_detach(dentry);
		dentry_put(dentry);
		dentry_lookup(path_root(), name, len, &dentry);
	}
	if (!dentry->inode) {
		struct inode *inode = over ? over : inode_new(&root_fs, S_IFDIR | mode);
		if (!inode)
			panic("no memory for /%s", name);
		dentry_attach(dentry, inode);
		path_root()->inode->nlink++;
	}
	dentry_put(dentry);
}

void path_enter(const char *path)
{
	struct walk walk;
	if (!path[0] || path_walk(path_root(), path, strlen(path), WALK_FOLLOW, &walk))
		return;
	if (walk.dentry && S_ISDIR(walk.dentry->inode->mode))
		path_set_cwd(walk.dentry);
	walk_done(&walk);
}

void vfs_init(void)
{
	struct inode *root = image_root();
	struct dentry *dentry = root ? dentry_root(root) : NULL;
	if (!dentry)
		panic("no memory for the root directory");
	path_set_root(dentry);
	path_set_cwd(dentry);
	root_dir("dev", devfs_root(), 0755);
	root_dir("proc", procfs_root(), 0555);
	root_dir("sys", sysfs_root(), 0555);
	root_dir("tmp", NULL, S_ISVTX | 0777);
	mounts_make();
	machine_id_init();
	path_enter(device_page->cwd);
}
