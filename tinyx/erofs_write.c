/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/erofs_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "base/text.h"
#include "tinyx/image_file.h"

#define BLOCK 4096u
#define SUPER 1024u
#define SUPER_SIZE 128u
#define INODE 64u  /* extended; inodes lie on multiples of it, so that none crosses a block */
#define SLOT 32u   /* what a node id counts */
#define DIRENT 12u
#define NAME_LIMIT 255 /* bytes */
#define MAGIC 0xe0f5e1e2u
#define COMPAT_SUM 1u
#define COMPAT_MTIME 2u
#define FORMAT_PLAIN 1u  /* extended inode; contents in blocks */
#define FORMAT_INLINE 5u /* extended inode; contents behind it, in the same block */
#define CHUNK (8u << 20)

struct node {
	const struct plan_entry *entry; /* NULL: the root */
	const char *name;
	uint32_t parent, first, count; /* children: order[first .. first + count) */
	uint32_t block; /* where its contents begin; 0: behind the inode, or empty */
	uint64_t size, at; /* bytes of contents; where the inode is, from the beginning of the file */
	uint32_t subdirs;
	bool is_inline, is_dated;
	int64_t mtime;
	uint32_t mtime_ns;
};

struct layout {
	const struct plan *plan;
	struct node *node; /* by path, the root first: parents come before what is in them */
	uint32_t *order;   /* the same but the root, by directory, then by name */
	uint32_t count;
	uint64_t inodes_end;
	uint32_t blocks; /* of the whole file system */
	uint8_t *head;   /* all of it up to the first file's contents */
	uint64_t head_size;
};

static uint64_t blocks_of(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK;
}

static bool is_dir(const struct node *node)
{
	return !node->entry || node->entry->kind == PLAN_DIR;
}

/* ---- the tree ---- */

static int by_path(const void *a, const void *b)
{
	const struct node *one = a, *two = b;
	return strcmp(one->entry->guest, two->entry->guest);
}

static int by_parent(const void *a, const void *b, void *context)
{
	const struct node *node = context, *one = &node[*(const uint32_t *)a], *two = &node[*(const uint32_t *)b];
	if (one->parent != two->parent)
		return one->parent < two->parent ? -1 : 1;
	return strcmp(one->name, two->name);
}

static uint32_t find_node(const struct layout *layout, const char *path)
{
	uint32_t low = 1, high = layout->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (strcmp(layout->node[middle].entry->guest, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where in node the directory is that path lies in; the plan has every parent. */
static uint32_t parent_of(const struct layout *layout, const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == path)
		return 0;
	char *dir = alloc_format("%.*s", (int)(slash - path), path);
	uint32_t parent = find_node(layout, dir);
	free(dir);
	return parent;
}

static int check_name(const struct node *node, struct error *error)
{
	size_t len = strlen(node->name);
	if (len <= NAME_LIMIT)
		return 0;
	return error_set(error, -ENAMETOOLONG, "%.64s...: a name of %zu bytes; a file system of Linux has at most %d", node->entry->guest, len, NAME_LIMIT);
}

static int make_tree(struct layout *layout, struct error *error)
{
	const struct plan *plan = layout->plan;
	layout->count = (uint32_t)plan->count + 1;
	layout->node = alloc_zero(layout->count * sizeof(*layout->node));
	layout->order = alloc_zero(layout->count * sizeof(*layout->order));
	for (uint32_t i = 1; i < layout->count; i++)
		layout->node[i] = (struct node){ .entry = &plan->entry[i - 1] };
	qsort(layout->node + 1, layout->count - 1, sizeof(*layout->node), by_path);
	for (uint32_t i = 1; i < layout->count; i++) {
		struct node *node = &layout->node[i];
		node->parent = parent_of(layout, node->entry->guest);
		node->name = strrchr(node->entry->guest, '/') + 1;
		int err = check_name(node, error);
		if (err)
			return err;
		layout->order[i - 1] = i;
		layout->node[node->parent].count++;
		layout->node[node->parent].subdirs += is_dir(node);
	}
	qsort_r(layout->order, layout->count - 1, sizeof(*layout->order), by_parent, layout->node);
	for (uint32_t i = layout->count - 1; i-- > 0;)
		layout->node[layout->node[layout->order[i]].parent].first = i;
	return 0;
}

static bool is_later(const struct node *a, const struct node *b)
{
	return a->mtime > b->mtime || (a->mtime == b->mtime && a->mtime_ns > b->mtime_ns);
}

/*
 * A directory that is only on the way to what was packed is as old as the newest thing in it: its own time on the host changes
 * with files that are not in the image.
 */
static void set_times(struct layout *layout)
{
	static const struct plan_entry none;
	const struct plan_entry *program = &none; /* what was made by us is as old as the program, the first file of the plan */
	for (size_t i = 0; i < layout->plan->count && program == &none; i++)
		if (layout->plan->entry[i].kind == PLAN_FILE)
			program = &layout->plan->entry[i];
	for (uint32_t i = layout->count; i-- > 0;) {
		struct node *node = &layout->node[i], *parent = &layout->node[node->parent];
		const struct plan_entry *from = node->entry && node->entry->depends ? node->entry : program;
		if (from != program || !node->count) {
			node->mtime = from->mtime;
			node->mtime_ns = from->mtime_ns;
		}
		if (i && (!parent->entry || !parent->entry->depends) && (!parent->is_dated || is_later(node, parent))) {
			parent->mtime = node->mtime;
			parent->mtime_ns = node->mtime_ns;
			parent->is_dated = true;
		}
	}
}

/* ---- directories ---- */

struct dirents { /* one directory on its way into blocks */
	uint8_t *out; /* NULL: only measured */
	uint64_t size; /* of the blocks before this one */
	uint32_t count, names; /* entries of this block, bytes of their names */
	struct {
		uint64_t nid;
		const char *name;
		uint8_t type;
	} held[BLOCK / DIRENT];
};

static void put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void block_end(struct dirents *dir)
{
	uint8_t *block = dir->out ? dir->out + dir->size : NULL;
	uint32_t name_at = dir->count * DIRENT;
	for (uint32_t i = 0; block && i < dir->count; i++) {
		uint8_t *raw = block + i * DIRENT;
		size_t len = strlen(dir->held[i].name);
		put64(raw, dir->held[i].nid);
		put16(raw + 8, (uint16_t)name_at);
		raw[10] = dir->held[i].type;
		memcpy(block + name_at, dir->held[i].name, len);
		name_at += (uint32_t)len;
	}
}

static void dirent_put(struct dirents *dir, const struct node *node, const char *name)
{
	size_t len = strlen(name);
	if ((dir->count + 1) * DIRENT + dir->names + len > BLOCK) {
		block_end(dir);
		dir->size += BLOCK;
		dir->count = dir->names = 0;
	}
	uint8_t type = is_dir(node) ? 2 : node->entry->kind == PLAN_LINK ? 7 : 1;
	dir->held[dir->count].nid = node->at / SLOT;
	dir->held[dir->count].name = name;
	dir->held[dir->count++].type = type;
	dir->names += (uint32_t)len;
}

/* Entries are sorted over the whole directory, "." and ".." among them. out: zeroed, or NULL. The size. */
static uint64_t put_directory(const struct layout *layout, const struct node *node, uint8_t *out)
{
	static const char *const dots[] = { ".", ".." };
	struct dirents *dir = alloc_zero(sizeof(*dir));
	const struct node *dot_node[] = { node, &layout->node[node->parent] };
	int dot = 0;
	dir->out = out;
	for (uint32_t i = 0; i < node->count; i++) {
		const struct node *child = &layout->node[layout->order[node->first + i]];
		for (; dot < 2 && strcmp(dots[dot], child->name) < 0; dot++)
			dirent_put(dir, dot_node[dot], dots[dot]);
		dirent_put(dir, child, child->name);
	}
	for (; dot < 2; dot++)
		dirent_put(dir, dot_node[dot], dots[dot]);
	block_end(dir);
	uint64_t size = dir->size + dir->count * DIRENT + dir->names;
	free(dir);
	return size;
}

/* ---- places ---- */

static void set_size(const struct layout *layout, struct node *node)
{
	node->size = is_dir(node) ? put_directory(layout, node, NULL) :
		     node->entry->kind == PLAN_LINK ? strlen(node->entry->source) : node->entry->size;
	bool is_file = !is_dir(node) && node->entry->kind != PLAN_LINK;
	node->is_inline = !is_file && node->size <= BLOCK - INODE;
}

/* Inodes with what lies behind them, then blocks of directories and links, then those of files in the order of their paths. */
static int set_places(struct layout *layout, struct error *error)
{
	uint64_t at = SUPER + SUPER_SIZE;
	for (uint32_t i = 0; i < layout->count; i++) {
		struct node *node = &layout->node[i];
		set_size(layout, node);
		uint64_t need = INODE + (node->is_inline ? node->size : 0);
		if (at % BLOCK + need > BLOCK)
			at = blocks_of(at) * BLOCK;
		node->at = at;
		at = (at + need + INODE - 1) / INODE * INODE;
	}
	uint64_t block = blocks_of(at);
	for (int files = 0; files < 2; files++) {
		for (uint32_t i = 0; i < layout->count; i++) {
			struct node *node = &layout->node[i];
			bool is_file = !is_dir(node) && node->entry->kind != PLAN_LINK;
			if (is_file != files || node->is_inline || !node->size)
				continue;
			node->block = (uint32_t)block;
			block += blocks_of(node->size);
			if (block > UINT32_MAX)
				return error_set(error, -EFBIG, "the image would take more than 16T");
		}
		if (!files)
			layout->head_size = block * BLOCK;
	}
	layout->blocks = (uint32_t)block;
	return 0;
}

/* ---- what is written ---- */

static void put_inode(const struct layout *layout, const struct node *node)
{
	uint8_t *raw = layout->head + node->at, *contents = node->is_inline ? raw + INODE : layout->head + (uint64_t)node->block * BLOCK;
	const struct plan_entry *entry = node->entry;
	mode_t type = is_dir(node) ? S_IFDIR : entry->kind == PLAN_LINK ? S_IFLNK : S_IFREG;
	put16(raw, node->is_inline ? FORMAT_INLINE : FORMAT_PLAIN);
	put16(raw + 4, (uint16_t)(type | (entry ? entry->mode & 07777 : 0755)));
	put64(raw + 8, node->size);
	put32(raw + 16, node->block);
	put32(raw + 20, (uint32_t)(node - layout->node) + 1);
	put32(raw + 24, entry ? entry->uid : 0);
	put32(raw + 28, entry ? entry->gid : 0);
	put64(raw + 32, (uint64_t)node->mtime);
	put32(raw + 40, node->mtime_ns);
	put32(raw + 44, is_dir(node) ? 2 + node->subdirs : 1);
	if (is_dir(node))
		put_directory(layout, node, contents);
	else if (entry->kind == PLAN_LINK)
		memcpy(contents, entry->source, node->size);
}

static void put_super(const struct layout *layout)
{
	uint8_t *raw = layout->head + SUPER;
	put32(raw, MAGIC);
	put32(raw + 8, COMPAT_SUM | COMPAT_MTIME);
	raw[12] = 12; /* blocks of 1 << 12 */
	put16(raw + 14, (SUPER + SUPER_SIZE) / SLOT);
	put64(raw + 16, layout->count);
	put32(raw + 36, layout->blocks);
	/* The sum covers the rest of the first block, with its own four bytes zero. */
	put32(raw + 4, crc32c(~0u, raw, BLOCK - SUPER));
}

static int write_head(struct layout *layout, int fd)
{
	layout->head = alloc_zero(layout->head_size);
	for (uint32_t i = 0; i < layout->count; i++)
		put_inode(layout, &layout->node[i]);
	put_super(layout);
	return fd_write(fd, layout->head, layout->head_size);
}

/* By the kernel, which may share blocks; what it cannot, by hand. A file that ends early leaves zero bytes. */
static int copy_part(int from, int to, uint64_t size)
{
	char chunk[65536];
	while (size) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, size, 0);
		if (n < 0 && errno == ENOSPC)
			return -ENOSPC;
		if (n <= 0)
			break;
		size -= (uint64_t)n;
	}
	while (size) {
		ssize_t n = read(from, chunk, size < sizeof(chunk) ? size : sizeof(chunk));
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		int err = fd_write(to, chunk, (size_t)n);
		if (err)
			return err;
		size -= (uint64_t)n;
	}
	return 0;
}

static void tell(const struct pack_watch *watch, struct pack_progress *progress, size_t files, uint64_t bytes)
{
	progress->files += files;
	progress->bytes += bytes;
	if (watch)
		watch->report(watch->context, progress);
}

/* What was planned as a file may be something else by now, and must not hold us. */
static int open_source(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int copy_file(const struct node *node, int to, const struct pack_watch *watch, struct pack_progress *progress)
{
	int from = open_source(node->entry->source), err = from < 0 ? from : 0;
	for (uint64_t done = 0; !err && done < node->size;) {
		uint64_t part = node->size - done < CHUNK ? node->size - done : CHUNK;
		if (lseek(to, (off_t)((uint64_t)node->block * BLOCK + done), SEEK_SET) < 0)
			err = -errno;
		if (!err)
			err = copy_part(from, to, part);
		done += part;
		if (!err)
			tell(watch, progress, done == node->size, part);
	}
	if (from >= 0)
		close(from);
	return err;
}

static int write_files(const struct layout *layout, int fd, const struct pack_watch *watch, struct pack_progress *progress, struct error *error)
{
	for (uint32_t i = 1; i < layout->count; i++) {
		const struct node *node = &layout->node[i];
		if (!node->block || is_dir(node) || node->entry->kind == PLAN_LINK)
			continue;
		int err = 0;
		if (node->entry->kind == PLAN_FILE)
			err = copy_file(node, fd, watch, progress);
		else if (pwrite(fd, node->entry->source, node->size, (off_t)((uint64_t)node->block * BLOCK)) != (ssize_t)node->size)
			err = -EIO;
		if (err)
			return error_set(error, err, "%s: %s", node->entry->kind == PLAN_FILE ? node->entry->source : node->entry->guest, strerror(-err));
	}
	return 0;
}

/* Room is taken at once, where the file system can: a disk that is too full is known before anything is copied. */
static int make_room(int fd, uint64_t size)
{
	if (!fallocate(fd, 0, 0, (off_t)size))
		return 0;
	if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		return -errno;
	return ftruncate(fd, (off_t)size) ? -errno : 0;
}

static int write_all(struct layout *layout, int fd, const struct pack_watch *watch, struct error *error)
{
	uint64_t size = (uint64_t)layout->blocks * BLOCK;
	struct pack_progress progress = { .bytes = layout->head_size, .bytes_total = size };
	for (uint32_t i = 1; i < layout->count; i++)
		progress.files_total += layout->node[i].entry->kind == PLAN_FILE && layout->node[i].size;
	tell(watch, &progress, 0, 0);
	int err = make_room(fd, size);
	if (!err)
		err = write_head(layout, fd);
	return err ? error_set(error, err, "%s", strerror(-err)) : write_files(layout, fd, watch, &progress, error);
}

int erofs_write(const struct plan *plan, int fd, const char *where, const struct pack_watch *watch, struct error *error)
{
	struct layout layout = { .plan = plan };
	char size[24];
	int err = make_tree(&layout, error);
	if (!err) {
		set_times(&layout);
		err = set_places(&layout, error);
	}
	if (!err)
		err = write_all(&layout, fd, watch, error);
	if (err == -ENOSPC || err == -EDQUOT)
		error_set(error, err, "%s: %s: the image takes %s", where, strerror(-err),
			  size_print((uint64_t)layout.blocks * BLOCK, size, sizeof(size)));
	free(layout.node);
	free(layout.order);
	free(layout.head);
	return err;
}
