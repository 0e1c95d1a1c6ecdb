/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that are there: finding, listing and removing them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "tinyx/cache.h"
#include "tinyx/file_digest.h"
#include "tinyx/kernel.h"

#define META_MAX 65536

char *kernel_cache(void)
{
	char *cache = cache_dir(), *path = alloc_format("%s/kernel", cache);
	free(cache);
	return path;
}

bool kernel_is_kept(const char *path)
{
	char *cache = kernel_cache();
	size_t len = cache ? strlen(cache) : 0;
	bool kept = len && !strncmp(path, cache, len) && path[len] == '/';
	free(cache);
	return kept;
}

bool kernel_lacks(const char *path, const char *option)
{
	struct strings missing = { 0 };
	char *config = alloc_format("%.*s/config", (int)(strrchr(path, '/') ? strrchr(path, '/') - path : 0), path);
	char *wanted = alloc_format("%s=y\n", option), *built = NULL;
	size_t size;
	if (kernel_is_kept(path) && config && wanted && !file_read(AT_FDCWD, config, KERNEL_CONFIG_MAX, &built, &size))
		kernel_config_missing(wanted, built, &missing);
	bool lacks = missing.count;
	strings_free(&missing);
	free(built);
	free(wanted);
	free(config);
	return lacks;
}

/*
 * Opens the cache's directory "kernel": like an image, a kernel is only taken from where nobody else can have put it. It may be a link,
 * to kernels that several caches share: the user alone can have made it.
 */
static int open_store(bool create, struct error *error)
{
	struct cache cache;
	struct error unusable;
	int fd = cache_open(&cache, create, error ? error : &unusable);
	if (!fd && create && mkdirat(cache.dir, "kernel", 0700) && errno != EEXIST)
		fd = error_set(error, -errno, "%s/kernel: %s", cache.path, strerror(errno));
	if (!fd && (fd = openat(cache.dir, "kernel", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		fd = errno == ENOENT ? -ENOENT : error_set(error, -errno, "%s/kernel: %s", cache.path, strerror(errno));
	cache_close(&cache);
	return fd;
}

int kernel_cache_make(struct error *error)
{
	int fd = open_store(true, error);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

void kernel_free(struct kernel *kernel)
{
	free(kernel->name);
	free(kernel->directory);
	free(kernel->release);
	free(kernel->source);
	free(kernel->source_id);
	*kernel = (struct kernel){ 0 };
}

/* ---- one of them ---- */

/* "NAME-KEY": the length of NAME; 0: not such a name. */
static size_t split(const char *entry)
{
	size_t len = strlen(entry);
	if (entry[0] == '.' || len < KERNEL_KEY + 2 || entry[len - KERNEL_KEY - 1] != '-')
		return 0;
	return strspn(entry + len - KERNEL_KEY, "0123456789abcdef") == KERNEL_KEY ? len - KERNEL_KEY - 1 : 0;
}

static uint64_t size_of(int dir, const char *entry, const char *file)
{
	struct stat st;
	char *path = alloc_format("%s/%s", entry, file);
	uint64_t size = fstatat(dir, path, &st, 0) ? 0 : (uint64_t)st.st_size;
	free(path);
	return size;
}

static char *word_of(const json_t *meta, const char *key)
{
	const char *word = json_string_value(json_object_get(meta, key));
	return alloc_copy(word ? word : "?");
}

static void read_meta(int dir, const char *entry, struct kernel *kernel)
{
	char *path = alloc_format("%s/meta.json", entry), *data = NULL;
	size_t size = 0;
	json_t *meta = file_read(dir, path, META_MAX, &data, &size) ? NULL : json_loadb(data, size, 0, NULL);
	kernel->release = word_of(meta, "release");
	kernel->source = word_of(meta, "source");
	kernel->source_id = word_of(meta, "source_id");
	kernel->built = json_integer_value(json_object_get(meta, "built"));
	json_decref(meta);
	free(data);
	free(path);
}

/* dir: the cache's directory "kernel". -ENOENT: entry is not a kernel. */
static int load(int dir, const char *cache, const char *entry, struct kernel *kernel)
{
	char target[NAME_MAX + 1];
	size_t name = split(entry);
	*kernel = (struct kernel){ 0 };
	if (!name || !(kernel->vmlinux = size_of(dir, entry, "vmlinux")))
		return -ENOENT;
	kernel->name = alloc_format("%.*s", (int)name, entry);
	kernel->directory = alloc_format("%s/%s", cache, entry);
	memcpy(kernel->key, entry + name + 1, KERNEL_KEY);
	kernel->bzimage = size_of(dir, entry, "bzImage");
	ssize_t n = readlinkat(dir, kernel->name, target, sizeof(target));
	kernel->newest = n == (ssize_t)strlen(entry) && !memcmp(target, entry, (size_t)n);
	read_meta(dir, entry, kernel);
	return 0;
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes fd. */
static int entries(int fd, struct strings *list)
{
	DIR *stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	for (struct dirent *entry; (entry = readdir(stream));)
		if (split(entry->d_name))
			strings_add(list, entry->d_name);
	closedir(stream);
	if (list->count)
		qsort(list->item, list->count, sizeof(*list->item), by_name);
	return 0;
}

int kernel_each(int (*each)(void *context, const struct kernel *kernel), void *context)
{
	char *cache = kernel_cache();
	struct strings list = { 0 };
	int dir = open_store(false, NULL), err = dir < 0 ? dir : entries(fcntl(dir, F_DUPFD_CLOEXEC, 3), &list);
	for (size_t i = 0; i < list.count && !err; i++) {
		struct kernel kernel;
		if (!load(dir, cache, list.item[i], &kernel))
			err = each(context, &kernel);
		kernel_free(&kernel);
	}
	if (dir >= 0)
		close(dir);
	strings_free(&list);
	free(cache);
	return err == -ENOENT ? 0 : err;
}

struct wanted {
	const struct file_known *known;
	char *path;
};

static int match_known(void *context, const struct kernel *kernel)
{
	static const char *const files[] = { "vmlinux", "bzImage" };
	struct wanted *wanted = context;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char *path = alloc_format("%s/%s", kernel->directory, files[i]);
		int fd = path ? file_open_known(path, wanted->known) : -ENOMEM;
		if (fd >= 0) {
			close(fd);
			wanted->path = path;
			return 1;
		}
		free(path);
	}
	return 0;
}

char *kernel_known(const struct file_known *known)
{
	struct wanted wanted = { .known = known };
	kernel_each(match_known, &wanted);
	return wanted.path;
}

static const char *list_at(const void *context, size_t i)
{
	const struct strings *list = context;
	return list->item[i];
}

/* Names of what is there and of what could be built, for a suggestion. */
static int add_name(void *context, const struct kernel *kernel)
{
	if (!strings_have(context, kernel->name))
		strings_add(context, kernel->name);
	return 0;
}

static int not_there(const char *word, struct error *error)
{
	struct strings names = { 0 };
	for (size_t i = 0; kernel_config_name(i); i++)
		if (!strcmp(kernel_config_name(i), word))
			return error_set(error, -ENODATA, "the kernel \"%s\" is not built yet; run: lightvm kernel build%s%s", word,
					 strcmp(word, KERNEL_DEFAULT) ? " --config " : "", strcmp(word, KERNEL_DEFAULT) ? word : "");
	kernel_each(add_name, &names);
	for (size_t i = 0; kernel_config_name(i); i++)
		strings_add(&names, kernel_config_name(i));
	strings_add(&names, "linux");
	strings_add(&names, "libos");
	const char *near = options_nearest(word, names.count, list_at, &names);
	if (near)
		error_set(error, -ENOENT, "there is no kernel \"%s\"; did you mean \"%s\"?", word, near);
	else
		error_set(error, -ENOENT, "there is no kernel \"%s\"; \"lightvm kernel ls\" lists them, and a path has a slash in it, as in ./%s", word, word);
	strings_free(&names);
	return -ENOENT;
}

int kernel_find(const char *word, struct kernel *kernel, struct error *error)
{
	char *cache = kernel_cache(), target[NAME_MAX + 1] = "";
	int dir = open_store(false, error), err = dir < 0 ? dir : -ENOENT;
	*kernel = (struct kernel){ 0 };
	if (dir >= 0 && *word && *word != '.' && !strchr(word, '/')) {
		/* A name is a link to its newest; a build is there under its full name. */
		bool is_name = readlinkat(dir, word, target, sizeof(target) - 1) > 0;
		err = load(dir, cache, is_name ? target : word, kernel);
	}
	if (dir >= 0)
		close(dir);
	free(cache);
	if (!err)
		return 0;
	kernel_free(kernel);
	return err == -ENOENT ? not_there(word, error) : err;
}

/* ---- removing ---- */

struct newest {
	const char *name;
	int64_t built;
	char *entry;
};

static int note_newest(void *context, const struct kernel *kernel)
{
	struct newest *newest = context;
	if (!strcmp(kernel->name, newest->name) && (!newest->entry || kernel->built > newest->built)) {
		free(newest->entry);
		newest->entry = alloc_copy(strrchr(kernel->directory, '/') + 1);
		newest->built = kernel->built;
	}
	return 0;
}

int kernel_remove(const struct kernel *kernel, struct error *error)
{
	struct newest newest = { .name = kernel->name };
	char *cache = kernel_cache(), *link = alloc_format("%s/%s", cache, kernel->name);
	/* The link goes first: a start never finds half a kernel under its name. */
	if (kernel->newest)
		unlink(link);
	int err = tree_remove(AT_FDCWD, kernel->directory);
	if (!err && kernel->newest && !kernel_each(note_newest, &newest) && newest.entry && symlink(newest.entry, link))
		err = -errno;
	free(newest.entry);
	free(link);
	free(cache);
	return err ? error_set(error, err, "%s: %s", kernel->directory, strerror(-err)) : 0;
}

int kernel_remove_trees(struct error *error)
{
	char *cache = kernel_cache();
	DIR *stream = opendir(cache);
	int err = 0;
	for (struct dirent *entry; stream && !err && (entry = readdir(stream));)
		if (text_starts(entry->d_name, ".source-") || text_starts(entry->d_name, ".objects-") || text_starts(entry->d_name, ".new-"))
			err = tree_remove(dirfd(stream), entry->d_name);
	if (stream)
		closedir(stream);
	if (err)
		error_set(error, err, "%s: %s", cache, strerror(-err));
	free(cache);
	return err;
}
