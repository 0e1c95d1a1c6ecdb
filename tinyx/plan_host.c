/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan takes over by its path: from the host's file systems, or from another plan. */
#include "tinyx/plan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/image_file.h"

#define FILES_TOLD 64 /* between two reports */

void plan_skip(struct plan *plan, int fd)
{
	struct stat st;
	if (plan->skips < sizeof(plan->skip) / sizeof(*plan->skip) && !fstat(fd, &st))
		plan->skip[plan->skips++] = (struct plan_skip){ st.st_dev, st.st_ino };
}

static bool is_skipped(const struct plan *plan, const struct stat *st)
{
	for (size_t i = 0; i < plan->skips; i++)
		if (plan->skip[i].dev == st->st_dev && plan->skip[i].ino == st->st_ino)
			return true;
	return false;
}

/* What a file is that has no contents to pack, or NULL. */
static const char *special_kind(mode_t mode)
{
	return S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a pipe" : S_ISCHR(mode) || S_ISBLK(mode) ? "a device" : NULL;
}

/* A file system that shows the kernel of the host. */
static bool is_kernels(const char *host)
{
	struct statfs fs;
	return !statfs(host, &fs) && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
				      fs.f_type == DEBUGFS_MAGIC || fs.f_type == TRACEFS_MAGIC || fs.f_type == BPF_FS_MAGIC);
}

static char *link_target(const char *host, size_t size)
{
	char *target = alloc_zero(size + 1);
	ssize_t n = readlink(host, target, size);
	if (n < 0) {
		free(target);
		return NULL;
	}
	return target;
}

static int put_host(struct plan *plan, const char *host, const char *guest, const struct stat *st, bool depends, bool replace,
		    struct error *error)
{
	struct plan_entry entry = { .mode = st->st_mode & 07777, .mtime = st->st_mtim.tv_sec, .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.uid = st->st_uid == geteuid() ? 0 : st->st_uid, .gid = st->st_gid == getegid() ? 0 : st->st_gid };
	if (S_ISLNK(st->st_mode)) {
		entry.kind = PLAN_LINK;
		entry.source = link_target(host, st->st_size > 0 ? (size_t)st->st_size : PATH_MAX);
		if (!entry.source)
			return error_set(error, -errno, "%s: %s", host, strerror(errno));
	} else if (S_ISDIR(st->st_mode)) {
		entry.kind = PLAN_DIR;
	} else if (S_ISREG(st->st_mode)) {
		entry.kind = PLAN_FILE;
		entry.source = alloc_copy(host);
		entry.size = (size_t)st->st_size;
		if (access(host, R_OK)) {
			free(entry.source);
			return error_set(error, -errno, "cannot read %s: %s", host, strerror(errno));
		}
	} else {
		plan_leave_out(plan, host);
		return 0;
	}
	if (depends) {
		entry.depends = alloc_copy(host);
		entry.fingerprint = file_fingerprint(st);
	}
	entry.guest = alloc_copy(guest);
	plan_enter(plan, entry, replace);
	if (entry.kind == PLAN_FILE && plan->watch && !(++plan->files % FILES_TOLD))
		plan->watch->report(plan->watch->context, &(struct pack_progress){ .files = plan->files });
	return 0;
}

static int put_tree(struct plan *plan, const char *host, const char *guest, dev_t around, bool replace, struct error *error);

/* What no program needs of a package's tree when it runs. */
static bool skipped(const struct plan *plan, const char *name)
{
	return plan->lenient && !plan->whole && (text_ends(name, ".a") || !strcmp(name, "test") || !strcmp(name, "tests"));
}

static int put_children(struct plan *plan, const char *host, const char *guest, bool replace, struct error *error)
{
	struct stat st;
	DIR *dir = opendir(host);
	if (!dir)
		return error_set(error, -errno, "cannot read directory %s: %s", host, strerror(errno));
	int err = fstat(dirfd(dir), &st) ? -errno : 0;
	for (struct dirent *entry; !err && (entry = readdir(dir));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || skipped(plan, entry->d_name))
			continue;
		char *from = alloc_format("%s/%s", strcmp(host, "/") ? host : "", entry->d_name);
		char *to = alloc_format("%s/%s", strcmp(guest, "/") ? guest : "", entry->d_name);
		err = put_tree(plan, from, to, st.st_dev, replace, error);
		if (plan->lenient)
			err = 0;
		free(from);
		free(to);
	}
	closedir(dir);
	return err;
}

/* around: the device of the directory that host lies in. */
static int put_tree(struct plan *plan, const char *host, const char *guest, dev_t around, bool replace, struct error *error)
{
	struct stat st;
	if (lstat(host, &st))
		return error_set(error, -errno, "%s: %s", host, strerror(errno));
	if (is_skipped(plan, &st))
		return 0;
	if (S_ISDIR(st.st_mode) && st.st_dev != around && is_kernels(host)) {
		plan_leave_out(plan, host);
		return 0;
	}
	int err = strcmp(guest, "/") ? put_host(plan, host, guest, &st, true, replace, error) : 0;
	return !err && S_ISDIR(st.st_mode) ? put_children(plan, host, guest, replace, error) : err;
}

int plan_add_as(struct plan *plan, const char *host, const char *guest, struct error *error)
{
	char *to = plan_resolve(plan, guest), *from = realpath(host, NULL);
	int err = 0;
	struct stat st;
	if (!from || stat(from, &st))
		err = error_set(error, -errno, "%s: %s", host, strerror(errno));
	else if (special_kind(st.st_mode))
		err = error_set(error, -EINVAL, "%s is %s, which has no contents to pack", host, special_kind(st.st_mode));
	else if (S_ISDIR(st.st_mode) && is_kernels(from))
		err = error_set(error, -EINVAL, "%s shows the kernel of this machine; the VM has its own", host);
	else if (is_skipped(plan, &st))
		err = error_set(error, -EINVAL, "%s is where the images are kept, and never goes into one", host);
	if (!err) {
		plan_parents(plan, to);
		err = put_tree(plan, from, to, st.st_dev, true, error);
	}
	free(from);
	free(to);
	return err;
}

static void put_copy(struct plan *plan, const struct plan_entry *entry)
{
	struct plan_entry copy = *entry;
	copy.guest = alloc_copy(entry->guest);
	copy.source = entry->kind == PLAN_DATA ? memcpy(alloc_zero(entry->size), entry->source, entry->size) : entry->source ? alloc_copy(entry->source) : NULL;
	copy.depends = entry->depends ? alloc_copy(entry->depends) : NULL;
	copy.xattr = entry->xattrs ? alloc_zero(entry->xattrs * sizeof(*copy.xattr)) : NULL;
	for (size_t i = 0; i < entry->xattrs; i++)
		copy.xattr[i] = (struct plan_xattr){ .name = alloc_copy(entry->xattr[i].name), .size = entry->xattr[i].size,
			.value = memcpy(alloc_zero(entry->xattr[i].size), entry->xattr[i].value, entry->xattr[i].size) };
	plan_enter(plan, copy, false);
}

/* The same as put_step, from another plan. */
static int put_step_from(struct plan *plan, const char *path, bool whole, char **next, struct error *error)
{
	const struct plan_entry *entry = plan_find(plan->from, path);
	size_t len = strlen(path);
	if (!entry)
		return error_set(error, -ENOENT, "%s: %s", path, strerror(ENOENT));
	put_copy(plan, entry);
	*next = entry->kind == PLAN_LINK ? alloc_copy(entry->source) : NULL;
	for (size_t i = 0; whole && entry->kind == PLAN_DIR && i < plan->from->count; i++)
		if (!strncmp(plan->from->entry[i].guest, path, len) && plan->from->entry[i].guest[len] == '/') {
			plan_parents(plan, plan->from->entry[i].guest);
			put_copy(plan, &plan->from->entry[i]);
		}
	return 0;
}

/* One step of plan_add: the entry at path itself. Puts the link's target into *next. */
static int put_step(struct plan *plan, const char *path, bool last, bool whole, char **next, struct error *error)
{
	struct stat st;
	*next = NULL;
	const struct plan_entry *known = plan_find(plan, path);
	if (known && !last && known->kind == PLAN_DIR)
		return 0;
	if (plan->from)
		return put_step_from(plan, path, last && whole, next, error);
	if (lstat(path, &st))
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (S_ISLNK(st.st_mode)) {
		*next = link_target(path, st.st_size > 0 ? (size_t)st.st_size : PATH_MAX);
		if (!*next)
			return error_set(error, -errno, "%s: %s", path, strerror(errno));
	}
	/* A directory on the way is not a dependency: other files come and go in it. */
	int err = put_host(plan, path, path, &st, !S_ISDIR(st.st_mode) || (last && whole), false, error);
	if (!err && last && whole && S_ISDIR(st.st_mode))
		err = put_children(plan, path, path, false, error);
	return err;
}

int plan_add(struct plan *plan, const char *host, bool whole, struct error *error)
{
	struct text done = { 0 };
	char *rest = path_clean("/", host);
	int err = 0, links = 0;
	text_put(&done, "");
	while (!err && *rest) {
		const char *component = rest + strspn(rest, "/");
		size_t n = strcspn(component, "/");
		if (!n)
			break;
		size_t before = done.size;
		text_put(&done, "/");
		text_add(&done, component, n);
		bool last = !component[n];
		char *target, *after = alloc_copy(component + n);
		err = put_step(plan, done.data, last, whole, &target, error);
		if (err == -ENOENT || err == -ENOTDIR) /* name what was asked for, not where the way to it ends */
			error_set(error, err, "%s: %s", host, strerror(-err));
		if (!err && target) {
			if (++links > PLAN_LINKS_MAX)
				err = error_set(error, -ELOOP, "%s: too many symbolic links", host);
			done.data[done.size = before] = 0;
			char *joined = alloc_format("%s%s", target, after), *full = path_clean(before ? done.data : "/", joined);
			free(after);
			free(joined);
			after = full;
			done.data[done.size = 0] = 0;
		}
		free(target);
		free(rest);
		rest = after;
	}
	free(rest);
	text_free(&done);
	return err;
}
