/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_kernels.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/file_digest.h"
#include "tinyx/kernel.h"

#define INITRD "initrd_sha256"

int migrate_kernels_tell(const json_t *config, json_t *offer, struct error *error)
{
	char hex[FILE_DIGEST_HEX + 1];
	const char *initrd = config_string(json_object_get(config, "linux"), "initrd");
	int err = *initrd ? file_digest(initrd, hex, error) : 0;
	if (!err && *initrd && json_object_set_new(offer, INITRD, json_string(hex)))
		err = error_set(error, -ENOMEM, "out of memory");
	return err;
}

/* The file right in that directory which has this digest; the caller's. NULL: none has. */
static char *file_in(const char *place, const char *sha256)
{
	char hex[FILE_DIGEST_HEX + 1], *found = NULL;
	DIR *entries = place ? opendir(place) : NULL;
	for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
		struct error unreadable;
		char *path = alloc_format("%s/%s", place, entry->d_name);
		if (path && !file_digest(path, hex, &unreadable) && !strcmp(hex, sha256))
			found = path;
		else
			free(path);
	}
	if (entries)
		closedir(entries);
	return found;
}

/* A digest comes from a source that need not be honest: it only chooses among what is here. */
static int check_digest(const char *key, const char *sha256, struct error *error)
{
	bool is = strlen(sha256) == FILE_DIGEST_HEX && strspn(sha256, "0123456789abcdef") == FILE_DIGEST_HEX;
	return is ? 0 : error_set(error, -EINVAL, "%s: missing, or not %d hexadecimal digits, of a Linux guest", key, FILE_DIGEST_HEX);
}

static int put_path(json_t *object, const char *key, char *path, struct error *error)
{
	int err = json_object_set_new(object, key, json_string(path)) ? error_set(error, -ENOMEM, "out of memory") : 0;
	free(path);
	return err;
}

static int place_kernel(struct save_manifest *manifest, json_t *guest, const char *place, struct error *error)
{
	int err = check_digest("kernel_sha256", manifest->kernel_sha256, error);
	if (err)
		return err;
	char *path = kernel_by_digest(manifest->kernel_sha256);
	if (!path)
		path = file_in(place, manifest->kernel_sha256);
	if (!path)
		return error_set(error, -ENOENT, "its kernel (SHA-256 %.12s) is not here: \"lightvm kernel ls\" has those that are, and \"lightvm kernel build\" makes the same one of the same source and "
						 "configuration; others may lie in the directory of \"lightvm host serve --kernels\"", manifest->kernel_sha256);
	json_object_set_new(manifest->config, "kernel", json_string(path)); /* what was asked for may have been a path, too */
	return put_path(guest, "kernel", path, error);
}

static int place_initrd(json_t *guest, const json_t *offer, const char *place, struct error *error)
{
	const char *sha256 = config_string(offer, INITRD);
	int err = check_digest(INITRD, sha256, error);
	if (err)
		return err;
	char *path = file_in(place, sha256);
	if (!path)
		return error_set(error, -ENOENT, "its initial RAM disk (SHA-256 %.12s) is not here, in the directory of \"lightvm host serve --kernels\"", sha256);
	return put_path(guest, "initrd", path, error);
}

int migrate_kernels_place(struct save_manifest *manifest, const json_t *offer, const char *place, struct error *error)
{
	json_t *guest = json_object_get(manifest->config, "linux");
	if (!guest)
		return 0;
	bool has_initrd = !json_is_null(json_object_get(guest, "initrd")) && json_object_get(guest, "initrd");
	int err = place_kernel(manifest, guest, place, error);
	return err || !has_initrd ? err : place_initrd(guest, offer, place, error);
}
