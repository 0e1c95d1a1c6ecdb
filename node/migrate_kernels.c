/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_kernels.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/linux_guest.h"
#include "tinyx/file_digest.h"
#include "tinyx/kernel.h"

#define KERNEL_SHA256 "kernel_sha256"
#define KERNEL_SIZE "kernel_size"
#define INITRD_SHA256 "initrd_sha256"
#define INITRD_SIZE "initrd_size"
#define FILE_MOST LV_LINUX_GAP /* both are loaded below it */

static int tell_size(json_t *offer, const char *key, const char *path, struct error *error)
{
	struct stat st;
	if (stat(path, &st))
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	return json_object_set_new(offer, key, json_integer(st.st_size)) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

int migrate_kernels_tell(const json_t *config, json_t *offer, struct error *error)
{
	char hex[FILE_DIGEST_HEX + 1];
	const json_t *guest = json_object_get(config, "linux");
	const char *kernel = config_string(guest, "kernel"), *initrd = config_string(guest, "initrd");
	int err = *kernel ? tell_size(offer, KERNEL_SIZE, kernel, error) : 0; /* the manifest has its digest */
	if (err || !*initrd)
		return err;
	err = file_digest(initrd, hex, error);
	if (!err && json_object_set_new(offer, INITRD_SHA256, json_string(hex)))
		err = error_set(error, -ENOMEM, "out of memory");
	return err ? err : tell_size(offer, INITRD_SIZE, initrd, error);
}

/* The file right in that directory which is the one, open; *path is the caller's. -ENOENT: none is; otherwise the directory cannot be read. */
static int file_in(const char *place, const struct file_known *known, char **path)
{
	int fd = -ENOENT;
	DIR *entries = place ? opendir(place) : NULL;
	*path = NULL;
	if (place && !entries)
		return -errno;
	for (struct dirent *entry; entries && fd < 0 && (entry = readdir(entries));) {
		free(*path);
		*path = alloc_format("%s/%s", place, entry->d_name);
		fd = *path ? file_open_known(*path, known) : -ENOMEM;
	}
	if (entries)
		closedir(entries);
	if (fd < 0) {
		free(*path);
		*path = NULL;
	}
	return fd;
}

/* Both come from a source that need not be honest: they only choose among what is here, and which files are read for that. */
static int check_known(const struct file_known *known, const char *digest, const char *size, struct error *error)
{
	if (strlen(known->sha256) != FILE_DIGEST_HEX || strspn(known->sha256, "0123456789abcdef") != FILE_DIGEST_HEX)
		return error_set(error, -EINVAL, "%s: missing, or not %d hexadecimal digits, of a Linux guest", digest, FILE_DIGEST_HEX);
	if (!known->size || known->size > FILE_MOST)
		return error_set(error, -EINVAL, "%s: missing, or %lld bytes, which is not between 1 and %llu, of a Linux guest", size, (long long)known->size, (unsigned long long)FILE_MOST);
	return 0;
}

static int put_path(json_t *object, const char *key, char *path, struct error *error)
{
	int err = json_object_set_new(object, key, json_string(path)) ? error_set(error, -ENOMEM, "out of memory") : 0;
	free(path);
	return err;
}

static int place_kernel(struct save_manifest *manifest, json_t *guest, const json_t *offer, const char *place, struct error *error)
{
	const struct file_known known = { manifest->kernel_sha256, (uint64_t)json_integer_value(json_object_get(offer, KERNEL_SIZE)) };
	int err = check_known(&known, KERNEL_SHA256, KERNEL_SIZE, error), fd = -ENOENT;
	if (err)
		return err;
	char *path = kernel_known(&known);
	if (!path && (fd = file_in(place, &known, &path)) >= 0)
		close(fd); /* it is opened where all is that the VM has, and looked at once more then */
	else if (!path && fd != -ENOENT)
		return error_set(error, fd, "%s: %s", place, strerror(-fd));
	else if (!path)
		return error_set(error, -ENOENT, "its kernel (SHA-256 %.12s) is not here: \"lightvm kernel ls\" has those that are, and \"lightvm kernel build\" makes the same one of the same source and "
						 "configuration; others may lie in the directory of \"lightvm host serve --kernels\"", known.sha256);
	if (json_object_set_new(manifest->config, "kernel", json_string(path))) { /* what was asked for may have been a path, too */
		free(path);
		return error_set(error, -ENOMEM, "out of memory");
	}
	return put_path(guest, "kernel", path, error);
}

static int place_initrd(json_t *guest, const json_t *offer, const char *place, int *initrd, struct error *error)
{
	char *path;
	const struct file_known known = { config_string(offer, INITRD_SHA256), (uint64_t)json_integer_value(json_object_get(offer, INITRD_SIZE)) };
	int err = check_known(&known, INITRD_SHA256, INITRD_SIZE, error);
	if (err)
		return err;
	*initrd = file_in(place, &known, &path);
	if (*initrd < 0 && *initrd != -ENOENT)
		return error_set(error, *initrd, "%s: %s", place, strerror(-*initrd));
	if (*initrd < 0)
		return error_set(error, -ENOENT, "its initial RAM disk (SHA-256 %.12s) is not here, in the directory of \"lightvm host serve --kernels\"", known.sha256);
	return put_path(guest, "initrd", path, error);
}

int migrate_kernels_place(struct save_manifest *manifest, const json_t *offer, const char *place, int *initrd, struct error *error)
{
	*initrd = -1;
	json_t *guest = json_object_get(manifest->config, "linux");
	if (!guest)
		return 0;
	bool has_initrd = !json_is_null(json_object_get(guest, "initrd")) && json_object_get(guest, "initrd");
	int err = place_kernel(manifest, guest, offer, place, error);
	return err || !has_initrd ? err : place_initrd(guest, offer, place, initrd, error);
}
