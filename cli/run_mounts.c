/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "node/named_volumes.h"
#include "node/volume_words.h"
#include "tinyx/image_file.h"
#include "tinyx/image_volume.h"
#include "tinyx/plan.h"

#define TMPFS_MODE 01777

/* One word of --tmpfs behind the path. What a VM's memory has no other way is taken and changes nothing. */
static int tmpfs_word(const char *word, struct config_mount *mount)
{
	static const char *const as_it_is[] = { "rw", "nosuid", "nodev", "exec" };
	char *end;
	for (size_t i = 0; i < sizeof(as_it_is) / sizeof(*as_it_is); i++)
		if (!strcmp(word, as_it_is[i]))
			return 0;
	if (text_starts(word, "size="))
		return size_parse(word + 5, &mount->size) || !mount->size ? -EINVAL : 0;
	if (!text_starts(word, "mode=") || !word[5])
		return -EINVAL;
	mount->mode = (uint32_t)strtoul(word + 5, &end, 8);
	return *end || mount->mode > 07777 ? -EINVAL : 0;
}

static int add_tmpfs(struct vm_config *config, const char *given, struct error *error)
{
	char *copy = alloc_copy(given), *words = strchr(copy, ':'), *save = NULL;
	struct config_mount mount = { .kind = MOUNT_TMPFS, .mode = TMPFS_MODE };
	int err = 0;
	if (words)
		*words++ = 0;
	for (char *word = words ? strtok_r(words, ",", &save) : NULL; word && !err; word = strtok_r(NULL, ",", &save))
		if (!strcmp(word, "noexec"))
			err = error_set(error, -EOPNOTSUPP, "--tmpfs %s: \"noexec\" is not there: the VM holds what runs in it, wherever it lies; leave it out", given);
		else if (tmpfs_word(word, &mount))
			err = error_set(error, -EINVAL, "--tmpfs %s: \"%s\" is none of size=N, mode=OCTAL, rw, exec, nosuid, nodev", given, word);
	if (!err && copy[0] != '/')
		err = error_set(error, -EINVAL, "--tmpfs %s: \"%s\" is not an absolute path", given, copy);
	if (!err) {
		mount.path = path_clean("/", copy);
		err = config_mount(config, mount, error);
	}
	free(copy);
	return err;
}

/* HOST:/PATH[:ro]: its form was looked at when it was packed. */
static int add_volume(struct vm_config *config, const char *given, bool frozen, struct error *error)
{
	const char *guest = strchr(given, ':'), *end = guest ? strchr(guest + 1, ':') : NULL;
	bool read_only = end && !strcmp(end, ":ro");
	if (!guest || (!read_only && !frozen) || text_ends(given, VOLUME_LIVE))
		return 0; /* as the rest */
	char *path = alloc_format("%.*s", (int)(end ? end - guest - 1 : (int)strlen(guest + 1)), guest + 1);
	struct config_mount mount = { .kind = read_only ? MOUNT_READ_ONLY : MOUNT_WRITABLE, .path = path_clean("/", path) };
	free(path);
	return config_mount(config, mount, error);
}

/* A file of the image in the way would be found by the guest, and be its end. */
static int check_places(const struct vm_config *config, struct error *error)
{
	struct image image;
	struct erofs_inode inode;
	int err = image_open(&image, config->image, error);
	for (size_t i = 0; i < config->mounts && !err; i++) {
		const struct config_mount *mount = &config->mount[i];
		int there = erofs_walk(&image.fs, mount->path, &inode);
		if (mount->kind == MOUNT_TMPFS && !there && !S_ISDIR(inode.mode))
			err = error_set(error, -ENOTDIR, "--tmpfs %s: the image has a file there", mount->path);
		else if (mount->kind == MOUNT_TMPFS && there && there != -ENOENT)
			err = error_set(error, there, "--tmpfs %s: %s", mount->path, strerror(-there));
		else if (mount->kind == MOUNT_VOLUME && !there && !S_ISDIR(inode.mode))
			err = error_set(error, -ENOTDIR, "-v: %s: the image has a file there", mount->path);
		else if (mount->kind != MOUNT_TMPFS && mount->kind != MOUNT_VOLUME && there)
			err = error_set(error, there, "%s: %s in the image", mount->path, strerror(-there));
	}
	image_close(&image);
	return err;
}

int run_volumes(struct vm_config *config, struct run_options *given, struct error *error)
{
	int err = volume_words_take(&given->volumes, config, error);
	for (size_t i = 0; i < given->copies.count; i++)
		strings_add(&given->volumes, given->copies.item[i]);
	return err;
}

/* Does anything freeze what a volume may lie below? */
static bool any_frozen(const struct run_options *given)
{
	bool frozen = given->read_only;
	for (size_t i = 0; i < given->volumes.count; i++)
		frozen |= text_ends(given->volumes.item[i], ":ro");
	return frozen;
}

int run_mounts(struct vm_config *config, const struct run_options *given, const struct strings *writable, struct error *error)
{
	bool frozen = any_frozen(given);
	int err = 0;
	if (given->read_only)
		err = config_mount(config, (struct config_mount){ .kind = MOUNT_READ_ONLY, .path = alloc_copy("/") }, error);
	for (size_t i = 0; i < writable->count && given->read_only && !err; i++)
		err = config_mount(config, (struct config_mount){ .kind = MOUNT_WRITABLE, .path = path_clean("/", writable->item[i]) }, error);
	for (size_t i = 0; i < given->volumes.count && !err; i++)
		err = add_volume(config, given->volumes.item[i], frozen, error);
	for (size_t i = 0; i < given->tmpfs.count && !err; i++)
		err = add_tmpfs(config, given->tmpfs.item[i], error);
	return err || !config->mounts || !config->image ? err : check_places(config, error);
}

/* ---- --mount ---- */

struct mount_words {
	const char *type, *source, *target, *size, *mode;
	bool read_only;
};

/* One KEY[=VALUE]; word is changed. */
static int take_word(char *word, struct mount_words *words)
{
	const struct {
		const char *key;
		const char **value;
	} keys[] = { { "type", &words->type }, { "source", &words->source }, { "src", &words->source }, { "target", &words->target },
		{ "dst", &words->target }, { "destination", &words->target }, { "tmpfs-size", &words->size }, { "tmpfs-mode", &words->mode } };
	char *value = strchr(word, '=');
	if (!strcmp(word, "readonly") || !strcmp(word, "ro"))
		return words->read_only = true, 0;
	if (!value)
		return -EINVAL;
	*value++ = 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!strcmp(word, keys[i].key))
			return *keys[i].value = value, 0;
	return -EINVAL;
}

static int use_words(struct run_options *given, const struct mount_words *words, const char *option, struct error *error)
{
	const char *type = words->type ? words->type : "volume";
	bool bind = !strcmp(type, "bind"), tmpfs = !strcmp(type, "tmpfs");
	bool volume = !strcmp(type, "volume");
	if (volume && words->source && !named_volume_is(words->source))
		return error_set(error, -EINVAL, "--mount %s: \"%s\" is no name of a volume; type=bind is for directories of the host", option, words->source);
	bind |= volume;
	if ((!bind && !tmpfs) || !words->target || (bind && (!words->source || words->size || words->mode)) || (tmpfs && (words->source || words->read_only)))
		return error_set(error, -EINVAL, "--mount %s: neither type=bind with source and target, nor type=volume with both, nor type=tmpfs with target", option);
	if (bind)
		strings_take(&given->volumes, alloc_format("%s:%s%s", words->source, words->target, words->read_only ? ":ro" : ""));
	else
		strings_take(&given->tmpfs, alloc_format("%s:rw%s%s%s%s", words->target, words->size ? ",size=" : "", words->size ? words->size : "",
							 words->mode ? ",mode=" : "", words->mode ? words->mode : ""));
	return 0;
}

int run_mount_words(struct run_options *given, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < given->mounts.count && !err; i++) {
		char *copy = alloc_copy(given->mounts.item[i]), *save = NULL;
		struct mount_words words = { 0 };
		for (char *word = strtok_r(copy, ",", &save); word && !err; word = strtok_r(NULL, ",", &save))
			if (take_word(word, &words))
				err = error_set(error, -EINVAL, "--mount %s: \"%s\" is not a word that is known here", given->mounts.item[i], word);
		if (!err)
			err = use_words(given, &words, given->mounts.item[i], error);
		free(copy);
	}
	return err;
}
