/* SPDX-License-Identifier: Apache-2.0 */
#include "node/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tinyx/cache.h"
#include "tinyx/image_names.h"
#include "tinyx/stage.h"

/* ---- which image ---- */

struct cached_search {
	const char *prefix;
	char *found;
	int count;
};

static int each_in(const struct cache *cache, int (*each)(void *context, int dir, const char *name), void *context)
{
	int fd = openat(cache->dir, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err == -ENOENT ? 0 : err;
	}
	for (struct dirent *entry; !err && (entry = readdir(dir));)
		if (strlen(entry->d_name) == IMAGE_HEX + 4 && text_ends(entry->d_name, ".lvm"))
			err = each(context, dirfd(dir), entry->d_name);
	closedir(dir);
	return err;
}

static int each_cached(int (*each)(void *context, int dir, const char *name), void *context, struct error *error)
{
	struct cache cache;
	int err = cache_open(&cache, false, error);
	if (!err && (err = each_in(&cache, each, context)))
		error_set(error, err, "%s/images: %s", cache.path, strerror(-err));
	cache_close(&cache);
	return err == -ENOENT ? 0 : err;
}

static int match_cached(void *context, int dir, const char *name)
{
	struct cached_search *search = context;
	if (*search->prefix && text_starts(name, search->prefix)) {
		free(search->found);
		search->found = alloc_copy(name);
		search->count++;
	}
	return 0;
}

static char *out_of_memory(char *path, struct error *error)
{
	if (!path)
		error_set(error, -ENOMEM, "out of memory");
	return path;
}

char *image_named_path(const char *word)
{
	struct cache cache;
	char sha256[IMAGE_HEX + 1], *name = image_name_whole(word, NULL), *path = NULL;
	if (name && !cache_open(&cache, false, NULL)) {
		if (!image_name_get(&cache, name, sha256))
			path = alloc_format("%s/images/%s.lvm", cache.path, sha256);
		cache_close(&cache);
	}
	if (path && access(path, F_OK)) { /* the image was removed, the name is left */
		free(path);
		path = NULL;
	}
	free(name);
	return path;
}

char *image_cached_path(const char *word, struct error *error)
{
	char *named = image_named_path(word);
	if (named)
		return named;
	struct cached_search search = { .prefix = word };
	if (each_cached(match_cached, &search, error)) {
		free(search.found);
		return NULL;
	}
	if (search.count != 1) {
		error_set(error, search.count ? -EEXIST : -ENOENT, search.count ? "\"%s\" is the beginning of %d images; give more digits" : "there is no image \"%s\" (file or digest)", word,
			  search.count);
		free(search.found);
		return NULL;
	}
	char *cache = cache_dir(), *path = cache && search.found ? alloc_format("%s/images/%s", cache, search.found) : NULL;
	free(cache);
	free(search.found);
	return out_of_memory(path, error);
}

char *image_path(const char *word, struct error *error)
{
	char *named = strchr(word, '/') && access(word, F_OK) ? image_named_path(word) : NULL;
	if (named)
		return named;
	if (strchr(word, '/') || !access(word, F_OK))
		return out_of_memory(alloc_copy(word), error);
	return image_cached_path(word, error);
}

/* ---- names ---- */

/* The image's digest if the path is that of a cached one, or NULL. */
static const char *cached_digest(const struct cache *cache, const char *path)
{
	size_t len = strlen(cache->path);
	const char *digest = text_starts(path, cache->path) && text_starts(path + len, "/images/") ? path + len + strlen("/images/") : NULL;
	return digest && strlen(digest) == IMAGE_HEX + 4 ? digest : NULL;
}

int image_tag(const char *word, const char *given, struct error *error)
{
	struct cache cache;
	char *name = image_name_whole(given, error), *path = name ? image_path(word, error) : NULL;
	int err = path ? cache_open(&cache, true, error) : error->code;
	if (path) {
		const char *digest = err ? NULL : cached_digest(&cache, path);
		char *sha256 = digest ? alloc_format("%.*s", IMAGE_HEX, digest) : NULL;
		if (!err)
			err = sha256 ? image_name_set(&cache, name, sha256, error) :
				       error_set(error, -EINVAL, "%s is a file of its own; only images in the cache have names", path);
		free(sha256);
		cache_close(&cache);
	}
	free(name);
	free(path);
	return err;
}

struct naming { /* of one image */
	const struct cache *cache;
	const char *sha256;
	size_t left;
	bool remove;
};

static void see_name(void *context, const char *name, const char *sha256)
{
	struct naming *naming = context;
	if (strcmp(sha256, naming->sha256))
		return;
	if (!naming->remove || image_name_remove(naming->cache, name))
		naming->left++;
}

int image_untag(const char *word, struct error *error)
{
	struct cache cache;
	char sha256[IMAGE_HEX + 1], *name = image_name_whole(word, NULL);
	int err = cache_open(&cache, true, error);
	bool by_name = !err && name && !image_name_get(&cache, name, sha256);
	struct naming naming = { .cache = &cache, .sha256 = sha256, .remove = !by_name };
	if (!err && by_name && (err = image_name_remove(&cache, name)))
		error_set(error, err, "%s: %s", name, strerror(-err));
	if (!err && !by_name) {
		char *path = image_cached_path(word, error);
		const char *digest = path ? cached_digest(&cache, path) : NULL;
		err = path ? 0 : error->code;
		if (digest)
			snprintf(sha256, sizeof(sha256), "%s", digest);
		free(path);
	}
	if (!err)
		image_names_each(&cache, see_name, &naming);
	cache_close(&cache);
	free(name);
	/* Already gone, with its name left over: that was all. */
	if (err || naming.left)
		return err;
	err = image_remove(sha256, error);
	return err == -ENOENT && by_name ? 0 : err;
}

static int list_one(void *context, int dir, const char *name)
{
	struct image image;
	struct stat st;
	char *path = alloc_format("/proc/self/fd/%d/%s", dir, name);
	if (!image_open(&image, path, NULL) && !fstat(image.fd, &st))
		json_array_append_new(context, json_pack("{s:s#, s:I, s:I, s:I, s:s?, s:s?, s:[]}", "sha256", name, IMAGE_HEX, "size", (json_int_t)image.size,
							 "created", (json_int_t)st.st_ctim.tv_sec, "used", (json_int_t)st.st_mtim.tv_sec, "name", image.manifest.name, "program",
							 image.manifest.program, "names"));
	image_close(&image);
	free(path);
	return 0;
}

static void add_name(void *context, const char *name, const char *sha256)
{
	size_t i;
	json_t *item;
	json_array_foreach((json_t *)context, i, item)
		if (!strcmp(json_string_value(json_object_get(item, "sha256")), sha256))
			json_array_append_new(json_object_get(item, "names"), json_string(name));
}

json_t *images_list(struct error *error)
{
	struct cache cache;
	json_t *array = json_array();
	if (!array)
		error_set(error, -ENOMEM, "out of memory");
	if (!array || each_cached(list_one, array, error)) {
		json_decref(array);
		return NULL;
	}
	if (json_array_size(array) && !cache_open(&cache, false, NULL)) {
		image_names_each(&cache, add_name, array);
		cache_close(&cache);
	}
	return array;
}

json_t *image_view(const char *path, struct error *error)
{
	struct image image;
	struct text text = { 0 };
	json_t *object = NULL;
	if (!image_open(&image, path, error)) {
		manifest_print(&image.manifest, &text);
		object = json_pack("{s:s, s:I, s:s, s:o}", "path", path, "size", (json_int_t)image.size, "sha256", image.sha256, "manifest",
				   json_loads(text.data ? text.data : "", 0, NULL));
		if (!object)
			error_set(error, -ENOMEM, "out of memory");
	}
	text_free(&text);
	image_close(&image);
	return object;
}

/* ---- removing ---- */

static int remove_one(void *context, int dir, const char *name)
{
	return unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
}

static int remove_named(const struct cache *cache, const char *word, struct error *error)
{
	char *path = image_path(word, error);
	int err = path ? 0 : error->code;
	if (path && (!text_starts(path, cache->path) || path[strlen(cache->path)] != '/'))
		err = error_set(error, -EINVAL, "%s is not in the cache; remove the file with rm", path);
	else if (path && unlink(path))
		err = error_set(error, -errno, "%s: %s", path, strerror(errno));
	free(path);
	return err;
}

int image_remove(const char *word, struct error *error)
{
	struct cache cache;
	int err = cache_open(&cache, true, error);
	if (!err)
		err = remove_named(&cache, word, error);
	if (cache.dir >= 0)
		cache_forget(&cache, NULL);
	cache_close(&cache);
	return err;
}

int images_remove_all(struct error *error)
{
	struct cache cache;
	int err = cache_open(&cache, true, error);
	if (!err && (err = each_in(&cache, remove_one, NULL)))
		error_set(error, err, "%s/images: %s", cache.path, strerror(-err));
	if (!err)
		stage_sweep(cache.images, 0);
	if (cache.dir >= 0)
		cache_forget(&cache, NULL);
	if (!err && (err = tree_remove(cache.dir, "packages")))
		error_set(error, err, "%s/packages: %s", cache.path, strerror(-err));
	cache_close(&cache);
	return err;
}

struct sum {
	size_t count;
	uint64_t bytes;
};

static int add_size(void *context, int dir, const char *name)
{
	struct sum *sum = context;
	struct stat st;
	if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		sum->count++;
		sum->bytes += (uint64_t)st.st_size;
	}
	return 0;
}

int images_prune(size_t *count, uint64_t *bytes, struct error *error)
{
	struct cache cache;
	struct sum before = { 0 }, after = { 0 };
	int err = cache_open(&cache, true, error);
	if (!err)
		err = each_in(&cache, add_size, &before);
	if (!err) {
		cache_trim(&cache, "", 0);
		stage_sweep(cache.images, 0);
		err = each_in(&cache, add_size, &after);
	}
	if (err && !error->text[0])
		error_set(error, err, "%s/images: %s", cache.path, strerror(-err));
	cache_close(&cache);
	*count = before.count - after.count;
	*bytes = before.bytes - after.bytes;
	return err;
}

/* ---- kernels ---- */

json_t *kernel_view(const struct kernel *kernel)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I}", "name", kernel->name, "key", kernel->key, "release", kernel->release, "source",
			 kernel->source, "directory", kernel->directory, "newest", kernel->newest, "vmlinux", (json_int_t)kernel->vmlinux, "bzimage",
			 (json_int_t)kernel->bzimage, "built", (json_int_t)kernel->built);
}

static int add_kernel(void *context, const struct kernel *kernel)
{
	return json_array_append_new(context, kernel_view(kernel)) ? -ENOMEM : 0;
}

json_t *kernels_list(struct error *error)
{
	json_t *array = json_array();
	int err = array ? kernel_each(add_kernel, array) : -ENOMEM;
	if (!err)
		return array;
	error_set(error, err, "the kernel cache: %s", strerror(-err));
	json_decref(array);
	return NULL;
}
