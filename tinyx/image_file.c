/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/image_file.h"

/* The old functions link the digest alone; SHA256() and EVP would bring the whole provider machinery into a small static program. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/image.h"
#include "abi/image_manifest.h"
#include "base/crc32c.h"
#include "base/file.h"

#define BLOCK 4096
#define SUPER 1024 /* where the superblock lies */
#define SUPER_MAGIC 0xe0f5e1e2u
#define SUPER_HAS_SUM 1u

static uint32_t word_at(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

static void sha256(const void *data, size_t size, uint8_t *digest)
{
	SHA256_CTX sum;
	SHA256_Init(&sum);
	SHA256_Update(&sum, data, size);
	SHA256_Final(digest, &sum);
}

/* The sum covers the rest of the first block, with its own four bytes zero. */
static bool super_sum_right(const uint8_t *map)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32c(~0u, map + SUPER, 4);
	crc = crc32c(crc, zero, 4);
	crc = crc32c(crc, map + SUPER + 8, BLOCK - SUPER - 8);
	return crc == word_at(map + SUPER + 4);
}

bool image_is(int fd)
{
	uint8_t magic[4];
	return pread(fd, magic, sizeof(magic), SUPER) == (ssize_t)sizeof(magic) && word_at(magic) == SUPER_MAGIC;
}

static int check_trailer(struct image *image, uint64_t body, const char *path, struct error *error)
{
	struct lv_trailer trailer;
	if (image->size == body)
		return 0;
	if (image->size < body + LV_TRAILER_SIZE)
		return error_set(error, -EUCLEAN, "%s: image damaged: it is cut off: %zu bytes of %llu", path, image->size,
				 (unsigned long long)(body + LV_TRAILER_SIZE));
	memcpy(&trailer, image->map + body, sizeof(trailer));
	if (trailer.magic != LV_TRAILER_MAGIC)
		return error_set(error, -EUCLEAN, "%s: image damaged: there is no trailer behind the file system", path);
	if (trailer.version != LV_TRAILER_VERSION || trailer.body_size != body || image->size != body + LV_TRAILER_SIZE)
		return error_set(error, -EUCLEAN, "%s: image damaged: the trailer tells of %llu bytes, there are %llu", path,
				 (unsigned long long)trailer.body_size, (unsigned long long)body);
	image->has_trailer = true;
	hex_print(trailer.sha256, sizeof(trailer.sha256), image->sha256);
	return 0;
}

static int check_super(struct image *image, const char *path, struct error *error)
{
	if (image->size < BLOCK)
		return error_set(error, -EUCLEAN, "%s: image damaged: %zu bytes are less than one block", path, image->size);
	if (word_at(image->map + SUPER) != SUPER_MAGIC)
		return error_set(error, -ENOEXEC, "%s: image damaged, or not an image: there is no EROFS superblock", path);
	if ((word_at(image->map + SUPER + 8) & SUPER_HAS_SUM) && !super_sum_right(image->map))
		return error_set(error, -EUCLEAN, "%s: image damaged: the superblock's checksum is wrong", path);
	uint64_t body = (uint64_t)word_at(image->map + SUPER + 36) * BLOCK;
	if (body > image->size)
		return error_set(error, -EUCLEAN, "%s: image damaged: it is cut off: %zu bytes of %llu", path, image->size,
				 (unsigned long long)body);
	if (erofs_open(&image->fs, image->map, image->size))
		return error_set(error, -EUCLEAN,
				 "%s: image damaged: not an uncompressed EROFS file system with blocks of 4096 bytes", path);
	return check_trailer(image, body, path, error);
}

static int read_manifest(struct image *image, const char *path, struct error *error)
{
	struct erofs_inode inode;
	int err = erofs_walk(&image->fs, LV_MANIFEST_PATH, &inode);
	if (err == -ENOENT)
		return 0; /* an image without one: the command line says what to run */
	if (err || inode.size > LV_MANIFEST_MAX)
		return error_set(error, -EUCLEAN, "%s: image damaged: its manifest cannot be read", path);
	char *json = alloc_zero(inode.size);
	if (!json)
		return error_set(error, -ENOMEM, "out of memory");
	int64_t n = erofs_read(&image->fs, &inode, 0, json, inode.size);
	if (n < 0 || (uint64_t)n != inode.size)
		err = error_set(error, -EUCLEAN, "%s: image damaged: its manifest cannot be read", path);
	else if ((err = manifest_parse(&image->manifest, json, inode.size, error)))
		error_prefix(error, "%s", path);
	free(json);
	return err;
}

int image_open(struct image *image, const char *path, struct error *error)
{
	*image = IMAGE_CLOSED;
	struct stat st;
	int fd = file_open_regular(path);
	if (fd < 0)
		return error_set(error, fd, "%s: %s", path, fd == -EINVAL || fd == -EISDIR ? "not a regular file" : strerror(-fd));
	image->fd = fd;
	if (fstat(fd, &st))
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	image->size = (size_t)st.st_size;
	if (image->size) {
		void *map = mmap(NULL, image->size, PROT_READ, MAP_SHARED, image->fd, 0);
		if (map == MAP_FAILED)
			return error_set(error, -errno, "%s: %s", path, strerror(errno));
		image->map = map;
	}
	int err = check_super(image, path, error);
	return err ? err : read_manifest(image, path, error);
}

int image_verify(const struct image *image, const char *path, struct error *error)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hex[IMAGE_HEX + 1];
	if (!image->has_trailer)
		return error_set(error, -ENODATA, "%s: the image has no digest to compare with", path);
	sha256(image->map, image->size - LV_TRAILER_SIZE, digest);
	hex_print(digest, sizeof(digest), hex);
	if (strcmp(hex, image->sha256))
		return error_set(error, -EUCLEAN, "%s: image damaged: SHA-256 is %s, should be %s", path, hex, image->sha256);
	return 0;
}

void image_close(struct image *image)
{
	if (image->map)
		munmap((void *)image->map, image->size);
	if (image->fd >= 0)
		close(image->fd);
	manifest_free(&image->manifest);
	*image = IMAGE_CLOSED;
}

int image_seal(int fd, char *hex, struct error *error)
{
	uint8_t block[LV_TRAILER_SIZE] = { 0 };
	struct lv_trailer trailer = { .magic = LV_TRAILER_MAGIC, .version = LV_TRAILER_VERSION, .size = LV_TRAILER_SIZE };
	struct stat st;
	if (fstat(fd, &st))
		return error_set(error, -errno, "image: %s", strerror(errno));
	trailer.body_size = (uint64_t)st.st_size;
	void *map = mmap(NULL, trailer.body_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(error, -errno, "image: %s", strerror(errno));
	sha256(map, trailer.body_size, trailer.sha256);
	munmap(map, trailer.body_size);
	memcpy(block, &trailer, sizeof(trailer));
	if (pwrite(fd, block, sizeof(block), st.st_size) != (ssize_t)sizeof(block))
		return error_set(error, -EIO, "image: the trailer could not be written: %s", strerror(errno));
	hex_print(trailer.sha256, sizeof(trailer.sha256), hex);
	return 0;
}

uint64_t file_fingerprint(const struct stat *st)
{
	const uint64_t word[] = { st->st_dev, st->st_ino, st->st_mode, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec };
	uint64_t hash = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < sizeof(word) / sizeof(*word); i++) {
		hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return hash ? hash : 1;
}
