/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories. The names are gathered when the first is asked for, so that positions stay what they are while
 * the program creates and deletes; seeking to the start gathers anew.
 */
#include "libos/fs/inotify.h"
#include "libos/mm/mm.h"

#define CHUNK_ORDER 2
#define CHUNK (4096u << CHUNK_ORDER)

struct listing {
	char **chunk;      /* of records as getdents64 returns them; none crosses a chunk */
	uint32_t *filled;  /* bytes in each */
	uint32_t chunks, room;
};

static void listing_free(struct listing *list)
{
	if (!list)
		return;
	for (uint32_t i = 0; i < list->chunks; i++)
		page_free(list->chunk[i], CHUNK_ORDER);
	kfree(list->chunk);
	kfree(list->filled);
	kfree(list);
}

static int add_chunk(struct listing *list)
{
	if (list->chunks == list->room) {
		uint32_t room = list->room ? list->room * 2 : 4;
		char **chunk = krealloc(list->chunk, room * sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		list->chunk = chunk;
		uint32_t *filled = krealloc(list->filled, room * sizeof(*filled));
		if (!filled)
			return -ENOMEM;
		list->filled = filled;
		list->room = room;
	}
	char *page = page_alloc(CHUNK_ORDER);
	if (!page)
		return -ENOMEM;
	list->filled[list->chunks] = 0;
	list->chunk[list->chunks++] = page;
	return 0;
}

static int add_name(struct listing *list, const char *name, size_t len, uint64_t ino, uint8_t type)
{
	uint32_t size = (uint32_t)ALIGN_UP(offsetof(struct linux_dirent64, d_name) + len + 1, 8);
	if (!list->chunks || list->filled[list->chunks - 1] + size > CHUNK) {
		int err = add_chunk(list);
		if (err)
			return err;
	}
	uint32_t last = list->chunks - 1, at = list->filled[last];
	struct linux_dirent64 *record = (struct linux_dirent64 *)(list->chunk[last] + at);
	list->filled[last] = at + size;
	record->d_ino = ino;
	record->d_off = (int64_t)((uint64_t)last * CHUNK + at + size);
	record->d_reclen = (uint16_t)size;
	record->d_type = type;
	memcpy(record->d_name, name, len);
	memset(record->d_name + len, 0, size - offsetof(struct linux_dirent64, d_name) - len);
	return 0;
}

static uint8_t type_of(const struct inode *inode)
{
	return (uint8_t)((inode->mode & S_IFMT) >> 12); /* DT_* are the mode's type bits */
}

static int add_entry(void *list, const struct vfs_entry *entry)
{
	return add_name(list, entry->name, entry->len, entry->ino, entry->type);
}

/* Names of the RAM layer first, then those of the backing that none of them hides. */
static int gather(struct dentry *dir, struct listing *list)
{
	struct inode *inode = dir->inode;
	const struct inode *parent = dir->parent ? dir->parent->inode : inode;
	if (used_wanted() && inode->lower)
		used_listed(dir);
	int err = add_name(list, ".", 1, inode->ino, LINUX_DT_DIR);
	if (!err)
		err = add_name(list, "..", 2, parent->ino, LINUX_DT_DIR);
	if (!err && remote_of(inode))
		return remote_of(inode)->list(dir, add_entry, list);
	for (struct dentry *child = dir->children; !err && child; child = child->next)
		if (child->inode && child->dirty)
			err = add_name(list, child->name, child->name_len, child->inode->ino, type_of(child->inode));
	uint64_t cursor = 0;
	struct vfs_entry entry;
	while (!err && inode->ops && inode->ops->list && (err = inode->ops->list(inode, &cursor, &entry)) > 0) {
		struct dentry *known = dentry_find(dir, entry.name, entry.len);
		err = known && known->dirty ? 0 : add_name(list, entry.name, entry.len, entry.ino, entry.type);
	}
	return err;
}

int dir_is_empty(struct dentry *dir)
{
	struct inode *inode = dir->inode;
	for (struct dentry *child = dir->children; child; child = child->next)
		if (child->inode)
			return 0;
	uint64_t cursor = 0;
	struct vfs_entry entry;
	int err = 0;
	while (inode->ops && inode->ops->list && (err = inode->ops->list(inode, &cursor, &entry)) > 0) {
		struct dentry *known = dentry_find(dir, entry.name, entry.len);
		if (!known || !known->dirty)
			return 0;
	}
	return err < 0 ? err : 1;
}

static int need_listing(struct file *file, bool again)
{
	if (file->private && !again)
		return 0;
	listing_free(file->private);
	struct listing *list = file->private = kzalloc(sizeof(*list));
	int err = list ? gather(file->dentry, list) : -ENOMEM;
	if (err) {
		listing_free(list);
		file->private = NULL;
	}
	return err;
}

static int64_t dir_readdir(struct file *file, uaddr_t to, size_t n)
{
	if (file->dentry->parent && !file->dentry->hashed && file->dentry->inode->fs->remembered)
		return -ENOENT;
	int err = need_listing(file, file->position == 0);
	if (err)
		return err;
	const struct listing *list = file->private;
	size_t done = 0;
	for (;;) {
		uint64_t chunk = (uint64_t)file->position / CHUNK, at = (uint64_t)file->position % CHUNK;
		if (chunk < list->chunks && at >= list->filled[chunk]) { /* the next record begins the next chunk */
			chunk++;
			at = 0;
		}
		if (chunk >= list->chunks || at % 8)
			return (int64_t)done;
		const struct linux_dirent64 *record = (const struct linux_dirent64 *)(list->chunk[chunk] + at);
		if (!record->d_reclen || at + record->d_reclen > list->filled[chunk])
			return (int64_t)done; /* a position nobody was given */
		if (done + record->d_reclen > n)
			return done ? (int64_t)done : -EINVAL;
		if (buffer_put(to + done, record, record->d_reclen) < record->d_reclen)
			return done ? (int64_t)done : -EFAULT;
		done += record->d_reclen;
		file->position = record->d_off;
	}
}

static int64_t dir_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += file->position;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	file->position = offset;
	return offset;
}

static void dir_release(struct file *file)
{
	listing_free(file->private);
}

const struct file_ops dir_ops = { .kind = "directory", .readdir = dir_readdir, .seek = dir_seek, .release = dir_release };

SYSCALL(getdents64)
{
	struct file *file = fd_get((int)a[0]);
	size_t n = (uint32_t)a[2];
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (!file->ops->readdir)
		return -ENOTDIR;
	file_get(file); /* of a live volume it may wait */
	int64_t r = user_range((uaddr_t)a[1], n) ? file->ops->readdir(file, (uaddr_t)a[1], n) : -EFAULT;
	if (r >= 0)
		fs_event_file(file, IN_ACCESS);
	file_put(file);
	return r;
}

/* The older record has the same length: its name begins where the type was, which goes to the end. */
static int make_old(uaddr_t at, uint16_t *len)
{
	char record[ALIGN_UP(sizeof(struct linux_dirent64) + NAME_MAX + 1, 8)], type;
	const size_t name = offsetof(struct linux_dirent64, d_type);

	if (user_get(len, at + offsetof(struct linux_dirent64, d_reclen)) || *len > sizeof(record) || *len <= name + 1 || user_read(record, at, *len))
		return -EFAULT;
	type = record[name];
	memmove(record + name, record + name + 1, *len - name - 1);
	record[*len - 1] = type;
	return user_write(at, record, *len);
}

SYSCALL(getdents)
{
	long n = sys_getdents64(a);
	uint16_t len;

	for (long at = 0; at < n; at += len)
		if (make_old((uaddr_t)(a[1] + at), &len))
			return -EFAULT;
	return n;
}
