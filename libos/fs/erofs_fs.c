/* SPDX-License-Identifier: Apache-2.0 */
/* The image below the RAM layer. An inode of the image is one object however many names it has, as long as it is used or changed. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "parse/erofs.h"

#define NID_BUCKETS 256

struct image_inode {
	struct inode inode;
	struct erofs_inode lower;
};

static struct erofs image;
static struct inode *by_nid[NID_BUCKETS];

static const struct inode_ops image_ops;

static struct inode **bucket_of(uint64_t nid)
{
	return &by_nid[(nid ^ nid >> 8) & (NID_BUCKETS - 1)];
}

static struct inode *find(uint64_t nid)
{
	struct inode *inode = *bucket_of(nid);
	while (inode && inode->ino != nid)
		inode = inode->hash_next;
	return inode;
}

static void fill(struct inode *inode, const struct erofs_inode *lower, const struct fs *fs)
{
	inode->fs = fs;
	inode->ops = &image_ops;
	inode->lower = lower;
	inode->mode = lower->mode;
	inode->uid = lower->uid;
	inode->gid = lower->gid;
	inode->nlink = lower->nlink ? lower->nlink : 1;
	inode->rdev = LINUX_DEV((lower->rdev >> 8) & 0xfff, (lower->rdev & 0xff) | ((lower->rdev >> 12) & 0xfff00));
	inode->ino = lower->nid;
	inode->size = lower->size;
	inode->lower_size = S_ISREG(lower->mode) ? lower->size : 0;
	inode->atime = inode->mtime = inode->ctime = lower->mtime * NS_PER_S + lower->mtime_nsec;
}

/* fs: of the directory where it was found. */
static int image_get(uint64_t nid, const struct fs *fs, struct inode **found)
{
	struct inode *inode = find(nid);
	if (inode) {
		inode->refs++;
		*found = inode;
		return 0;
	}
	struct image_inode *new = kzalloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	int err = erofs_inode(&image, nid, &new->lower);
	if (err) {
		kfree(new);
		return err;
	}
	fill(&new->inode, &new->lower, fs);
	new->inode.refs = 1;
	struct inode **bucket = bucket_of(nid);
	new->inode.hash_next = *bucket;
	*bucket = &new->inode;
	*found = &new->inode;
	return 0;
}

/* Changed inodes stay until their last name in the image is gone, which may not have been looked up yet. */
bool image_inode_drop(struct inode *inode)
{
	if (inode->dirty && inode->nlink)
		return false;
	struct inode **link = bucket_of(inode->ino);
	while (*link != inode)
		link = &(*link)->hash_next;
	*link = inode->hash_next;
	return true;
}

static int image_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	uint64_t nid;
	int err = erofs_lookup(&image, dir->lower, name, len, &nid);
	return err ? err : image_get(nid, dir->fs, found);
}

static int image_list(struct inode *dir, uint64_t *cursor, struct vfs_entry *out)
{
	struct erofs_dirent entry;
	int err;
	do {
		err = erofs_readdir(&image, dir->lower, cursor, &entry);
		if (err <= 0)
			return err;
	} while (entry.name[0] == '.' && (entry.name_len == 1 || (entry.name_len == 2 && entry.name[1] == '.')));
	*out = (struct vfs_entry){ .name = entry.name, .len = entry.name_len, .ino = entry.nid, .type = erofs_dt(entry.type) };
	return 1;
}

static int64_t image_readlink(struct inode *link, char *buffer, size_t size)
{
	return erofs_read(&image, link->lower, 0, buffer, size);
}

static const struct inode_ops image_ops = { .lookup = image_lookup, .list = image_list, .readlink = image_readlink };

int image_map(const struct erofs_inode *lower, uint64_t offset, const uint8_t **data, size_t *len)
{
	return erofs_map(&image, lower, offset, data, len);
}

struct inode *image_root(void)
{
	struct inode *root = NULL;
	uint64_t size = device_page->image_size;
	if (!size)
		return inode_new(&root_fs, S_IFDIR | 0755);
	if (size > LV_IMAGE_MAX || erofs_open(&image, (const void *)LV_IMAGE(size), size) || image_get(image.root_nid, &root_fs, &root))
		panic("the image of %lu bytes is not a file system libos can read", size);
	if (!S_ISDIR(root->mode))
		panic("the root of the image is not a directory");
	return root;
}
