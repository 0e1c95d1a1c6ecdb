/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/oci_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/stage.h"

#define MEMBERS_MOST 65536
#define LINKS_MAX 8
#define NAME_MOST 1024 /* of a member, and where it leads: all of them are kept, and compressed they are next to nothing */

/* ---- archives ---- */

/* Where a link of the archive leads: a name of another layer's file, as old versions of Docker write it. */
static char *link_target(const struct tar_entry *entry)
{
	if (entry->is_name)
		return alloc_copy(entry->target);
	char *up = alloc_format("%s/..", entry->path), *dir = path_clean("/", up), *target = path_clean(dir, entry->target);
	free(up);
	free(dir);
	return target;
}

static int check_name(const struct oci_store *store, const char *name, struct error *error)
{
	return strlen(name) <= NAME_MOST ? 0 : error_set(error, -ENAMETOOLONG, "%s: %.100s...: a name of %zu bytes; files of a container image have at most %d", store->path, name, strlen(name), NAME_MOST);
}

static int list_members(struct oci_store *store, struct tar *tar, struct error *error)
{
	struct tar_entry entry;
	int err;
	while ((err = tar_next(tar, &entry, error)) > 0) {
		if ((err = check_name(store, entry.path, error)) || (entry.target && (err = check_name(store, entry.target, error))))
			return err;
		if (!entry.target && !S_ISREG(entry.mode))
			continue;
		if (store->members == MEMBERS_MOST)
			return error_set(error, -E2BIG, "%s: more than %d files are no container image", store->path, MEMBERS_MOST);
		if (!(store->members & (store->members - 1)))
			store->member = alloc_again(store->member, (store->members ? 2 * store->members : 1) * sizeof(*store->member));
		store->member[store->members++] = (struct oci_member){ .path = alloc_copy(entry.path), .target = entry.target ? link_target(&entry) : NULL,
			.at = tar_offset(tar), .size = entry.size };
	}
	return err;
}

/* Its own bytes, or those that its compressed ones become. */
static int plain_file(struct oci_store *store, int fd, const char *aside, struct error *error)
{
	struct stat st;
	struct layer_stream *stream = NULL;
	uint8_t magic[2] = { 0 };
	if (fstat(fd, &st) || pread(fd, magic, sizeof(magic), 0) < 0)
		return error_set(error, -errno, "%s: %s", store->path, strerror(errno));
	store->file = fd;
	if (!(magic[0] == 0x1f && magic[1] == 0x8b) && !(magic[0] == 0x28 && magic[1] == 0xb5))
		return 0;
	const struct layer_span span = { .fd = fd, .size = (uint64_t)st.st_size };
	store->file = stage_spool(aside);
	int err = store->file < 0 ? error_set(error, store->file, "%s: %s", aside, strerror(-store->file)) :
				    layer_stream_open(&stream, &span, layer_limit(span.size), store->path, error);
	const void *data;
	ssize_t n;
	while (!err && (n = layer_stream_read(stream, &data, error)) != 0)
		if ((err = n < 0 ? (int)n : 0) == 0 && (err = fd_write(store->file, data, (size_t)n)))
			error_set(error, err, "%s: %s", aside, strerror(-err));
	layer_stream_close(stream);
	close(fd);
	return err ? err : lseek(store->file, 0, SEEK_SET) ? error_set(error, -EIO, "%s: %s", aside, strerror(errno)) : 0;
}

static int open_archive(struct oci_store *store, const char *aside, struct error *error)
{
	struct tar *tar = NULL;
	int fd = file_open_regular(store->path);
	if (fd < 0)
		return error_set(error, fd, "%s: %s", store->path, strerror(-fd));
	int err = plain_file(store, fd, aside, error);
	if (!err)
		err = tar_open(&tar, store->file, store->path, error);
	if (!err)
		err = list_members(store, tar, error);
	tar_close(tar);
	return err;
}

/* ---- both ---- */

int oci_store_open(struct oci_store *store, const char *path, const char *aside, struct error *error)
{
	*store = OCI_STORE_CLOSED;
	store->path = alloc_copy(path);
	store->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir >= 0)
		return 0;
	if (errno != ENOTDIR)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	return open_archive(store, aside, error);
}

void oci_store_close(struct oci_store *store)
{
	for (size_t i = 0; i < store->members; i++) {
		free(store->member[i].path);
		free(store->member[i].target);
	}
	free(store->member);
	free(store->path);
	if (store->dir >= 0)
		close(store->dir);
	if (store->file >= 0)
		close(store->file);
	*store = OCI_STORE_CLOSED;
}

static int find_in_dir(const struct oci_store *store, const char *name, struct layer_span *span)
{
	struct stat st;
	int fd = openat(store->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	*span = (struct layer_span){ .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

/* The last of a name counts, as where it is unpacked. */
static const struct oci_member *find_member(const struct oci_store *store, const char *name)
{
	char *path = path_clean("/", name);
	const struct oci_member *found = NULL;
	for (size_t i = store->members; i-- > 0 && !found;)
		found = !strcmp(store->member[i].path, path) ? &store->member[i] : NULL;
	free(path);
	return found;
}

int oci_store_find(const struct oci_store *store, const char *name, struct layer_span *span)
{
	if (store->dir >= 0)
		return find_in_dir(store, name, span);
	const struct oci_member *member = find_member(store, name);
	for (int links = 0; member && member->target && links < LINKS_MAX; links++)
		member = find_member(store, member->target);
	if (!member || member->target)
		return -ENOENT;
	*span = (struct layer_span){ .fd = fcntl(store->file, F_DUPFD_CLOEXEC, 3), .at = member->at, .size = member->size };
	return span->fd < 0 ? -errno : 0;
}

int oci_store_read(const struct oci_store *store, const char *name, const char *digest, size_t limit, char **data, size_t *size, struct error *error)
{
	struct layer_span span;
	char got[LAYER_DIGEST];
	int err = oci_store_find(store, name, &span);
	if (err)
		return error_set(error, err, "%s: %s: %s", store->path, name, err == -ENOENT ? "it is not there" : strerror(-err));
	if (span.size > limit) {
		close(span.fd);
		return error_set(error, -EFBIG, "%s: %s: %llu bytes are more than %zu", store->path, name, (unsigned long long)span.size, limit);
	}
	*size = (size_t)span.size;
	*data = alloc_zero(*size + 1);
	if (pread(span.fd, *data, *size, (off_t)span.at) != (ssize_t)*size)
		err = error_set(error, -EIO, "%s: %s cannot be read", store->path, name);
	else if (digest && (layer_span_digest(&span, got) || strcmp(got, digest)))
		err = error_set(error, -EBADMSG, "%s: %s: its digest is %s, should be %s", store->path, name, got, digest);
	close(span.fd);
	if (err) {
		free(*data);
		*data = NULL;
	}
	return err;
}
