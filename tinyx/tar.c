/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define PAGE 4096u
#define BLOCK 65536

struct tar {
	struct archive *archive;
	struct archive_entry *raw; /* that was told of last */
	struct tar_feed feed;
	struct error fed; /* what its feed complained of */
	locale_t names, before; /* names are bytes: in the locale "C" libarchive would make stars of those that pax headers have */
	char *what, *path, *target; /* of the entry that was told of last */
};

/* What libarchive has to say, behind what of whom it says it. */
static int complain(const struct tar *tar, struct error *error)
{
	if (tar->fed.code)
		return error_set(error, tar->fed.code, "%s", tar->fed.text);
	const char *why = archive_error_string(tar->archive);
	return error_set(error, -EINVAL, "%s: a damaged archive%s%s", tar->what, why ? ": " : "", why ? why : "");
}

static int tar_new(struct tar **out, const char *what, struct error *error)
{
	struct tar *tar = *out = alloc_zero(sizeof(*tar));
	tar->what = alloc_copy(what);
	tar->names = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	tar->before = tar->names ? uselocale(tar->names) : NULL;
	tar->archive = archive_read_new();
	if (!tar->archive)
		return error_set(error, -ENOMEM, "%s: %s", what, strerror(ENOMEM));
	return archive_read_support_format_tar(tar->archive) == ARCHIVE_OK ? 0 : complain(tar, error);
}

int tar_open(struct tar **out, int fd, const char *what, struct error *error)
{
	int err = tar_new(out, what, error);
	return err ? err : archive_read_open_fd((*out)->archive, fd, BLOCK) == ARCHIVE_OK ? 0 : complain(*out, error);
}

static la_ssize_t read_feed(struct archive *archive, void *context, const void **data)
{
	struct tar *tar = context;
	ssize_t n = tar->feed.read(tar->feed.context, data, &tar->fed);
	if (n < 0)
		archive_set_error(archive, (int)-n, "%s", tar->fed.text);
	return n < 0 ? ARCHIVE_FATAL : n;
}

int tar_open_feed(struct tar **out, const struct tar_feed *feed, const char *what, struct error *error)
{
	int err = tar_new(out, what, error);
	if (err)
		return err;
	(*out)->feed = *feed;
	return archive_read_open((*out)->archive, *out, NULL, read_feed, NULL) == ARCHIVE_OK ? 0 : complain(*out, error);
}

void tar_close(struct tar *tar)
{
	if (!tar)
		return;
	archive_read_free(tar->archive);
	if (tar->names) {
		uselocale(tar->before);
		freelocale(tar->names);
	}
	free(tar->what);
	free(tar->path);
	free(tar->target);
	free(tar);
}

/* Whether a component of path is "..": no archive that means well has one. */
static bool leads_up(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
			return true;
	return false;
}

static int take_path(const struct tar *tar, const char *name, char **path, struct error *error)
{
	free(*path);
	*path = NULL;
	if (!name || !*name)
		return error_set(error, -EINVAL, "%s: an entry without a name", tar->what);
	if (leads_up(name))
		return error_set(error, -EINVAL, "%s: the path \"%s\" leads out of the archive", tar->what, name);
	*path = path_clean("/", name);
	return 0;
}

int tar_next(struct tar *tar, struct tar_entry *entry, struct error *error)
{
	struct archive_entry *raw;
	int got = archive_read_next_header(tar->archive, &raw);
	if (got == ARCHIVE_EOF)
		return 0;
	if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
		return complain(tar, error);
	tar->raw = raw;
	const char *other = archive_entry_hardlink(raw), *link = archive_entry_symlink(raw);
	int err = take_path(tar, archive_entry_pathname(raw), &tar->path, error);
	if (!err && other)
		err = take_path(tar, other, &tar->target, error);
	if (err)
		return err;
	if (!other) {
		free(tar->target);
		tar->target = link ? alloc_copy(link) : NULL;
	}
	int64_t size = archive_entry_size(raw);
	*entry = (struct tar_entry){ .path = tar->path, .target = tar->target, .is_name = other, .mode = archive_entry_mode(raw),
		.uid = (uint32_t)archive_entry_uid(raw), .gid = (uint32_t)archive_entry_gid(raw), .rdev = S_ISCHR(archive_entry_mode(raw)) || S_ISBLK(archive_entry_mode(raw)) ? archive_entry_rdev(raw) : 0,
		.size = size > 0 ? (uint64_t)size : 0,
		.mtime = archive_entry_mtime(raw), .mtime_ns = (uint32_t)archive_entry_mtime_nsec(raw) };
	return 1;
}

static int read_all(struct tar *tar, const struct tar_entry *entry, void *to, size_t size, struct error *error)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = archive_read_data(tar->archive, (char *)to + done, size - done);
		if (n <= 0)
			return error_set(error, -EIO, "%s: it ends within %s", tar->what, entry->path);
		done += (size_t)n;
	}
	return 0;
}

int tar_read(struct tar *tar, const struct tar_entry *entry, size_t limit, char **out, struct error *error)
{
	if (entry->size > limit)
		return error_set(error, -EFBIG, "%s: %s has %llu bytes, more than %zu", tar->what, entry->path, (unsigned long long)entry->size, limit);
	*out = alloc_zero((size_t)entry->size + 1);
	int err = read_all(tar, entry, *out, (size_t)entry->size, error);
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err;
}

size_t tar_xattrs(struct tar *tar, struct plan_xattr **list)
{
	const char *name;
	const void *value;
	size_t size, count = 0;
	int room = archive_entry_xattr_reset(tar->raw);
	*list = room > 0 ? alloc_zero((size_t)room * sizeof(**list)) : NULL;
	while (count < (size_t)room && archive_entry_xattr_next(tar->raw, &name, &value, &size) == ARCHIVE_OK) {
		if (text_starts(name, "trusted.overlay.") || size > UINT16_MAX)
			continue;
		(*list)[count++] = (struct plan_xattr){ alloc_copy(name), memcpy(alloc_zero(size + 1), size ? value : "", size), size };
	}
	return count;
}

uint64_t tar_offset(struct tar *tar)
{
	return (uint64_t)archive_filter_bytes(tar->archive, 0);
}

/* ---- into a plan ---- */

void spool_init(struct spool *spool, int fd, uint64_t limit)
{
	*spool = (struct spool){ .fd = fd, .limit = limit };
	snprintf(spool->path, sizeof(spool->path), "/proc/self/fd/%d", fd);
}

static int spool_put(const struct tar *tar, const struct tar_entry *entry, const struct spool *spool, const void *data, size_t size, uint64_t at, struct error *error)
{
	while (size) {
		ssize_t n = pwrite(spool->fd, data, size, (off_t)at);
		if (n <= 0)
			return error_set(error, n ? -errno : -ENOSPC, "%s: no room for %s: %s", tar->what, entry->path, strerror(n ? errno : ENOSPC));
		data = (const char *)data + n;
		size -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* Holes of the file are holes of the spool. */
int spool_take(struct tar *tar, const struct tar_entry *entry, struct spool *spool, uint64_t *at, struct error *error)
{
	const void *data;
	size_t size;
	int64_t offset;
	int status, err = 0;
	*at = spool->end;
	if (entry->size > spool->limit - spool->end)
		return error_set(error, -EFBIG, "%s: with %s it takes more than %llu MiB", tar->what, entry->path, (unsigned long long)spool->limit >> 20);
	uint64_t seen = 0;
	while (!err && (status = archive_read_data_block(tar->archive, &data, &size, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || (uint64_t)offset > entry->size || size > entry->size - (uint64_t)offset)
			return error_set(error, -EINVAL, "%s: %s has more than its %llu bytes", tar->what, entry->path, (unsigned long long)entry->size);
		seen = (uint64_t)offset + size;
		err = spool_put(tar, entry, spool, data, size, *at + (uint64_t)offset, error);
	}
	if (!err && status != ARCHIVE_EOF)
		err = tar->fed.code ? complain(tar, error) : error_set(error, -EIO, "%s: it ends within %s", tar->what, entry->path);
	if (!err && seen < entry->size && ftruncate(spool->fd, (off_t)(*at + entry->size)))
		err = error_set(error, -errno, "%s: no room for %s: %s", tar->what, entry->path, strerror(errno));
	uint64_t end = *at + (entry->size + PAGE - 1) / PAGE * PAGE;
	spool->end = end < spool->limit ? end : spool->limit;
	return err;
}

static int plan_name(const struct tar *tar, const struct tar_entry *entry, const struct spool *spool, struct plan *plan, struct error *error)
{
	const struct plan_entry *first = plan_find_at(plan, entry->target);
	if (!first || (first->kind != PLAN_FILE && first->kind != PLAN_LINK))
		return error_set(error, -EINVAL, "%s: %s is another name of %s, which is no file before it", tar->what, entry->path, entry->target);
	struct plan_entry name = *first;
	name.guest = alloc_copy(entry->path);
	name.source = alloc_copy(first->source);
	name.depends = NULL;
	name.xattr = NULL;
	name.xattrs = 0;
	name.origin = spool->origin;
	name.same = plan_same(plan, entry->target);
	plan_put(plan, name);
	return 0;
}

int tar_plan(struct tar *tar, const struct tar_entry *entry, struct spool *spool, struct plan *plan, struct error *error)
{
	if (!strcmp(entry->path, "/")) /* a package's directories begin there, but the root is no package's */
		return 0;
	if (entry->is_name)
		return plan_name(tar, entry, spool, plan, error);
	struct plan_entry made = { .mode = entry->mode & 07777, .uid = entry->uid, .gid = entry->gid, .mtime = entry->mtime, .mtime_ns = entry->mtime_ns,
		.origin = spool->origin };
	int err = 0;
	if (S_ISDIR(entry->mode)) {
		made.kind = PLAN_DIR;
	} else if (S_ISLNK(entry->mode) && entry->target) {
		made.kind = PLAN_LINK;
		made.source = alloc_copy(entry->target);
	} else if (S_ISREG(entry->mode)) {
		made.kind = PLAN_FILE;
		made.size = (size_t)entry->size;
		err = spool_take(tar, entry, spool, &made.offset, error);
		made.source = err ? NULL : alloc_copy(spool->path);
	} else {
		plan_leave_out(plan, entry->path);
		return 0;
	}
	if (err)
		return err;
	made.guest = alloc_copy(entry->path);
	plan_put(plan, made);
	return 0;
}
