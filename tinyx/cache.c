/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define INDEX_MAGIC 0x3178646e49564cull /* "LVIndx1" */
#define INDEX_MAX (64u << 20)
#define IMAGE_SUFFIX ".lvm"

struct index_head { /* then, each ended by a zero byte: image name, key, program, args; then records */
	uint64_t magic;
	uint64_t image_fingerprint;
	uint64_t need;
	uint32_t args, records;
};

char *cache_dir(void)
{
	const char *given = getenv("LIGHTVM_CACHE");
	if (given && given[0] == '/')
		return alloc_copy(given);
	const char *base = getenv("XDG_CACHE_HOME");
	if (base && base[0] == '/')
		return alloc_format("%s/lightvm", base);
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return alloc_format("%s/.cache/lightvm", home);
	return alloc_format("/var/tmp/lightvm-%u", (unsigned)getuid());
}

void packed_free(struct packed *packed)
{
	if (packed->fd >= 0)
		close(packed->fd);
	free(packed->path);
	free(packed->program);
	strings_free(&packed->args);
	*packed = PACKED_NONE;
}

static char *index_path(const char *dir, const char *key)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	for (const char *c = key; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
	return alloc_format("%s/index/%016" PRIx64, dir, hash);
}

/* ---- reading ---- */

struct cursor {
	const char *at, *end;
};

/* The next terminated string, or NULL at the end. */
static const char *next_string(struct cursor *cursor)
{
	const char *string = cursor->at, *zero = memchr(string, 0, (size_t)(cursor->end - string));
	if (!zero)
		return NULL;
	cursor->at = zero + 1;
	return string;
}

static bool records_fresh(struct cursor *cursor, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t fingerprint;
		struct stat st;
		if ((size_t)(cursor->end - cursor->at) < sizeof(fingerprint))
			return false;
		memcpy(&fingerprint, cursor->at, sizeof(fingerprint));
		cursor->at += sizeof(fingerprint);
		const char *path = next_string(cursor);
		if (!path || lstat(path, &st) || file_fingerprint(&st) != fingerprint)
			return false;
	}
	return true;
}

static int open_image(const char *dir, const char *name, uint64_t fingerprint, struct packed *packed)
{
	struct stat st;
	packed->path = alloc_format("%s/images/%s", dir, name);
	packed->fd = open(packed->path, O_RDONLY | O_CLOEXEC);
	if (packed->fd < 0 || fstat(packed->fd, &st) || file_fingerprint(&st) != fingerprint)
		return -ENOENT; /* removed, or not as we left it: it is packed anew */
	return 0;
}

static int read_index(const char *dir, const char *key, const char *data, size_t size, struct packed *packed)
{
	struct cursor cursor = { data, data + size };
	struct index_head head;
	if (size < sizeof(head))
		return -ENOENT;
	memcpy(&head, data, sizeof(head));
	cursor.at += sizeof(head);
	const char *image = next_string(&cursor), *its_key = image ? next_string(&cursor) : NULL;
	if (head.magic != INDEX_MAGIC || !its_key || strcmp(key, its_key) || strchr(image, '/'))
		return -ENOENT;
	const char *program = next_string(&cursor);
	if (!program)
		return -ENOENT;
	packed->program = alloc_copy(program);
	packed->need = head.need;
	for (uint32_t i = 0; i < head.args; i++) {
		const char *arg = next_string(&cursor);
		if (!arg)
			return -ENOENT;
		strings_add(&packed->args, arg);
	}
	return records_fresh(&cursor, head.records) ? open_image(dir, image, head.image_fingerprint, packed) : -ENOENT;
}

int cache_find(const char *dir, const char *key, struct packed *packed)
{
	char *path = index_path(dir, key), *data;
	size_t size;
	*packed = PACKED_NONE;
	int err = file_read(AT_FDCWD, path, INDEX_MAX, &data, &size) ? -ENOENT : 0;
	free(path);
	if (err)
		return err;
	err = read_index(dir, key, data, size, packed);
	free(data);
	if (err)
		packed_free(packed);
	return err;
}

/* ---- writing ---- */

static void put_string(struct text *text, const char *string)
{
	text_add(text, string, strlen(string) + 1);
}

int cache_store(const char *dir, const char *key, const struct packed *packed, const struct plan *plan, struct error *error)
{
	struct stat st;
	struct text text = { 0 };
	if (fstat(packed->fd, &st))
		return error_set(error, -errno, "%s: %s", packed->path, strerror(errno));
	struct index_head head = { INDEX_MAGIC, file_fingerprint(&st), packed->need, (uint32_t)packed->args.count, 0 };
	for (size_t i = 0; i < plan->count; i++)
		head.records += plan->entry[i].depends != NULL;
	text_add(&text, &head, sizeof(head));
	put_string(&text, strrchr(packed->path, '/') + 1);
	put_string(&text, key);
	put_string(&text, packed->program);
	for (size_t i = 0; i < packed->args.count; i++)
		put_string(&text, packed->args.item[i]);
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->entry[i].depends)
			continue;
		text_add(&text, &plan->entry[i].fingerprint, sizeof(uint64_t));
		put_string(&text, plan->entry[i].depends);
	}
	char *path = index_path(dir, key);
	int err = file_write(AT_FDCWD, path, text.data, text.size, 0600);
	if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	free(path);
	text_free(&text);
	return err;
}

/* ---- images of the user's own, verified once ---- */

static char *note_path(const char *dir, const struct image *image)
{
	struct stat st;
	if (fstat(image->fd, &st))
		return NULL;
	return alloc_format("%s/index/verified-%016" PRIx64, dir, file_fingerprint(&st));
}

int cache_verified(const char *dir, const struct image *image)
{
	char sum[IMAGE_HEX + 1] = "", *path = note_path(dir, image);
	ssize_t n = path ? readlink(path, sum, sizeof(sum)) : -1;
	free(path);
	return n == IMAGE_HEX && !strncmp(sum, image->sha256, IMAGE_HEX) ? 0 : -ENOENT;
}

void cache_note_verified(const char *dir, const struct image *image)
{
	char *path = note_path(dir, image);
	/* A link whose text is the digest: one call to make, one to read. A failure only means to verify again. */
	if (path && symlink(image->sha256, path) && errno == ENOENT) {
		*strrchr(path, '/') = 0;
		dir_make(path, 0700);
		path[strlen(path)] = '/';
		(void)!symlink(image->sha256, path);
	}
	free(path);
}

static bool forgets(int dir, const char *name, const char *sha256)
{
	char *data, image[IMAGE_HEX + 1] = "";
	size_t size;
	if (text_starts(name, "verified-"))
		return sha256 && readlinkat(dir, name, image, sizeof(image)) == IMAGE_HEX && !strncmp(image, sha256, IMAGE_HEX);
	if (file_read(dir, name, INDEX_MAX, &data, &size))
		return false;
	bool match = size <= sizeof(struct index_head) || !sha256 ||
		     !strncmp(data + sizeof(struct index_head), sha256, IMAGE_HEX);
	if (!sha256 && size > sizeof(struct index_head)) {
		char *path = alloc_format("../images/%.*s", IMAGE_HEX + 4, data + sizeof(struct index_head));
		match = faccessat(dir, path, F_OK, 0) != 0;
		free(path);
	}
	free(data);
	return match;
}

void cache_forget(const char *dir, const char *sha256)
{
	char *path = alloc_format("%s/index", dir);
	DIR *stream = opendir(path);
	free(path);
	if (!stream)
		return;
	for (struct dirent *entry; (entry = readdir(stream));)
		if (entry->d_name[0] != '.' && forgets(dirfd(stream), entry->d_name, sha256))
			unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
}
