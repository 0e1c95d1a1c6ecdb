/* SPDX-License-Identifier: Apache-2.0 */
#include "parse/erofs.h"

#include <linux/errno.h>

#define BLOCK_BITS 12
#define BLOCK (1u << BLOCK_BITS)
#define SUPER_OFFSET 1024
#define SUPER_MAGIC 0xe0f5e1e2u
#define SLOT 32 /* bytes per nid step */
#define DIRENT 12
#define NAME_LIMIT 255
#define LINK_LIMIT 40
#define PATH_LIMIT 4096
#define NO_BLOCK 0xffffffffu
#define XATTR_HEADER 12 /* in front of an inode's attributes; its byte 4: how many shared ones are named behind it */
/* Bit 0 is set by mkfs.erofs whether anything is compressed or not; bit 2: chunk-based files. */
#define INCOMPAT_KNOWN (1u | 4u)

enum { FLAT_PLAIN = 0, FLAT_INLINE = 2, CHUNK_BASED = 4 };
#define CHUNK_BITS_MASK 0x1fu
#define CHUNK_INDEXES 0x20u
#define CHUNK_FORMAT_KNOWN (CHUNK_BITS_MASK | CHUNK_INDEXES)

#define MODE_TYPE 0170000u
#define MODE_DIR 0040000u
#define MODE_LINK 0120000u
#define MODE_REG 0100000u

/* Fields are little-endian as the processor is, but not always aligned. */
static uint16_t get16(const uint8_t *p)
{
	uint16_t v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* The bytes [offset, offset + len) of the image, or NULL. */
static const uint8_t *at(const struct erofs *fs, uint64_t offset, uint64_t len)
{
	if (offset > fs->size || len > fs->size - offset)
		return NULL;
	return fs->base + offset;
}

uint8_t erofs_dt(uint8_t type)
{
	static const uint8_t dt[8] = { 0, 8, 4, 2, 6, 1, 12, 10 };
	return type < sizeof(dt) ? dt[type] : 0;
}

int erofs_open(struct erofs *fs, const void *image, size_t size)
{
	fs->base = image;
	fs->size = size;
	const uint8_t *super = at(fs, SUPER_OFFSET, 128);
	if (!super || get32(super) != SUPER_MAGIC || super[12] != BLOCK_BITS)
		return -EINVAL;
	if (get32(super + 80) & ~INCOMPAT_KNOWN)
		return -EINVAL;
	uint64_t bytes = (uint64_t)get32(super + 36) << BLOCK_BITS;
	if (bytes > size || bytes <= SUPER_OFFSET)
		return -EINVAL;
	fs->size = bytes;
	fs->root_nid = get16(super + 14);
	fs->meta_blkaddr = get32(super + 40);
	fs->build_time = get64(super + 24);
	fs->build_time_nsec = get32(super + 32);
	return 0;
}

static void read_compact(const struct erofs *fs, const uint8_t *raw, struct erofs_inode *inode)
{
	inode->nlink = get16(raw + 6);
	inode->size = get32(raw + 8);
	inode->uid = get16(raw + 24);
	inode->gid = get16(raw + 26);
	inode->mtime = fs->build_time;
	inode->mtime_nsec = fs->build_time_nsec;
}

static void read_extended(const uint8_t *raw, struct erofs_inode *inode)
{
	inode->size = get64(raw + 8);
	inode->uid = get32(raw + 24);
	inode->gid = get32(raw + 28);
	inode->mtime = get64(raw + 32);
	inode->mtime_nsec = get32(raw + 40);
	inode->nlink = get32(raw + 44);
}

static int check_flat(const struct erofs *fs, const struct erofs_inode *inode)
{
	if (inode->size == 0)
		return 0;
	uint64_t in_blocks = inode->size, tail = 0;
	if (inode->layout == FLAT_INLINE) {
		in_blocks = (inode->size - 1) & ~(uint64_t)(BLOCK - 1);
		tail = inode->size - in_blocks;
	}
	if (in_blocks && !at(fs, (uint64_t)inode->raw_blkaddr << BLOCK_BITS, in_blocks))
		return -EIO;
	/* A tail never leaves the block of its inode, so that one page holds both. */
	if (tail && (!at(fs, inode->inline_offset, tail) || (inode->inline_offset & (BLOCK - 1)) + tail > BLOCK))
		return -EIO;
	return 0;
}

static int check_chunks(const struct erofs *fs, struct erofs_inode *inode, uint64_t end)
{
	uint32_t format = inode->raw_blkaddr & 0xffff;
	if (format & ~CHUNK_FORMAT_KNOWN)
		return -EOPNOTSUPP;
	inode->chunk_has_index = format & CHUNK_INDEXES;
	inode->chunk_bits = BLOCK_BITS + (format & CHUNK_BITS_MASK);
	uint64_t unit = inode->chunk_has_index ? 8 : 4;
	inode->chunk_index = (end + unit - 1) & ~(unit - 1);
	uint64_t chunks = (inode->size >> inode->chunk_bits) + ((inode->size & ((1ull << inode->chunk_bits) - 1)) != 0);
	if (chunks > fs->size / unit || !at(fs, inode->chunk_index, chunks * unit))
		return -EIO;
	return 0;
}

static bool has_data(uint32_t mode)
{
	uint32_t type = mode & MODE_TYPE;
	return type == MODE_REG || type == MODE_DIR || type == MODE_LINK;
}

static int check_layout(const struct erofs *fs, struct erofs_inode *inode, uint64_t end)
{
	if (!has_data(inode->mode)) {
		inode->size = 0;
		inode->layout = FLAT_PLAIN;
		return 0;
	}
	inode->rdev = 0;
	inode->inline_offset = end;
	if (inode->layout == FLAT_PLAIN || inode->layout == FLAT_INLINE)
		return check_flat(fs, inode);
	if (inode->layout == CHUNK_BASED)
		return check_chunks(fs, inode, end);
	return -EOPNOTSUPP;
}

int erofs_inode(const struct erofs *fs, uint64_t nid, struct erofs_inode *inode)
{
	if (nid > fs->size / SLOT)
		return -EIO;
	uint64_t offset = ((uint64_t)fs->meta_blkaddr << BLOCK_BITS) + nid * SLOT;
	const uint8_t *raw = at(fs, offset, 32);
	if (!raw)
		return -EIO;
	uint16_t format = get16(raw), xattrs = get16(raw + 2);
	bool extended = format & 1;
	if (format >> 4 || (extended && !at(fs, offset, 64)))
		return -EIO;
	*inode = (struct erofs_inode){ .nid = nid, .layout = (format >> 1) & 7, .mode = get16(raw + 4),
		.raw_blkaddr = get32(raw + 16), .rdev = get32(raw + 16) };
	if (extended)
		read_extended(raw, inode);
	else
		read_compact(fs, raw, inode);
	if (inode->size > INT64_MAX)
		return -EIO;
	inode->xattr_at = offset + (extended ? 64 : 32);
	inode->xattr_size = xattrs ? XATTR_HEADER + (xattrs - 1) * 4u : 0;
	return check_layout(fs, inode, inode->xattr_at + inode->xattr_size);
}

/* The block of chunk number n, or NO_BLOCK: a hole. */
static uint32_t chunk_block(const struct erofs *fs, const struct erofs_inode *inode, uint64_t n)
{
	return inode->chunk_has_index ? get32(fs->base + inode->chunk_index + n * 8 + 4) :
		get32(fs->base + inode->chunk_index + n * 4);
}

static int map_chunks(const struct erofs *fs, const struct erofs_inode *inode, uint64_t offset, const uint8_t **data, size_t *len)
{
	uint64_t n = offset >> inode->chunk_bits, bytes = 1ull << inode->chunk_bits, inside = offset & (bytes - 1);
	uint64_t left = inode->size - offset, run = bytes - inside;
	uint32_t first = chunk_block(fs, inode, n), blocks = (uint32_t)(bytes >> BLOCK_BITS);
	uint64_t expect = first == NO_BLOCK ? NO_BLOCK : (uint64_t)first + blocks;
	while (run < left && chunk_block(fs, inode, ++n) == expect) {
		run += bytes;
		if (first != NO_BLOCK)
			expect += blocks;
	}
	*len = run < left ? run : left;
	*data = NULL;
	if (first == NO_BLOCK)
		return 0;
	*data = at(fs, ((uint64_t)first << BLOCK_BITS) + inside, *len);
	return *data ? 0 : -EIO;
}

int erofs_map(const struct erofs *fs, const struct erofs_inode *inode, uint64_t offset, const uint8_t **data, size_t *len)
{
	*data = NULL;
	*len = 0;
	if (offset >= inode->size)
		return 0;
	if (inode->layout == CHUNK_BASED)
		return map_chunks(fs, inode, offset, data, len);
	uint64_t last = inode->size, where = (uint64_t)inode->raw_blkaddr << BLOCK_BITS;
	if (inode->layout == FLAT_INLINE) {
		uint64_t in_blocks = (inode->size - 1) & ~(uint64_t)(BLOCK - 1);
		if (offset >= in_blocks)
			where = inode->inline_offset - in_blocks;
		else
			last = in_blocks;
	}
	*len = last - offset;
	*data = at(fs, where + offset, *len);
	return *data ? 0 : -EIO;
}

int64_t erofs_read(const struct erofs *fs, const struct erofs_inode *inode, uint64_t offset, void *buffer, size_t len)
{
	size_t done = 0;
	while (done < len) {
		const uint8_t *data;
		size_t run;
		int r = erofs_map(fs, inode, offset + done, &data, &run);
		if (r)
			return r;
		if (!run)
			break;
		if (run > len - done)
			run = len - done;
		if (data)
			__builtin_memcpy((uint8_t *)buffer + done, data, run);
		else
			__builtin_memset((uint8_t *)buffer + done, 0, run);
		done += run;
	}
	return (int64_t)done;
}

int erofs_xattr(const struct erofs *fs, const struct erofs_inode *inode, uint32_t *cursor, struct erofs_xattr *xattr)
{
	static const char *const prefixes[] = { NULL, "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", NULL, "security." };
	const uint8_t *all = at(fs, inode->xattr_at, inode->xattr_size);
	if (!all)
		return -EIO;
	if (inode->xattr_size < XATTR_HEADER)
		return 0;
	uint32_t from = *cursor ? *cursor : XATTR_HEADER + all[4] * 4u;
	if (from > inode->xattr_size)
		return -EIO;
	if (inode->xattr_size - from < 4)
		return 0;
	const uint8_t *raw = all + from;
	uint32_t name_len = raw[0], size = get16(raw + 2), whole = (4 + name_len + size + 3) & ~3u;
	if (raw[1] >= sizeof(prefixes) / sizeof(*prefixes) || !prefixes[raw[1]] || whole > inode->xattr_size - from)
		return -EIO;
	*xattr = (struct erofs_xattr){ .prefix = prefixes[raw[1]], .name = (const char *)raw + 4, .name_len = name_len,
		.value = raw + 4 + name_len, .size = size };
	*cursor = from + whole;
	return 1;
}

/* ---- directories ---- */

struct dir_block {
	const uint8_t *data;
	uint32_t len, count;
};

static int dir_block(const struct erofs *fs, const struct erofs_inode *dir, uint64_t n, struct dir_block *block)
{
	size_t run;
	int r = erofs_map(fs, dir, n << BLOCK_BITS, &block->data, &run);
	if (r)
		return r;
	uint64_t left = dir->size - (n << BLOCK_BITS);
	block->len = left < BLOCK ? (uint32_t)left : BLOCK;
	if (!block->data || run < block->len || block->len < DIRENT)
		return -EIO;
	uint32_t names = get16(block->data + 8); /* where the first name begins is where the entries end */
	block->count = names / DIRENT;
	return names % DIRENT || !names || names > block->len ? -EIO : 0;
}

static int dir_entry(const struct dir_block *block, uint32_t i, struct erofs_dirent *entry)
{
	const uint8_t *raw = block->data + i * DIRENT;
	uint32_t start = get16(raw + 8), end = i + 1 < block->count ? get16(raw + DIRENT + 8) : block->len;
	if (start < block->count * DIRENT || end > block->len || start >= end)
		return -EIO;
	const uint8_t *name = block->data + start;
	uint32_t len = end - start;
	if (i + 1 == block->count) { /* the last name may be padded with zero bytes */
		uint32_t n = 0;
		while (n < len && name[n])
			n++;
		len = n;
	}
	if (!len || len > NAME_LIMIT)
		return -EIO;
	*entry = (struct erofs_dirent){ .nid = get64(raw), .name = (const char *)name, .name_len = len, .type = raw[10] };
	return 0;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = __builtin_memcmp(a, b, a_len < b_len ? a_len : b_len);
	return r ? r : (a_len > b_len) - (a_len < b_len);
}

/* Names are sorted over the whole directory: finds the last block that does not begin after name. */
static int find_block(const struct erofs *fs, const struct erofs_inode *dir, const char *name, size_t len, struct dir_block *block)
{
	uint64_t low = 0, high = (dir->size + BLOCK - 1) >> BLOCK_BITS; /* answer in [low, high) */
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		struct erofs_dirent entry;
		int r = dir_block(fs, dir, middle, block);
		if (!r)
			r = dir_entry(block, 0, &entry);
		if (r)
			return r;
		if (compare(entry.name, entry.name_len, name, len) <= 0)
			low = middle;
		else
			high = middle;
	}
	return dir_block(fs, dir, low, block);
}

int erofs_lookup(const struct erofs *fs, const struct erofs_inode *dir, const char *name, size_t len, uint64_t *nid)
{
	if ((dir->mode & MODE_TYPE) != MODE_DIR)
		return -ENOTDIR;
	if (!dir->size || !len || len > NAME_LIMIT)
		return -ENOENT;
	struct dir_block block;
	int r = find_block(fs, dir, name, len, &block);
	if (r)
		return r;
	uint32_t low = 0, high = block.count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct erofs_dirent entry;
		r = dir_entry(&block, middle, &entry);
		if (r)
			return r;
		int order = compare(entry.name, entry.name_len, name, len);
		if (!order) {
			*nid = entry.nid;
			return 0;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

/* The cursor is a position in the directory's bytes: block and entry, as in telldir of the kernel's driver. */
int erofs_readdir(const struct erofs *fs, const struct erofs_inode *dir, uint64_t *cursor, struct erofs_dirent *entry)
{
	if ((dir->mode & MODE_TYPE) != MODE_DIR)
		return -ENOTDIR;
	if (*cursor >= dir->size)
		return 0;
	struct dir_block block;
	int r = dir_block(fs, dir, *cursor >> BLOCK_BITS, &block);
	if (r)
		return r;
	uint32_t i = (uint32_t)(*cursor & (BLOCK - 1)) / DIRENT;
	if (i >= block.count)
		return -EIO;
	r = dir_entry(&block, i, entry);
	if (r)
		return r;
	for (size_t n = 0; n < entry->name_len; n++)
		if (entry->name[n] == '/' || !entry->name[n])
			return -EIO;
	*cursor = i + 1 < block.count ? *cursor + DIRENT : ((*cursor >> BLOCK_BITS) + 1) << BLOCK_BITS;
	return 1;
}

/* ---- paths ---- */

/* Puts the target of a link in front of what is left of the path. */
static int splice_link(const struct erofs *fs, const struct erofs_inode *link, char *path, size_t *pos)
{
	char rest[PATH_LIMIT];
	size_t n = 0;
	while (path[*pos + n]) {
		rest[n] = path[*pos + n];
		n++;
	}
	if (link->size + 1 + n >= PATH_LIMIT)
		return -ENAMETOOLONG;
	int64_t r = erofs_read(fs, link, 0, path, link->size);
	if (r <= 0)
		return r ? (int)r : -ENOENT;
	path[r++] = '/';
	__builtin_memcpy(path + r, rest, n);
	path[r + (int64_t)n] = 0;
	*pos = 0;
	return 0;
}

int erofs_walk(const struct erofs *fs, const char *path, struct erofs_inode *inode)
{
	char left[PATH_LIMIT];
	size_t len = __builtin_strlen(path), pos = 0;
	if (len >= PATH_LIMIT)
		return -ENAMETOOLONG;
	__builtin_memcpy(left, path, len + 1);
	int links = 0, r = erofs_inode(fs, fs->root_nid, inode);
	while (!r) {
		while (left[pos] == '/')
			pos++;
		if (!left[pos])
			return 0;
		size_t start = pos;
		while (left[pos] && left[pos] != '/')
			pos++;
		struct erofs_inode dir = *inode;
		uint64_t nid;
		r = erofs_lookup(fs, &dir, left + start, pos - start, &nid);
		if (!r)
			r = erofs_inode(fs, nid, inode);
		if (r || (inode->mode & MODE_TYPE) != MODE_LINK)
			continue;
		r = ++links > LINK_LIMIT ? -ELOOP : splice_link(fs, inode, left, &pos);
		if (r)
			break;
		if (left[0] == '/')
			r = erofs_inode(fs, fs->root_nid, inode);
		else
			*inode = dir;
	}
	return r;
}
