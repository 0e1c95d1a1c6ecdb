/* SPDX-License-Identifier: Apache-2.0 */
#include "node/image_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tinyx/cache.h"
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
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
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
	if (text_starts(name, search->prefix)) {
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

char *image_cached_path(const char *word, struct error *error)
{
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
	if (strchr(word, '/') || !access(word, F_OK))
		return out_of_memory(alloc_copy(word), error);
	return image_cached_path(word, error);
}

static int list_one(void *context, int dir, const char *name)
{
	struct image image;
	struct stat st;
	char *path = alloc_format("/proc/self/fd/%d/%s", dir, name);
	if (!image_open(&image, path, NULL) && !fstat(image.fd, &st))
		json_array_append_new(context, json_pack("{s:s#, s:I, s:I, s:I, s:s?, s:s?}", "sha256", name, IMAGE_HEX, "size", (json_int_t)image.size,
							 "created", (json_int_t)st.st_ctim.tv_sec, "used", (json_int_t)st.st_mtim.tv_sec, "name", image.manifest.name, "program",
							 image.manifest.program));
	image_close(&image);
	free(path);
	return 0;
}

json_t *images_list(struct error *error)
{
	json_t *array = json_array();
	if (!array)
		error_set(error, -ENOMEM, "out of memory");
	if (!array || !each_cached(list_one, array, error))
		return array;
	json_decref(array);
	return NULL;
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
	cache_close(&cache);
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
