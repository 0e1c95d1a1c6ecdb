/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/erofs_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/crc32c.h"
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
#define XATTR_HEADER 12u /* in front of a node's attributes */
#define CHUNK (8u << 20)

struct node {
	const struct plan_entry *entry; /* NULL: a root that the plan says nothing of */
	const char *name;
	uint32_t inode; /* the node whose inode it has: itself, or the first of the names of one file */
	uint32_t names; /* of this inode */
	uint32_t parent, first, count; /* children: order[first .. first + count) */
	uint32_t block; /* where its contents begin; 0: behind the inode, or empty */
	uint64_t size, at; /* bytes of contents; where the inode is, from the beginning of the file */
	uint32_t subdirs;
	uint32_t xattr_size; /* bytes of attributes behind the inode */
	bool is_inline, is_dated;
	int64_t mtime;
	uint32_t mtime_ns;
};

struct layout {
	const struct plan *plan;
	struct node *node; /* by path, the root first: parents come before what is in them */
	uint32_t *order;   /* the same but the root, by directory, then by name */
	uint32_t count, inodes;
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

/* What begins on a block of its own. */
static bool has_contents(const struct node *node)
{
	return node->entry && (node->entry->kind == PLAN_FILE || node->entry->kind == PLAN_DATA);
}

static bool is_first_name(const struct layout *layout, const struct node *node)
{
	return &layout->node[node->inode] == node;
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

/* Which names are one file: the first by path has the inode. */
static void join_names(struct layout *layout)
{
	uint32_t most = 0;
	for (uint32_t i = 1; i < layout->count; i++)
		most = layout->node[i].entry->same > most ? layout->node[i].entry->same : most;
	uint32_t *first = alloc_zero((most + 1ull) * sizeof(*first));
	layout->inodes = 0;
	for (uint32_t i = 0; i < layout->count; i++) {
		struct node *node = &layout->node[i];
		uint32_t same = i && !is_dir(node) ? node->entry->same : 0;
		node->inode = same && first[same] ? first[same] : i;
		first[same] = same ? node->inode : 0;
		layout->inodes += node->inode == i;
		layout->node[node->inode].names++;
	}
	free(first);
}

static void add_nodes(struct layout *layout)
{
	const struct plan *plan = layout->plan;
	layout->node = alloc_zero((plan->count + 1) * sizeof(*layout->node));
	layout->order = alloc_zero((plan->count + 1) * sizeof(*layout->order));
	layout->count = 1;
	for (size_t i = 0; i < plan->count; i++) {
		bool is_root = !strcmp(plan->entry[i].guest, "/");
		layout->node[is_root ? 0 : layout->count++].entry = &plan->entry[i];
	}
}

static int make_tree(struct layout *layout, struct error *error)
{
	add_nodes(layout);
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
	join_names(layout);
	return 0;
}

static bool is_later(const struct node *a, const struct node *b)
{
	return a->mtime > b->mtime || (a->mtime == b->mtime && a->mtime_ns > b->mtime_ns);
}

/* It has a time of its own: the host's, or an archive's. */
static bool has_time(const struct plan_entry *entry)
{
	return entry && (entry->depends || entry->dated);
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
		const struct plan_entry *from = has_time(node->entry) ? node->entry : program;
		if (from != program || !node->count) {
			node->mtime = from->mtime;
			node->mtime_ns = from->mtime_ns;
		}
		if (i && !has_time(parent->entry) && (!parent->is_dated || is_later(node, parent))) {
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

/* As the kernel numbers them in directories. */
static uint8_t type_of(const struct node *node)
{
	mode_t special = !is_dir(node) && node->entry->kind == PLAN_SPECIAL ? node->entry->mode & S_IFMT : 0;
	return is_dir(node) ? 2 : S_ISCHR(special) ? 3 : S_ISBLK(special) ? 4 : S_ISFIFO(special) ? 5 : S_ISSOCK(special) ? 6 :
	       node->entry->kind == PLAN_LINK ? 7 : 1;
}

static void dirent_put(struct dirents *dir, const struct node *inode, const char *name)
{
	size_t len = strlen(name);
	if ((dir->count + 1) * DIRENT + dir->names + len > BLOCK) {
		block_end(dir);
		dir->size += BLOCK;
		dir->count = dir->names = 0;
	}
	dir->held[dir->count].nid = inode->at / SLOT;
	dir->held[dir->count].name = name;
	dir->held[dir->count++].type = type_of(inode);
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
		dirent_put(dir, &layout->node[child->inode], child->name);
	}
	for (; dot < 2; dot++)
		dirent_put(dir, dot_node[dot], dots[dot]);
	block_end(dir);
	uint64_t size = dir->size + dir->count * DIRENT + dir->names;
	free(dir);
	return size;
}

/* ---- extended attributes ---- */

static const struct xattr_prefix { /* what the kernel has numbers for in place of words */
	const char *prefix;
	uint8_t index;
} xattr_prefixes[] = { { "user.", 1 }, { "system.posix_acl_access", 2 }, { "system.posix_acl_default", 3 }, { "trusted.", 4 }, { "security.", 6 } };

static const struct xattr_prefix *xattr_prefix(const char *name)
{
	for (size_t i = 0; i < sizeof(xattr_prefixes) / sizeof(*xattr_prefixes); i++)
		if (text_starts(name, xattr_prefixes[i].prefix))
			return &xattr_prefixes[i];
	return NULL;
}

static uint64_t xattr_size(const struct plan_xattr *xattr, const struct xattr_prefix *prefix)
{
	return (4 + strlen(xattr->name) - strlen(prefix->prefix) + xattr->size + 3) / 4 * 4;
}

/* They lie behind the inode, in its block, as on other file systems of Linux. */
static int measure_xattrs(struct node *node, struct error *error)
{
	const struct plan_entry *entry = node->entry;
	uint64_t size = entry && entry->xattrs ? XATTR_HEADER : 0;
	for (size_t i = 0; entry && i < entry->xattrs; i++) {
		const struct xattr_prefix *prefix = xattr_prefix(entry->xattr[i].name);
		if (!prefix || strlen(entry->xattr[i].name) > NAME_LIMIT)
			return error_set(error, -EOPNOTSUPP, "%s: the extended attribute \"%.64s\" cannot be kept", entry->guest, entry->xattr[i].name);
		size += xattr_size(&entry->xattr[i], prefix);
		if (size > BLOCK - INODE)
			return error_set(error, -E2BIG, "%s: its extended attributes take more than %u bytes", entry->guest, BLOCK - INODE);
	}
	node->xattr_size = (uint32_t)size;
	return 0;
}

static void put_xattrs(const struct node *node, uint8_t *raw)
{
	raw += XATTR_HEADER;
	for (size_t i = 0; i < node->entry->xattrs; i++) {
		const struct plan_xattr *xattr = &node->entry->xattr[i];
		const struct xattr_prefix *prefix = xattr_prefix(xattr->name);
		const char *name = xattr->name + strlen(prefix->prefix);
		size_t len = strlen(name);
		raw[0] = (uint8_t)len;
		raw[1] = prefix->index;
		put16(raw + 2, (uint16_t)xattr->size);
		memcpy(raw + 4, name, len);
		if (xattr->size)
			memcpy(raw + 4 + len, xattr->value, xattr->size);
		raw += xattr_size(xattr, prefix);
	}
}

/* ---- places ---- */

static int set_size(const struct layout *layout, struct node *node, struct error *error)
{
	int err = measure_xattrs(node, error);
	bool is_link = !is_dir(node) && node->entry->kind == PLAN_LINK;
	node->size = is_dir(node) ? put_directory(layout, node, NULL) : is_link ? strlen(node->entry->source) :
		     has_contents(node) ? node->entry->size : 0;
	node->is_inline = (is_dir(node) || is_link) && node->size <= BLOCK - INODE - node->xattr_size;
	return err;
}

/* Blocks of directories and links that have no place behind their inodes, or those of files, in the order of their paths. */
static int set_blocks(struct layout *layout, bool files, uint64_t *block, struct error *error)
{
	for (uint32_t i = 0; i < layout->count; i++) {
		struct node *node = &layout->node[i];
		if (has_contents(node) != files || node->is_inline || !node->size || !is_first_name(layout, node))
			continue;
		node->block = (uint32_t)*block;
		*block += blocks_of(node->size);
		if (*block > UINT32_MAX)
			return error_set(error, -EFBIG, "the image would take more than 16T");
	}
	return 0;
}

/* Inodes with what lies behind them, then blocks. */
static int set_places(struct layout *layout, struct error *error)
{
	uint64_t at = SUPER + SUPER_SIZE;
	int err = 0;
	for (uint32_t i = 0; i < layout->count && !err; i++) {
		struct node *node = &layout->node[i];
		if (!is_first_name(layout, node))
			continue;
		err = set_size(layout, node, error);
		uint64_t need = INODE + node->xattr_size + (node->is_inline ? node->size : 0);
		if (at % BLOCK + need > BLOCK)
			at = blocks_of(at) * BLOCK;
		node->at = at;
		at = (at + need + INODE - 1) / INODE * INODE;
	}
	uint64_t block = blocks_of(at);
	if (!err)
		err = set_blocks(layout, false, &block, error);
	layout->head_size = block * BLOCK;
	if (!err)
		err = set_blocks(layout, true, &block, error);
	layout->blocks = (uint32_t)block;
	return err;
}

/* ---- what is written ---- */

/* As the kernel keeps it in 32 bits. */
static uint32_t device_number(dev_t rdev)
{
	return (minor(rdev) & 0xff) | (major(rdev) & 0xfff) << 8 | (minor(rdev) & 0xfff00) << 12;
}

static void put_inode(const struct layout *layout, const struct node *node)
{
	uint8_t *raw = layout->head + node->at;
	uint8_t *contents = node->is_inline ? raw + INODE + node->xattr_size : layout->head + (uint64_t)node->block * BLOCK;
	const struct plan_entry *entry = node->entry;
	bool is_special = entry && entry->kind == PLAN_SPECIAL;
	mode_t type = is_dir(node) ? S_IFDIR : entry->kind == PLAN_LINK ? S_IFLNK : is_special ? entry->mode & S_IFMT : S_IFREG;
	put16(raw, node->is_inline ? FORMAT_INLINE : FORMAT_PLAIN);
	put16(raw + 2, (uint16_t)(node->xattr_size ? (node->xattr_size - XATTR_HEADER) / 4 + 1 : 0));
	put16(raw + 4, (uint16_t)(type | (entry ? entry->mode & 07777 : 0755)));
	put64(raw + 8, node->size);
	put32(raw + 16, is_special ? device_number(entry->rdev) : node->block);
	put32(raw + 20, (uint32_t)(node - layout->node) + 1);
	put32(raw + 24, entry ? entry->uid : 0);
	put32(raw + 28, entry ? entry->gid : 0);
	put64(raw + 32, (uint64_t)node->mtime);
	put32(raw + 40, node->mtime_ns);
	put32(raw + 44, is_dir(node) ? 2 + node->subdirs : node->names);
	if (node->xattr_size)
		put_xattrs(node, raw + INODE);
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
	put64(raw + 16, layout->inodes);
	put32(raw + 36, layout->blocks);
	/* The sum covers the rest of the first block, with its own four bytes zero. */
	put32(raw + 4, crc32c(~0u, raw, BLOCK - SUPER));
}

static int write_head(struct layout *layout, int fd)
{
	layout->head = alloc_zero(layout->head_size);
	for (uint32_t i = 0; i < layout->count; i++)
		if (is_first_name(layout, &layout->node[i]))
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

static int copy_file(const struct node *node, int to, const struct pack_watch *watch, struct pack_progress *progress)
{
	/* What was planned as a file may be something else by now. */
	int from = file_open_regular(node->entry->source), err = from < 0 ? from : 0;
	if (!err && lseek(from, (off_t)node->entry->offset, SEEK_SET) < 0)
		err = -errno;
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
		if (!node->block || !has_contents(node))
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
		progress.files_total += layout->node[i].entry->kind == PLAN_FILE && layout->node[i].block;
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
