/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/image_file.h"

#define LINKS_MAX 40
#define FILES_TOLD 64 /* between two reports */

/* ---- paths ---- */

/* Appends the components of path to clean (which holds "" or "/a/b"), following "." and "..". */
static void path_push(struct text *clean, const char *path)
{
	while (*path) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (clean->size && clean->data[--clean->size] != '/')
				;
			if (clean->data)
				clean->data[clean->size] = 0;
		} else if (n && !(n == 1 && path[0] == '.')) {
			text_put(clean, "/");
			text_add(clean, path, n);
		}
		path += n;
	}
}

char *path_clean(const char *base, const char *path)
{
	struct text clean = { 0 };
	if (path[0] != '/')
		path_push(&clean, base);
	path_push(&clean, path);
	if (!clean.size)
		text_put(&clean, "/");
	if (text_error(&clean)) /* what is there of it is another path */
		text_free(&clean);
	return clean.data;
}

/* ---- the table ---- */

static size_t slot_of(const struct plan *plan, const char *guest)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	for (const char *c = guest; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
	size_t at = hash & (plan->slots - 1);
	while (plan->slot[at] && strcmp(plan->entry[plan->slot[at] - 1].guest, guest))
		at = (at + 1) & (plan->slots - 1);
	return at;
}

static void table_grow(struct plan *plan)
{
	if (plan->count < plan->room)
		return;
	plan->room = plan->room ? 2 * plan->room : 64;
	plan->entry = alloc_again(plan->entry, plan->room * sizeof(*plan->entry));
	free(plan->slot);
	plan->slots = 2 * plan->room;
	plan->slot = alloc_zero(plan->slots * sizeof(*plan->slot));
	for (size_t i = 0; i < plan->count; i++)
		plan->slot[slot_of(plan, plan->entry[i].guest)] = (uint32_t)i + 1;
}

const struct plan_entry *plan_find(const struct plan *plan, const char *guest)
{
	if (!plan->slots)
		return NULL;
	uint32_t index = plan->slot[slot_of(plan, guest)];
	return index ? &plan->entry[index - 1] : NULL;
}

static void entry_clear(struct plan_entry *entry)
{
	free(entry->guest);
	free(entry->source);
	free(entry->depends);
}

/* Takes the entry; a later one replaces an earlier one only if asked to. */
static void table_put(struct plan *plan, struct plan_entry entry, bool replace)
{
	table_grow(plan);
	size_t at = slot_of(plan, entry.guest);
	if (!plan->slot[at]) {
		plan->entry[plan->count++] = entry;
		plan->slot[at] = (uint32_t)plan->count;
		return;
	}
	struct plan_entry *old = &plan->entry[plan->slot[at] - 1];
	if (replace || (old->kind == PLAN_DIR && entry.depends && !old->depends)) {
		entry_clear(old);
		*old = entry;
	} else {
		entry_clear(&entry);
	}
}

static void parents(struct plan *plan, const char *guest)
{
	char *path = alloc_copy(guest), *slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = 0;
		if (!plan_find(plan, path)) {
			parents(plan, path);
			table_put(plan, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = 0755 }, false);
		}
	}
	free(path);
}

/* Guest paths may lead through links that are planned already: /lib/x is /usr/lib/x there too. */
static char *guest_resolve(const struct plan *plan, const char *guest)
{
	char *path = path_clean("/", guest);
	for (int links = 0; links < LINKS_MAX; links++) {
		char *slash = path;
		const struct plan_entry *link = NULL;
		while (!link && (slash = strchr(slash + 1, '/'))) {
			*slash = 0;
			const struct plan_entry *entry = plan_find(plan, path);
			link = entry && entry->kind == PLAN_LINK ? entry : NULL;
			if (!link)
				*slash = '/';
		}
		if (!link)
			break;
		char *up = alloc_format("%s/..", path), *dir = path_clean("/", up), *target = path_clean(dir, link->source);
		char *rest = alloc_format("%s/%s", target, slash + 1), *next = path_clean("/", rest);
		free(up);
		free(dir);
		free(target);
		free(rest);
		free(path);
		path = next;
	}
	return path;
}

void plan_dir(struct plan *plan, const char *guest, mode_t mode)
{
	char *path = guest_resolve(plan, guest);
	parents(plan, path);
	if (strcmp(path, "/"))
		table_put(plan, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = mode }, false);
	free(path);
}

void plan_data(struct plan *plan, const char *guest, mode_t mode, const void *data, size_t size)
{
	char *path = guest_resolve(plan, guest), *copy = alloc_zero(size);
	memcpy(copy, data, size);
	parents(plan, path);
	table_put(plan, (struct plan_entry){ .guest = path, .kind = PLAN_DATA, .mode = mode, .source = copy, .size = size }, false);
}

void plan_link(struct plan *plan, const char *guest, const char *target)
{
	char *path = guest_resolve(plan, guest);
	parents(plan, path);
	table_put(plan, (struct plan_entry){ .guest = path, .kind = PLAN_LINK, .mode = 0777, .source = alloc_copy(target) }, false);
}

void plan_depend(struct plan *plan, const char *host)
{
	struct stat st;
	if (lstat(host, &st))
		return;
	plan->also = alloc_again(plan->also, (plan->also_count + 1) * sizeof(*plan->also));
	plan->also[plan->also_count++] = (struct plan_depends){ .path = alloc_copy(host), .fingerprint = file_fingerprint(&st) };
}

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

static void leave_out(struct plan *plan, const char *host)
{
	if (!plan->left_out++)
		plan->left_out_first = alloc_copy(host);
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

/* ---- from the host ---- */

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
		leave_out(plan, host);
		return 0;
	}
	if (depends) {
		entry.depends = alloc_copy(host);
		entry.fingerprint = file_fingerprint(st);
	}
	entry.guest = alloc_copy(guest);
	table_put(plan, entry, replace);
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
		leave_out(plan, host);
		return 0;
	}
	int err = strcmp(guest, "/") ? put_host(plan, host, guest, &st, true, replace, error) : 0;
	return !err && S_ISDIR(st.st_mode) ? put_children(plan, host, guest, replace, error) : err;
}

int plan_add_as(struct plan *plan, const char *host, const char *guest, struct error *error)
{
	char *to = guest_resolve(plan, guest), *from = realpath(host, NULL);
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
		parents(plan, to);
		err = put_tree(plan, from, to, st.st_dev, true, error);
	}
	free(from);
	free(to);
	return err;
}

/* One step of plan_add: the entry at path itself. Puts the link's target into *next. */
static int put_step(struct plan *plan, const char *path, bool last, bool whole, char **next, struct error *error)
{
	struct stat st;
	*next = NULL;
	const struct plan_entry *known = plan_find(plan, path);
	if (known && !last && known->kind == PLAN_DIR)
		return 0;
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
			if (++links > LINKS_MAX)
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

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		entry_clear(&plan->entry[i]);
	for (size_t i = 0; i < plan->also_count; i++)
		free(plan->also[i].path);
	free(plan->also);
	free(plan->left_out_first);
	free(plan->entry);
	free(plan->slot);
	*plan = (struct plan){ 0 };
}
