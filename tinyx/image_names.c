/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/image_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/owned_dir.h"

#define LENGTH_MOST 200 /* a slash takes three bytes in a file's name */
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

char *image_name_whole(const char *word, struct error *error)
{
	const char *slash = strrchr(word, '/'), *colon = strchr(slash ? slash + 1 : word, ':');
	size_t len = strlen(word);
	bool right = len && len <= LENGTH_MOST && strspn(word, LETTERS "/:") == len && !strchr("/:.-", word[0]) && word[len - 1] != '/' && !strstr(word, "//") &&
		     !strstr(word, "..") && !(colon && (!colon[1] || strchr(colon + 1, ':')));
	if (!right) {
		error_set(error, -EINVAL, "\"%.100s\" cannot be the name of an image: letters, digits, \".\", \"-\", \"_\" and \"/\", then \":TAG\"", word);
		return NULL;
	}
	return alloc_format("%s%s", word, colon ? "" : ":latest");
}

/* In the directory: a slash as "%2f". */
static char *file_of(const char *name)
{
	struct text file = { 0 };
	for (; *name; name++)
		text_add(&file, *name == '/' ? "%2f" : name, *name == '/' ? 3 : 1);
	return file.data;
}

static int names_dir(const struct cache *cache, bool create, struct error *error)
{
	return owned_dir_openat(cache->dir, cache->path, IMAGE_NAMES, create, error);
}

int image_name_set(const struct cache *cache, const char *name, const char *sha256, struct error *error)
{
	int dir = names_dir(cache, true, error), err = dir < 0 ? dir : 0;
	char *file = file_of(name), *fresh = alloc_format(".%s-%d", file, (int)getpid());
	if (!err && (symlinkat(sha256, dir, fresh) || renameat(dir, fresh, dir, file))) {
		err = error_set(error, -errno, "%s: %s", name, strerror(errno));
		unlinkat(dir, fresh, 0);
	}
	if (dir >= 0)
		close(dir);
	free(file);
	free(fresh);
	return err;
}

static int read_link(int dir, const char *file, char *sha256)
{
	char target[IMAGE_HEX + 1];
	if (readlinkat(dir, file, target, sizeof(target)) != IMAGE_HEX)
		return -ENOENT;
	target[IMAGE_HEX] = 0;
	memcpy(sha256, target, sizeof(target));
	return strspn(sha256, "0123456789abcdef") == IMAGE_HEX ? 0 : -ENOENT;
}

int image_name_get(const struct cache *cache, const char *name, char *sha256)
{
	int dir = names_dir(cache, false, NULL), err = dir < 0 ? -ENOENT : 0;
	char *file = file_of(name);
	if (!err)
		err = file ? read_link(dir, file, sha256) : -ENOMEM;
	if (dir >= 0)
		close(dir);
	free(file);
	return err;
}

int image_name_remove(const struct cache *cache, const char *name)
{
	int dir = names_dir(cache, false, NULL), err = dir < 0 ? -ENOENT : 0;
	char *file = file_of(name);
	if (!err)
		err = !file ? -ENOMEM : unlinkat(dir, file, 0) ? -errno : 0;
	if (dir >= 0)
		close(dir);
	free(file);
	return err;
}

static void each_in(DIR *stream, void (*each)(void *context, const char *name, const char *sha256), void *context)
{
	char sha256[IMAGE_HEX + 1];
	for (struct dirent *entry; (entry = readdir(stream));) {
		struct text name = { 0 };
		if (entry->d_name[0] == '.' || read_link(dirfd(stream), entry->d_name, sha256))
			continue;
		for (const char *at = entry->d_name; *at; at++) {
			bool is_slash = !strncmp(at, "%2f", 3);
			text_add(&name, is_slash ? "/" : at, 1);
			at += is_slash ? 2 : 0;
		}
		if (!text_error(&name))
			each(context, name.data, sha256);
		text_free(&name);
	}
}

void image_names_each(const struct cache *cache, void (*each)(void *context, const char *name, const char *sha256), void *context)
{
	int dir = names_dir(cache, false, NULL);
	DIR *stream = dir < 0 ? NULL : fdopendir(dir);
	if (stream)
		each_in(stream, each, context);
	if (stream)
		closedir(stream);
	else if (dir >= 0)
		close(dir);
}
