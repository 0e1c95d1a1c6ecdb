/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/image_file.h"

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
	uint64_t hash = plan->seed;
	for (const char *c = guest; *c; c++) {
		hash = (hash ^ (uint8_t)*c) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	size_t at = hash & (plan->slots - 1);
	while (plan->slot[at] && strcmp(plan->entry[plan->slot[at] - 1].guest, guest))
		at = (at + 1) & (plan->slots - 1);
	return at;
}

static void table_fill(struct plan *plan)
{
	memset(plan->slot, 0, plan->slots * sizeof(*plan->slot));
	for (size_t i = 0; i < plan->count; i++)
		plan->slot[slot_of(plan, plan->entry[i].guest)] = (uint32_t)i + 1;
}

static void table_grow(struct plan *plan)
{
	if (plan->count < plan->room)
		return;
	plan->room = plan->room ? 2 * plan->room : 64;
	plan->entry = alloc_again(plan->entry, plan->room * sizeof(*plan->entry));
	plan->slots = 2 * plan->room;
	/* No image can choose names that meet in one slot; where no number is to be had they are slow at worst. */
	if (getrandom(&plan->seed, sizeof(plan->seed), GRND_NONBLOCK) < 0)
		plan->seed = (uintptr_t)plan->slot;
	plan->slot = alloc_again(plan->slot, plan->slots * sizeof(*plan->slot));
	table_fill(plan);
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
	free(entry->why);
	free(entry->source);
	free(entry->depends);
	for (size_t i = 0; i < entry->xattrs; i++) {
		free(entry->xattr[i].name);
		free(entry->xattr[i].value);
	}
	free(entry->xattr);
}

void plan_enter(struct plan *plan, struct plan_entry entry, bool replace)
{
	table_grow(plan);
	size_t at = slot_of(plan, entry.guest);
	entry.why = plan->why ? alloc_copy(plan->why) : NULL;
	if (!plan->slot[at]) {
		plan->entry[plan->count++] = entry;
		plan->slot[at] = (uint32_t)plan->count;
		return;
	}
	struct plan_entry *old = &plan->entry[plan->slot[at] - 1];
	if (replace || (old->kind == PLAN_DIR && (entry.depends || entry.dated) && !old->depends && !old->dated)) {
		entry_clear(old);
		*old = entry;
	} else {
		entry_clear(&entry);
	}
}

void plan_parents(struct plan *plan, const char *guest)
{
	char *path = alloc_copy(guest), *slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = 0;
		if (!plan_find(plan, path)) {
			plan_parents(plan, path);
			plan_enter(plan, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = 0755 }, false);
		}
	}
	free(path);
}

char *plan_resolve(const struct plan *plan, const char *guest)
{
	char *path = path_clean("/", guest);
	for (int links = 0; links < PLAN_LINKS_MAX; links++) {
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

const struct plan_entry *plan_find_at(const struct plan *plan, const char *guest)
{
	char *path = plan_resolve(plan, guest);
	const struct plan_entry *entry = plan_find(plan, path);
	free(path);
	return entry;
}

const struct plan_entry *plan_follow(const struct plan *plan, const char *guest)
{
	char *path = plan_resolve(plan, guest);
	const struct plan_entry *entry = plan_find(plan, path);
	for (int links = 0; entry && entry->kind == PLAN_LINK; links++) {
		char *up = alloc_format("%s/..", path), *dir = path_clean("/", up), *target = path_clean(dir, entry->source);
		free(up);
		free(dir);
		free(path);
		path = plan_resolve(plan, target);
		free(target);
		entry = links < PLAN_LINKS_MAX ? plan_find(plan, path) : NULL;
	}
	free(path);
	return entry;
}

/* What is planned at path, or would be if it were added. */
static const struct plan_entry *follow_from(const struct plan *plan, const char *path)
{
	const struct plan_entry *entry = plan_follow(plan, path);
	return entry ? entry : plan_follow(plan->from, path);
}

int plan_open(const struct plan *plan, const char *path, uint64_t *at, size_t *size)
{
	struct stat st;
	const struct plan_entry *entry = plan->from ? follow_from(plan, path) : NULL;
	if (plan->from && (!entry || entry->kind != PLAN_FILE))
		return -ENOENT;
	int fd = file_open_regular(entry ? entry->source : path);
	if (fd < 0)
		return fd;
	if (!entry && fstat(fd, &st)) {
		close(fd);
		return -EIO;
	}
	*at = entry ? entry->offset : 0;
	*size = entry ? entry->size : (size_t)st.st_size;
	return fd;
}

bool plan_has(const struct plan *plan, const char *path)
{
	uint64_t at;
	size_t size;
	int fd = plan_open(plan, path, &at, &size);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

char *plan_real(const struct plan *plan, const char *path)
{
	if (!plan->from)
		return realpath(path, NULL);
	const struct plan_entry *entry = follow_from(plan, path);
	return entry ? alloc_copy(entry->guest) : NULL;
}

void plan_dir(struct plan *plan, const char *guest, mode_t mode)
{
	char *path = plan_resolve(plan, guest);
	plan_parents(plan, path);
	if (strcmp(path, "/"))
		plan_enter(plan, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = mode }, false);
	free(path);
}

void plan_data(struct plan *plan, const char *guest, mode_t mode, const void *data, size_t size)
{
	char *path = plan_resolve(plan, guest), *copy = alloc_zero(size);
	memcpy(copy, data, size);
	plan_parents(plan, path);
	plan_enter(plan, (struct plan_entry){ .guest = path, .kind = PLAN_DATA, .mode = mode, .source = copy, .size = size }, false);
}

void plan_link(struct plan *plan, const char *guest, const char *target)
{
	char *path = plan_resolve(plan, guest);
	plan_parents(plan, path);
	plan_enter(plan, (struct plan_entry){ .guest = path, .kind = PLAN_LINK, .mode = 0777, .source = alloc_copy(target) }, false);
}

void plan_put(struct plan *plan, struct plan_entry entry)
{
	char *path = plan_resolve(plan, entry.guest);
	const struct plan_entry *old = plan_find(plan, path);
	free(entry.guest);
	entry.guest = path;
	entry.dated = true;
	if (old && old->kind == PLAN_LINK && entry.kind == PLAN_DIR) {
		entry_clear(&entry);
		return;
	}
	plan_parents(plan, path);
	plan_enter(plan, entry, true);
}

void plan_remove(struct plan *plan, const char *guest)
{
	const struct plan_entry *found = plan_find_at(plan, guest);
	if (!found || found->kind == PLAN_DIR)
		return;
	struct plan_entry *entry = &plan->entry[found - plan->entry];
	entry_clear(entry);
	*entry = plan->entry[--plan->count];
	table_fill(plan);
}

uint32_t plan_same(struct plan *plan, const char *guest)
{
	const struct plan_entry *found = plan_find_at(plan, guest);
	if (!found || found->kind == PLAN_DIR)
		return 0;
	struct plan_entry *entry = &plan->entry[found - plan->entry];
	if (!entry->same)
		entry->same = ++plan->sames;
	return entry->same;
}

static void entry_own(struct plan_entry *entry, const struct plan_owner *change, bool with_mode)
{
	if (change->uid)
		entry->uid = *change->uid;
	if (change->gid)
		entry->gid = *change->gid;
	if (with_mode && change->mode >= 0 && entry->kind != PLAN_LINK)
		entry->mode = (mode_t)change->mode;
}

void plan_own(struct plan *plan, const char *guest, const struct plan_owner *change, bool below)
{
	const struct plan_entry *found = plan_follow(plan, guest);
	if (!found)
		return;
	entry_own(&plan->entry[found - plan->entry], change, true);
	size_t len = strlen(found->guest);
	for (size_t i = 0; below && i < plan->count; i++)
		if (!strncmp(plan->entry[i].guest, found->guest, len) && plan->entry[i].guest[len] == '/')
			entry_own(&plan->entry[i], change, false);
}

void plan_why(struct plan *plan, const char *format, ...)
{
	va_list args;
	if (!plan->explains)
		return;
	free(plan->why);
	va_start(args, format);
	if (vasprintf(&plan->why, format, args) < 0)
		plan->why = NULL;
	va_end(args);
}

void plan_depend(struct plan *plan, const char *host)
{
	struct stat st;
	if (lstat(host, &st))
		return;
	plan->also = alloc_again(plan->also, (plan->also_count + 1) * sizeof(*plan->also));
	plan->also[plan->also_count++] = (struct plan_depends){ .path = alloc_copy(host), .fingerprint = file_fingerprint(&st) };
}

void plan_leave_out(struct plan *plan, const char *path)
{
	if (!plan->lenient && !plan->left_out++)
		plan->left_out_first = alloc_copy(path);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		entry_clear(&plan->entry[i]);
	for (size_t i = 0; i < plan->also_count; i++)
		free(plan->also[i].path);
	free(plan->also);
	strings_free(&plan->owners);
	free(plan->left_out_first);
	free(plan->why);
	free(plan->entry);
	free(plan->slot);
	*plan = (struct plan){ 0 };
}
