/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an EROFS image that lies in memory (uncompressed, 4 KiB blocks; Documentation/filesystems/erofs.rst and
 * erofs-utils' erofs_fs.h describe the format). Freestanding: libos uses it on the mapped image, host programs on a
 * mapped file. The image is hostile: every offset is checked against its size, nothing is written, nothing allocated.
 */
#ifndef LV_PARSE_EROFS_H
#define LV_PARSE_EROFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct erofs {
	const uint8_t *base;
	size_t size; /* bytes */
	uint64_t root_nid;
	uint32_t meta_blkaddr;
	uint64_t build_time; /* s since the epoch: the time of inodes that store none */
	uint32_t build_time_nsec;
};

struct erofs_inode {
	uint64_t nid;
	uint64_t size;
	uint64_t mtime;
	uint32_t mtime_nsec;
	uint32_t mode; /* as stat.st_mode */
	uint32_t uid, gid, nlink;
	uint32_t rdev; /* of a device, as the kernel keeps it: erofs_major, erofs_minor */
	uint64_t xattr_at; /* where its extended attributes lie in the image, and how many bytes of them */
	uint32_t xattr_size;
	/* where the data lies; see erofs_map */
	uint32_t layout;
	uint32_t raw_blkaddr;
	uint64_t inline_offset; /* of tail-packed data in the image */
	uint64_t chunk_index;   /* image offset of the chunk table */
	uint32_t chunk_bits;
	bool chunk_has_index;
};

struct erofs_dirent {
	uint64_t nid;
	const char *name; /* in the image, not terminated */
	size_t name_len;
	uint8_t type; /* EROFS_FT_*: as DT_* after erofs_dt() */
};

struct erofs_xattr {
	const char *prefix; /* "security." and the like; terminated */
	const char *name;   /* behind it; in the image, not terminated, as is the value */
	const uint8_t *value;
	size_t name_len, size;
};

static inline uint32_t erofs_major(uint32_t rdev)
{
	return rdev >> 8 & 0xfff;
}

static inline uint32_t erofs_minor(uint32_t rdev)
{
	return (rdev & 0xff) | (rdev >> 12 & 0xfff00);
}

/* The DT_* value of getdents64 for a directory entry's type. */
uint8_t erofs_dt(uint8_t type);

/* 0, or -EINVAL when the image is not an uncompressed EROFS image of 4 KiB blocks that fits in size bytes. */
int erofs_open(struct erofs *fs, const void *image, size_t size);
int erofs_inode(const struct erofs *fs, uint64_t nid, struct erofs_inode *inode);
/* Finds name in directory dir: 0 and *nid, or -ENOENT, -ENOTDIR, -EIO (damaged). */
int erofs_lookup(const struct erofs *fs, const struct erofs_inode *dir, const char *name, size_t len, uint64_t *nid);
/* The entry at *cursor (0 at first), which is moved on; 1, 0 at the end, or -EIO. */
int erofs_readdir(const struct erofs *fs, const struct erofs_inode *dir, uint64_t *cursor, struct erofs_dirent *entry);
/* The extended attribute at *cursor (0 at first), which is moved on; 1, 0 at the end, or -EIO. Only those that lie behind the inode itself. */
int erofs_xattr(const struct erofs *fs, const struct erofs_inode *inode, uint32_t *cursor, struct erofs_xattr *xattr);
/*
 * The longest run of the file's bytes at offset that lie together in the image: *data points into the image, *len is
 * its length (0 at the end of the file; *data NULL: a hole of *len zero bytes). 0 or -EIO.
 */
int erofs_map(const struct erofs *fs, const struct erofs_inode *inode, uint64_t offset, const uint8_t **data, size_t *len);
/* Copies up to len bytes; the number copied, or -EIO. */
int64_t erofs_read(const struct erofs *fs, const struct erofs_inode *inode, uint64_t offset, void *buffer, size_t len);
/* Walks an absolute path from the root, following symbolic links inside the image (at most 40). 0 or a negative errno. */
int erofs_walk(const struct erofs *fs, const char *path, struct erofs_inode *inode);

#endif
