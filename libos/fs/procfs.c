/* SPDX-License-Identifier: Apache-2.0 */
/* /proc and /sys as file systems: names are looked up anew each time, contents are written when reading starts. */
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"

struct place { /* what an inode stands for */
	const struct node *node;
	int key;
};

static const struct fs proc_fs = { .name = "proc", .dev = LINUX_DEV(0, 20), .magic = 0x9fa0, .read_only = true };
static const struct fs sys_fs = { .name = "sysfs", .dev = LINUX_DEV(0, 19), .magic = 0x62656572, .read_only = true };

static const struct inode_ops proc_ops, link_ops;
static const struct node proc_root = { .name = "proc", .mode = S_IFDIR | 0555, .children = proc_tree, .numbered = &proc_process,
	.next = proc_next_process };
static const struct node sys_root = { .name = "sys", .mode = S_IFDIR | 0555, .children = sys_tree };

/* ---- text ---- */

static bool text_room(struct text *text, size_t more)
{
	if (text->used + more <= text->room)
		return true;
	size_t room = MAX(text->room * 2, ALIGN_UP(text->used + more, 1024));
	char *data = krealloc(text->data, room);
	if (!data)
		return false;
	text->data = data;
	text->room = room;
	return true;
}

void text_bytes(struct text *text, const void *bytes, size_t n)
{
	if (!text_room(text, n))
		return;
	memcpy(text->data + text->used, bytes, n);
	text->used += n;
}

void text_add(struct text *text, const char *format, ...)
{
	char line[512];
	__builtin_va_list args;
	__builtin_va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	__builtin_va_end(args);
	text_bytes(text, line, MIN((size_t)n, sizeof(line) - 1));
}

/* ---- files ---- */

#define WRITE_MOST 128 /* what is written here is a word or a number; the rest is ignored */

struct reading { /* of one open file */
	struct place place;
	struct text text;
};

static int64_t proc_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct reading *reading = file->private;
	if (*position == 0) {
		reading->text.used = 0;
		if (reading->place.node->show)
			reading->place.node->show(&reading->text, reading->place.key);
	}
	if ((uint64_t)*position >= reading->text.used)
		return 0;
	size_t take = MIN(n, reading->text.used - (size_t)*position);
	size_t done = buffer_put(to, reading->text.data + *position, take);
	*position += (int64_t)done;
	return done || !take ? (int64_t)done : -EFAULT;
}

static int64_t proc_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct reading *reading = file->private;
	char text[WRITE_MOST];
	size_t take = MIN(n, sizeof(text));
	if (!reading->place.node->write)
		return -EIO;
	if (buffer_get(text, from, take) < take)
		return -EFAULT;
	int64_t r = reading->place.node->write(reading->place.key, text, take);
	return r < 0 ? r : (int64_t)n;
}

static int64_t proc_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += file->position;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	return file->position = offset;
}

static void proc_release(struct file *file)
{
	struct reading *reading = file->private;
	kfree(reading->text.data);
	kfree(reading);
}

static const struct file_ops proc_file_ops = { .kind = "proc", .read = proc_read, .write = proc_write, .seek = proc_seek,
	.release = proc_release };

static int proc_open(struct inode *inode, struct file *file)
{
	const struct place *place = inode->private;
	if (S_ISDIR(inode->mode)) {
		file->ops = &dir_ops;
		return 0;
	}
	if ((file->flags & O_ACCMODE) != O_RDONLY && !place->node->write)
		return -EACCES;
	struct reading *reading = kzalloc(sizeof(*reading));
	if (!reading)
		return -ENOMEM;
	reading->place = *place;
	file->ops = &proc_file_ops;
	file->private = reading;
	return 0;
}

/* ---- names ---- */

static uint64_t ino_of(const struct node *node, int key)
{
	return ((uint64_t)node & 0xffffff) << 24 | ((uint64_t)key & 0xffffff);
}

static struct inode *place_inode(const struct fs *fs, const struct node *node, int key)
{
	struct place *place = kmalloc(sizeof(*place));
	struct inode *inode = place ? inode_new(fs, node->mode) : NULL;
	if (!inode) {
		kfree(place);
		return NULL;
	}
	*place = (struct place){ .node = node, .key = key };
	inode->private = place;
	inode->ops = node->follow ? &link_ops : &proc_ops;
	inode->ino = ino_of(node, key);
	return inode;
}

static int parse_number(const char *name, size_t len)
{
	int value = 0;
	if (!len || len > 7 || (name[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		value = value * 10 + name[i] - '0';
	}
	return value;
}

static int proc_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	const struct place *place = dir->private;
	const struct node *node = place->node->children;
	int key = place->key, number = place->node->numbered ? parse_number(name, len) : -1;
	while (node && node->name && (strlen(node->name) != len || memcmp(node->name, name, len)))
		node++;
	if (number >= 0 && place->node->next(number) == number) {
		node = place->node->numbered;
		key = number;
	}
	if (!node || (!node->name && node != place->node->numbered))
		return -ENOENT;
	*found = place_inode(dir->fs, node, key);
	return *found ? 0 : -ENOMEM;
}

/* The cursor counts the named children first; above 2^32 it is the next number. */
static int proc_list(struct inode *dir, uint64_t *cursor, struct vfs_entry *entry)
{
	static char digits[12];
	const struct place *place = dir->private;
	if (*cursor < 1ull << 32) {
		const struct node *node = place->node->children ? place->node->children + *cursor : NULL;
		if (node && node->name) {
			*entry = (struct vfs_entry){ .name = node->name, .len = strlen(node->name), .ino = ino_of(node, place->key),
				.type = (uint8_t)((node->mode & S_IFMT) >> 12) };
			++*cursor;
			return 1;
		}
		*cursor = 1ull << 32;
	}
	const struct node *node = place->node->numbered;
	int number = node ? place->node->next((int)*cursor) : -1;
	if (number < 0)
		return 0;
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%d", number);
	*entry = (struct vfs_entry){ .name = digits, .len = len, .ino = ino_of(node, number), .type = (uint8_t)((node->mode & S_IFMT) >> 12) };
	*cursor = (1ull << 32) + (uint64_t)number + 1;
	return 1;
}

static int64_t proc_readlink(struct inode *link, char *buffer, size_t size)
{
	const struct place *place = link->private;
	return place->node->target ? place->node->target(place->key, buffer, size) : -EINVAL;
}

static struct dentry *proc_follow(struct inode *link, struct file **file)
{
	const struct place *place = link->private;
	return place->node->follow(place->key, file);
}

static void proc_free(struct inode *inode)
{
	kfree(inode->private);
}

static const struct inode_ops proc_ops = { .lookup = proc_lookup, .list = proc_list, .readlink = proc_readlink, .open = proc_open,
	.free = proc_free };
static const struct inode_ops link_ops = { .readlink = proc_readlink, .follow = proc_follow, .open = proc_open, .free = proc_free };

struct inode *procfs_root(void)
{
	struct inode *root = place_inode(&proc_fs, &proc_root, 0);
	if (root)
		root->ino = 1;
	return root;
}

struct inode *sysfs_root(void)
{
	struct inode *root = place_inode(&sys_fs, &sys_root, 0);
	if (root)
		root->ino = 1;
	return root;
}
