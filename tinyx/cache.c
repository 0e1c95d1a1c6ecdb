/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "base/owned_dir.h"
#include "base/parallel.h"

#define INDEX_MAGIC 0x3178646e49564cull /* "LVIndx1" */
#define INDEX_MAX (64u << 20)
#define IMAGE_SUFFIX ".lvm"
#define NEEDED "needed-"
#define PAGES "pages-"
#define PAGES_KEPT 30 /* days, of an image that is not of the cache */
#define PAGES_SECONDS 86400 /* programs are used otherwise in time: a start a day is watched anew */
#define CACHE_LIMIT (8ull << 30)
#define PIECE 256u /* records that one thread looks at before it takes more */
#define THREADS_MOST 4u
#define USE_SECONDS 3600 /* so exactly a use is noted: not every start has to write */

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
	/* Services of the system are started without HOME. */
	return geteuid() ? alloc_format("/var/tmp/lightvm-%u", (unsigned)geteuid()) : alloc_copy("/var/cache/lightvm");
}

int cache_open(struct cache *cache, bool create, struct error *error)
{
	int err = 0;
	*cache = (struct cache){ .path = cache_dir(), .dir = -1, .images = -1, .index = -1 };
	cache->dir = owned_dir_open(cache->path, create, error);
	if (cache->dir < 0)
		return cache->dir;
	if (create && ((err = cache->images = owned_dir_openat(cache->dir, cache->path, "images", true, error)) < 0 ||
		       (err = cache->index = owned_dir_openat(cache->dir, cache->path, "index", true, error)) < 0))
		return err;
	return 0;
}

void cache_close(struct cache *cache)
{
	const int fds[] = { cache->index, cache->images, cache->dir };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(cache->path);
	*cache = CACHE_NONE;
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

void cache_open_or_warn(struct cache *cache)
{
	struct error error = { 0 };
	int err = cache_open(cache, true, &error);
	if (err) {
		cache_close(cache);
		log_warn("no image is kept for later starts: %s", error.text);
	}
}

static uint64_t hash_of(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	for (const char *c = key; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
	return hash;
}

/* Of the entry in the cache's directory; the caller's. */
static char *index_path(const char *key)
{
	return alloc_format("index/%016" PRIx64, hash_of(key));
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

struct record {
	const char *path;
	uint64_t fingerprint;
};

struct records {
	struct record *record;
	size_t count;
	bool stale;
};

static void look_at_piece(void *context, size_t piece)
{
	struct records *records = context;
	const size_t from = piece * PIECE, end = from + PIECE < records->count ? from + PIECE : records->count;
	for (size_t i = from; i < end && !__atomic_load_n(&records->stale, __ATOMIC_RELAXED); i++) {
		struct stat st;
		if (lstat(records->record[i].path, &st) || file_fingerprint(&st) != records->record[i].fingerprint)
			__atomic_store_n(&records->stale, true, __ATOMIC_RELAXED);
	}
}

static bool read_records(struct cursor *cursor, struct records *records)
{
	for (size_t i = 0; i < records->count; i++) {
		struct record *record = &records->record[i];
		if ((size_t)(cursor->end - cursor->at) < sizeof(record->fingerprint))
			return false;
		memcpy(&record->fingerprint, cursor->at, sizeof(record->fingerprint));
		cursor->at += sizeof(record->fingerprint);
		record->path = next_string(cursor);
		if (!record->path)
			return false;
	}
	return true;
}

/* An interpreter has thousands of them, at more than a microsecond each. */
static bool records_fresh(struct cursor *cursor, uint32_t count)
{
	if (count > (size_t)(cursor->end - cursor->at) / sizeof(uint64_t))
		return false;
	struct records records = { .record = alloc_zero((count + 1ul) * sizeof(*records.record)), .count = count };
	const bool whole = records.record && read_records(cursor, &records);
	const size_t pieces = (count + PIECE - 1ul) / PIECE;
	if (whole)
		parallel_each(pieces, pieces > 1 ? parallel_processors(THREADS_MOST) : 1, look_at_piece, &records);
	free(records.record);
	return whole && !records.stale;
}

static int open_image(const struct cache *cache, const char *name, uint64_t fingerprint, struct packed *packed)
{
	struct stat st;
	char *below = alloc_format("images/%s", name);
	packed->path = alloc_format("%s/%s", cache->path, below);
	packed->fd = openat(cache->dir, below, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	free(below);
	if (packed->fd < 0 || fstat(packed->fd, &st) || file_fingerprint(&st) != fingerprint)
		return -ENOENT; /* removed, or not as we left it: it is packed anew */
	return 0;
}

static int read_index(const struct cache *cache, const char *key, const char *data, size_t size, struct packed *packed)
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
	return records_fresh(&cursor, head.records) ? open_image(cache, image, head.image_fingerprint, packed) : -ENOENT;
}

/* The time of an index file is that of the last use of its image: the image's own times are part of its fingerprint. */
static void note_use(int dir, const char *path)
{
	struct stat st;
	if (!fstatat(dir, path, &st, 0) && time(NULL) - st.st_mtime > USE_SECONDS)
		utimensat(dir, path, NULL, 0);
}

int cache_find(const struct cache *cache, const char *key, struct packed *packed)
{
	char *path = index_path(key), *data = NULL;
	size_t size;
	*packed = PACKED_NONE;
	int err = file_read(cache->dir, path, INDEX_MAX, &data, &size) ? -ENOENT : read_index(cache, key, data, size, packed);
	if (err)
		packed_free(packed);
	else
		note_use(cache->dir, path);
	free(data);
	free(path);
	return err;
}

/* ---- writing ---- */

static void put_string(struct text *text, const char *string)
{
	text_add(text, string, strlen(string) + 1);
}

int cache_store(const struct cache *cache, const char *key, const struct packed *packed, const struct plan *plan, struct error *error)
{
	struct stat st;
	struct text text = { 0 };
	if (fstat(packed->fd, &st))
		return error_set(error, -errno, "%s: %s", packed->path, strerror(errno));
	struct index_head head = { INDEX_MAGIC, file_fingerprint(&st), packed->need, (uint32_t)packed->args.count, 0 };
	head.records = (uint32_t)plan->also_count;
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
	for (size_t i = 0; i < plan->also_count; i++) {
		text_add(&text, &plan->also[i].fingerprint, sizeof(uint64_t));
		put_string(&text, plan->also[i].path);
	}
	char *path = index_path(key);
	int err = file_write(cache->dir, path, text.data, text.size, 0600);
	if (err)
		error_set(error, err, "%s/%s: %s", cache->path, path, strerror(-err));
	free(path);
	text_free(&text);
	return err;
}

/* ---- images of the user's own, verified once ---- */

static char *note_path(const struct image *image)
{
	struct stat st;
	if (fstat(image->fd, &st))
		return NULL;
	return alloc_format("index/verified-%016" PRIx64, file_fingerprint(&st));
}

int cache_verified(const struct cache *cache, const struct image *image)
{
	char sum[IMAGE_HEX + 1] = "", *path = note_path(image);
	ssize_t n = path ? readlinkat(cache->dir, path, sum, sizeof(sum)) : -1;
	free(path);
	return n == IMAGE_HEX && !strncmp(sum, image->sha256, IMAGE_HEX) ? 0 : -ENOENT;
}

void cache_note_verified(const struct cache *cache, const struct image *image)
{
	char *path = note_path(image);
	/* A link whose text is the digest: one call to make, one to read. A failure only means to verify again. */
	if (path && symlinkat(image->sha256, cache->dir, path) && errno == ENOENT && !mkdirat(cache->dir, "index", 0700))
		(void)!symlinkat(image->sha256, cache->dir, path);
	free(path);
}

/* ---- images that others need ---- */

/* A link: "SHA256 PATH". */
int cache_keep_for(const struct cache *cache, const char *sha256, const char *path)
{
	char *image = alloc_format("images/%s" IMAGE_SUFFIX, sha256), *name = alloc_format("index/" NEEDED "%016" PRIx64, hash_of(path)), *note = alloc_format("%s %s", sha256, path);
	int err = !image || !name || !note ? -ENOMEM : 0;
	if (!err && !faccessat(cache->dir, image, F_OK, AT_SYMLINK_NOFOLLOW)) {
		unlinkat(cache->dir, name, 0);
		err = symlinkat(note, cache->dir, name) ? -errno : 0;
	}
	free(image);
	free(name);
	free(note);
	return err;
}

/* ---- pages that starts touch ---- */

/* By the digest that an image of the cache is called by; others by what changes when the file does. */
static char *pages_path(const struct cache *cache, const char *path, int image)
{
	const size_t n = strlen(cache->path);
	const char *name = !strncmp(path, cache->path, n) && text_starts(path + n, "/images/") ? path + n + sizeof("/images/") - 1 : "";
	struct stat st;
	if (strlen(name) == IMAGE_HEX + sizeof(IMAGE_SUFFIX) - 1 && !strchr(name, '/'))
		return alloc_format("index/" PAGES "%.*s", IMAGE_HEX, name);
	return fstat(image, &st) ? NULL : alloc_format("index/" PAGES "%016" PRIx64, file_fingerprint(&st));
}

int cache_pages_open(const struct cache *cache, const char *path, int image)
{
	char *list = pages_path(cache, path, image);
	if (!list)
		return -EBADF;
	int fd = openat(cache->dir, list, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err = fd < 0 ? -errno : 0;
	struct stat st;
	if (!err && !fstat(fd, &st) && st.st_size && time(NULL) - st.st_mtime > PAGES_SECONDS && ftruncate(fd, 0))
		log_debug("%s: %s", list, strerror(errno));
	free(list);
	return err ? err : fd;
}

/* A list goes with its image; where nobody can say whether that is there, when it has not been made anew for long. */
static bool forgets_pages(int dir, const char *name, const char *sha256)
{
	const char *image = name + sizeof(PAGES) - 1;
	struct stat st;
	if (sha256)
		return !strncmp(image, sha256, IMAGE_HEX);
	if (strlen(image) != IMAGE_HEX)
		return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && time(NULL) - st.st_mtime > PAGES_KEPT * PAGES_SECONDS;
	char *path = alloc_format("../images/%s" IMAGE_SUFFIX, image);
	bool gone = faccessat(dir, path, F_OK, 0) != 0;
	free(path);
	return gone;
}

static bool forgets(int dir, const char *name, const char *sha256)
{
	if (text_starts(name, PAGES))
		return forgets_pages(dir, name, sha256);
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

/* NULL: not there. */
static DIR *open_part(const struct cache *cache, const char *part)
{
	int fd = openat(cache->dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !stream)
		close(fd);
	return stream;
}

void cache_forget(const struct cache *cache, const char *sha256)
{
	DIR *stream = open_part(cache, "index");
	if (!stream)
		return;
	for (struct dirent *entry; (entry = readdir(stream));)
		if (entry->d_name[0] != '.' && forgets(dirfd(stream), entry->d_name, sha256))
			unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
}

/* ---- the cache's size ---- */

struct cached {
	char name[IMAGE_HEX + sizeof(IMAGE_SUFFIX)];
	uint64_t size;
	time_t used;
	bool needed; /* by somebody else */
};

struct cached_list {
	struct cached *item;
	size_t count;
	uint64_t bytes;
};

static void each_file(const struct cache *cache, const char *part, void (*each)(struct cached_list *list, int at, const char *name), struct cached_list *list)
{
	DIR *stream = open_part(cache, part);
	for (struct dirent *entry; stream && (entry = readdir(stream));)
		if (entry->d_name[0] != '.')
			each(list, dirfd(stream), entry->d_name);
	if (stream)
		closedir(stream);
}

static void add_image(struct cached_list *list, int at, const char *name)
{
	struct stat st;
	if (strlen(name) != IMAGE_HEX + sizeof(IMAGE_SUFFIX) - 1 || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return;
	list->item = alloc_again(list->item, (list->count + 1) * sizeof(*list->item));
	struct cached *image = &list->item[list->count++];
	*image = (struct cached){ .size = (uint64_t)st.st_size, .used = st.st_mtime };
	strcpy(image->name, name);
	list->bytes += image->size;
}

static void add_use(struct cached_list *list, int at, const char *name)
{
	char head[sizeof(struct index_head) + sizeof(list->item->name)] = "";
	struct stat st;
	int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC); /* notes are links, and are passed over */
	bool whole = fd >= 0 && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) && !fstat(fd, &st);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; whole && i < list->count; i++)
		if (!strncmp(head + sizeof(struct index_head), list->item[i].name, sizeof(list->item[i].name)) && st.st_mtime > list->item[i].used)
			list->item[i].used = st.st_mtime;
}

/* What has gone needs nothing any more. */
static void add_need(struct cached_list *list, int at, const char *name)
{
	char note[PATH_MAX];
	ssize_t n = text_starts(name, NEEDED) ? readlinkat(at, name, note, sizeof(note) - 1) : -1;
	if (n <= IMAGE_HEX + 1)
		return;
	note[n] = 0;
	if (access(note + IMAGE_HEX + 1, F_OK) && (errno == ENOENT || errno == ENOTDIR)) {
		unlinkat(at, name, 0);
		return;
	}
	for (size_t i = 0; i < list->count; i++)
		list->item[i].needed |= !strncmp(note, list->item[i].name, IMAGE_HEX);
}

/* What has a name was asked for by it. */
static void add_name(struct cached_list *list, int at, const char *name)
{
	char sha256[IMAGE_HEX];
	bool is_whole = readlinkat(at, name, sha256, sizeof(sha256)) == IMAGE_HEX;
	for (size_t i = 0; is_whole && i < list->count; i++)
		list->item[i].needed |= !strncmp(sha256, list->item[i].name, IMAGE_HEX);
}

/* The one that was used longest ago, or NULL if only keep and what is needed are left. */
static struct cached *oldest(const struct cached_list *list, const char *keep)
{
	struct cached *found = NULL;
	for (size_t i = 0; i < list->count; i++)
		if (list->item[i].size && !list->item[i].needed && strcmp(list->item[i].name, keep) && (!found || list->item[i].used < found->used))
			found = &list->item[i];
	return found;
}

uint64_t cache_limit(void)
{
	const char *given = getenv("LIGHTVM_CACHE_SIZE");
	uint64_t limit;
	if (!given || !*given)
		return CACHE_LIMIT;
	if (!size_parse(given, &limit))
		return limit;
	log_warn("LIGHTVM_CACHE_SIZE: \"%s\" is not a size like 20G; the image cache keeps 8G", given);
	return CACHE_LIMIT;
}

void cache_trim(const struct cache *cache, const char *keep, uint64_t limit)
{
	struct cached_list list = { 0 };
	bool any = false;
	each_file(cache, "images", add_image, &list);
	if (list.bytes > limit) {
		each_file(cache, "index", add_use, &list);
		each_file(cache, "index", add_need, &list);
		each_file(cache, "names", add_name, &list);
	}
	for (struct cached *image; list.bytes > limit && (image = oldest(&list, keep)); any = true) {
		char *path = alloc_format("images/%s", image->name);
		log_info("the image cache is full: %s/%s is removed", cache->path, path);
		unlinkat(cache->dir, path, 0);
		free(path);
		list.bytes -= image->size;
		image->size = 0;
	}
	free(list.item);
	if (any)
		cache_forget(cache, NULL);
}
