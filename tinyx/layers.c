/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/layers.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/text.h"

#define NAME_LIMIT 255
#define LINKS_MAX 40
#define ATTRIBUTES_MOST (64u << 20) /* bytes */
#define WHITEOUT ".wh."
#define WHITEOUT_OWN ".wh..wh."   /* what begins so is about the directory, or somebody's book-keeping */
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define ROOT 1u /* 0: none */
#define OURS "/.lightvm"

struct item { /* a file, directory, ... with all of its names */
	enum plan_kind kind;
	mode_t mode; /* with the type */
	uint32_t uid, gid, mtime_ns;
	int64_t mtime;
	uint64_t offset, size; /* in the spool */
	dev_t rdev;
	char *target; /* LINK */
	struct plan_xattr *xattr;
	size_t xattrs;
	uint32_t names;
	bool implied; /* a directory that only had to be there */
};

struct name {
	char *text;
	struct item *item;
	uint32_t parent, first, next, before; /* before, next: in the parent's list */
	uint32_t chain;  /* the next of its slot */
	uint32_t length; /* of the whole path */
	uint16_t depth;  /* below the root */
	uint16_t layer;  /* that touched it last */
	uint16_t opaque; /* what lower layers than this one have in it is hidden, from the end of that layer on */
};

struct layers {
	struct name *name; /* by number; those that are gone are not used again */
	uint32_t count, room;
	uint32_t *slot; /* of (parent, text): as many as there is room for names */
	uint64_t seed;  /* so that no archive can choose names that meet in one slot */
	uint32_t entries;
	uint16_t layer; /* that is applied now, from 1 */
	uint64_t attributes; /* bytes of extended attributes, those of what was replaced among them: they are in memory */
	bool any_opaque;
	char *spool;    /* path of the contents */
};

/* ---- items ---- */

static void xattrs_free(struct plan_xattr *xattr, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(xattr[i].name);
		free(xattr[i].value);
	}
	free(xattr);
}

static void item_put(struct item *item)
{
	if (!item || --item->names)
		return;
	xattrs_free(item->xattr, item->xattrs);
	free(item->target);
	free(item);
}

static struct item *item_implied(void)
{
	struct item *item = alloc_zero(sizeof(*item));
	*item = (struct item){ .kind = PLAN_DIR, .mode = S_IFDIR | 0755, .names = 1, .implied = true };
	return item;
}

/* ---- the tree ---- */

static uint32_t slot_of(const struct layers *layers, uint32_t parent, const char *text, size_t len)
{
	uint64_t hash = layers->seed ^ parent * 0x9e3779b97f4a7c15ull;
	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ (uint8_t)text[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	return (uint32_t)hash & (layers->room - 1);
}

static uint32_t find(const struct layers *layers, uint32_t parent, const char *text, size_t len)
{
	uint32_t at = layers->slot[slot_of(layers, parent, text, len)];
	for (; at; at = layers->name[at].chain) {
		const struct name *name = &layers->name[at];
		if (name->parent == parent && !strncmp(name->text, text, len) && !name->text[len])
			break;
	}
	return at;
}

static void chain_in(struct layers *layers, uint32_t at)
{
	struct name *name = &layers->name[at];
	uint32_t *slot = &layers->slot[slot_of(layers, name->parent, name->text, strlen(name->text))];
	name->chain = *slot;
	*slot = at;
}

static void grow(struct layers *layers)
{
	layers->room *= 2;
	layers->name = alloc_again(layers->name, layers->room * sizeof(*layers->name));
	free(layers->slot);
	layers->slot = alloc_zero(layers->room * sizeof(*layers->slot));
	for (uint32_t i = ROOT + 1; i < layers->count; i++)
		if (layers->name[i].item)
			chain_in(layers, i);
}

/* Takes one of the item's names. */
static uint32_t add(struct layers *layers, uint32_t parent, const char *text, size_t len, struct item *item)
{
	if (layers->count == layers->room)
		grow(layers);
	uint32_t at = layers->count++;
	struct name *up = &layers->name[parent];
	layers->name[at] = (struct name){ .text = alloc_format("%.*s", (int)len, text), .item = item, .parent = parent, .next = up->first,
		.length = up->length + 1 + (uint32_t)len, .depth = up->depth + 1, .layer = layers->layer };
	if (up->first)
		layers->name[up->first].before = at;
	up->first = at;
	chain_in(layers, at);
	return at;
}

/* Takes it out of the tables; what is below it is no longer reached. */
static void forget(struct layers *layers, uint32_t at)
{
	struct name *name = &layers->name[at];
	uint32_t *link = &layers->slot[slot_of(layers, name->parent, name->text, strlen(name->text))];
	while (*link != at)
		link = &layers->name[*link].chain;
	*link = name->chain;
	item_put(name->item);
	free(name->text);
	name->item = NULL;
	name->text = NULL;
}

static void unlist(struct layers *layers, uint32_t at)
{
	struct name *name = &layers->name[at];
	if (name->before)
		layers->name[name->before].next = name->next;
	else
		layers->name[name->parent].first = name->next;
	if (name->next)
		layers->name[name->next].before = name->before;
}

/* With all that is below it. Each name is removed once, so all removals together cost no more than the names. */
static void drop(struct layers *layers, uint32_t top)
{
	unlist(layers, top);
	layers->name[top].next = 0;
	for (uint32_t list = top; list;) { /* what is left to do: linked by next */
		uint32_t at = list, child = layers->name[at].first;
		list = layers->name[at].next;
		while (child) {
			uint32_t next = layers->name[child].next;
			layers->name[child].next = list;
			list = child;
			child = next;
		}
		forget(layers, at);
	}
}

struct layers *layers_new(void)
{
	struct layers *layers = alloc_zero(sizeof(*layers));
	*layers = (struct layers){ .count = ROOT + 1, .room = 1024 };
	layers->name = alloc_zero(layers->room * sizeof(*layers->name));
	layers->slot = alloc_zero(layers->room * sizeof(*layers->slot));
	layers->name[ROOT] = (struct name){ .item = item_implied() };
	if (getrandom(&layers->seed, sizeof(layers->seed), 0) != (ssize_t)sizeof(layers->seed))
		layers->seed = (uintptr_t)layers;
	return layers;
}

void layers_free(struct layers *layers)
{
	if (!layers)
		return;
	for (uint32_t i = ROOT; i < layers->count; i++) {
		item_put(layers->name[i].item);
		free(layers->name[i].text);
	}
	free(layers->name);
	free(layers->slot);
	free(layers->spool);
	free(layers);
}

/* ---- the way to an entry ---- */

struct way { /* of one entry */
	const char *what, *path; /* the layer, the entry: for messages */
	bool make; /* directories that are missing; else the result is 0 then */
};

static bool is_dir(const struct layers *layers, uint32_t at)
{
	return layers->name[at].item->kind == PLAN_DIR;
}

/* What is ours in every image is passed over where it is named, and nobody gets there by another way. */
static bool is_ours_at(uint32_t dir, const char *text, size_t len)
{
	return dir == ROOT && len == strlen(OURS) - 1 && !strncmp(text, &OURS[1], len);
}

static int refuse_ours(const struct way *way, struct error *error)
{
	return way->make ? error_set(error, -EINVAL, "%s: %s leads to " OURS ", which is LightVM's own", way->what, way->path) : 0;
}

static int check_length(const struct layers *layers, const struct way *way, uint32_t dir, size_t len, struct error *error)
{
	if (len > NAME_LIMIT)
		return error_set(error, -ENAMETOOLONG, "%s: %.100s...: a name of %zu bytes; a file system of Linux has at most %d", way->what, way->path, len, NAME_LIMIT);
	if (layers->name[dir].depth + 1 > LAYERS_DEPTH)
		return error_set(error, -ENAMETOOLONG, "%s: %.100s...: more than %d directories, one in the other", way->what, way->path, LAYERS_DEPTH);
	if (layers->name[dir].length + 1 + len >= PATH_MAX)
		return error_set(error, -ENAMETOOLONG, "%s: %.100s...: a path of more than %d bytes", way->what, way->path, PATH_MAX - 1);
	return 0;
}

/* What rest, a path without its last component, is from the root, links of the image followed within it. *dir: 0 if it is missing. */
static int follow(struct layers *layers, const struct way *way, char *rest, uint32_t *dir, struct error *error)
{
	int links = 0, err = 0;
	uint32_t at = ROOT;
	char *own = NULL, *scan = rest;
	while (!err && at && *(scan += strspn(scan, "/"))) {
		size_t len = strcspn(scan, "/");
		const char *component = scan;
		scan += len;
		if (len == 1 && component[0] == '.')
			continue;
		if (len == 2 && !strncmp(component, "..", 2)) { /* of a link's target: not above the root */
			at = layers->name[at].parent ? layers->name[at].parent : ROOT;
			continue;
		}
		if (is_ours_at(at, component, len)) {
			err = refuse_ours(way, error);
			at = 0;
			continue;
		}
		uint32_t child = find(layers, at, component, len);
		const struct item *item = child ? layers->name[child].item : NULL;
		if (!child && way->make && layers->count > LAYERS_ENTRIES)
			err = error_set(error, -E2BIG, "%s: more than %u files and directories", way->what, LAYERS_ENTRIES);
		else if (!child && way->make && !(err = check_length(layers, way, at, len, error)))
			child = add(layers, at, component, len, item_implied());
		else if (item && item->kind == PLAN_LINK) {
			if (++links > LINKS_MAX)
				err = error_set(error, -ELOOP, "%s: %s: too many symbolic links", way->what, way->path);
			char *next = alloc_format("%s/%s", item->target, scan);
			child = item->target[0] == '/' ? ROOT : at;
			if (strlen(next) >= 2 * PATH_MAX && !err)
				err = error_set(error, -ENAMETOOLONG, "%s: %.100s...: a path of more than %d bytes", way->what, way->path, PATH_MAX - 1);
			free(own);
			own = scan = next;
		} else if (item && item->kind != PLAN_DIR) {
			err = way->make ? error_set(error, -ENOTDIR, "%s: %s: a part of this path is not a directory", way->what, way->path) : 0;
			child = 0;
		}
		at = child;
		if (at && way->make)
			layers->name[at].layer = layers->layer;
	}
	free(own);
	*dir = at;
	return err;
}

/* The directory that path lies in; *base: its last component, in path. */
static int find_dir(struct layers *layers, const struct way *way, const char *path, uint32_t *dir, const char **base, struct error *error)
{
	const char *slash = strrchr(path, '/');
	char *rest = alloc_format("%.*s", (int)(slash - path), path);
	*base = slash + 1;
	int err = follow(layers, way, rest, dir, error);
	free(rest);
	if (!err && is_ours_at(*dir, *base, strlen(*base))) {
		*dir = 0;
		return refuse_ours(way, error);
	}
	return err ? err : *dir ? check_length(layers, way, *dir, strlen(*base), error) : 0;
}

/* ---- whiteouts ---- */

static int apply_whiteout(struct layers *layers, const struct way *given, const char *path, struct error *error)
{
	struct way way = *given;
	const char *base;
	uint32_t dir;
	way.make = false;
	int err = find_dir(layers, &way, path, &dir, &base, error);
	if (err || !dir || !is_dir(layers, dir))
		return err;
	const char *hidden = base + strlen(WHITEOUT);
	if (!strcmp(base, WHITEOUT_OPAQUE)) {
		layers->name[dir].opaque = layers->layer;
		layers->any_opaque = true;
		return 0;
	}
	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
		return error_set(error, -EINVAL, "%s: %s hides no name", way.what, way.path);
	uint32_t at = find(layers, dir, hidden, strlen(hidden));
	if (!at)
		return 0;
	if (layers->name[at].layer != layers->layer) {
		drop(layers, at);
	} else if (is_dir(layers, at)) { /* the layer hides and has it, in whatever order */
		layers->name[at].opaque = layers->layer;
		layers->any_opaque = true;
	}
	return 0;
}

/* Removes what opaque directories hide, at the end of their layer: their order among the layer's entries says nothing. */
static void hide(struct layers *layers, uint32_t dir, bool opaque)
{
	opaque |= layers->name[dir].opaque == layers->layer;
	for (uint32_t at = layers->name[dir].first, next; at; at = next) {
		next = layers->name[at].next;
		if (opaque && layers->name[at].layer != layers->layer)
			drop(layers, at);
		else if (layers->name[at].first)
			hide(layers, at, opaque);
	}
}

/* ---- entries ---- */

static int check_kind(const struct way *way, const struct tar_entry *entry, struct error *error)
{
	mode_t type = entry->mode & S_IFMT;
	bool known = type == S_IFDIR || type == S_IFREG || type == S_IFLNK || type == S_IFCHR || type == S_IFBLK || type == S_IFIFO || type == S_IFSOCK;
	if (!known)
		return error_set(error, -EINVAL, "%s: %s is neither file, directory, link, device nor pipe (type 0%o)", way->what, way->path, (unsigned)type);
	if (type == S_IFLNK && (!entry->target || !*entry->target || strlen(entry->target) >= PATH_MAX))
		return error_set(error, -EINVAL, "%s: %s is a symbolic link to nowhere, or to more than %d bytes", way->what, way->path, PATH_MAX - 1);
	return 0;
}

static int make_item(struct layers *layers, const struct way *way, struct tar *tar, const struct tar_entry *entry, struct spool *spool, struct item **out,
		     struct error *error)
{
	mode_t type = entry->mode & S_IFMT;
	int err = check_kind(way, entry, error);
	if (err)
		return err;
	struct item *item = *out = alloc_zero(sizeof(*item));
	*item = (struct item){ .kind = type == S_IFDIR ? PLAN_DIR : type == S_IFREG ? PLAN_FILE : type == S_IFLNK ? PLAN_LINK : PLAN_SPECIAL, .mode = entry->mode,
		.uid = entry->uid, .gid = entry->gid, .mtime = entry->mtime, .mtime_ns = entry->mtime_ns, .rdev = entry->rdev, .names = 1 };
	if (item->kind == PLAN_LINK)
		item->mode = S_IFLNK | 0777; /* as Linux has it, whatever the archive says */
	item->xattrs = tar_xattrs(tar, &item->xattr);
	for (size_t i = 0; i < item->xattrs; i++)
		layers->attributes += item->xattr[i].size + strlen(item->xattr[i].name) + sizeof(*item->xattr);
	if (layers->attributes > ATTRIBUTES_MOST)
		err = error_set(error, -E2BIG, "%s: with %s its extended attributes take more than %u MiB", way->what, way->path, ATTRIBUTES_MOST >> 20);
	item->target = item->kind == PLAN_LINK ? alloc_copy(entry->target) : NULL;
	item->size = item->kind == PLAN_FILE ? entry->size : 0;
	if (!err && item->kind == PLAN_FILE)
		err = spool_take(tar, entry, spool, &item->offset, error);
	if (err)
		item_put(item);
	return err;
}

/* Takes the item. A directory over a directory changes what that one is like; anything else replaces what is there. */
static void put(struct layers *layers, uint32_t dir, const char *base, struct item *item)
{
	uint32_t old = find(layers, dir, base, strlen(base));
	if (old && item->kind == PLAN_DIR && is_dir(layers, old)) {
		item_put(layers->name[old].item);
		layers->name[old].item = item;
		layers->name[old].layer = layers->layer;
		return;
	}
	if (old)
		drop(layers, old);
	add(layers, dir, base, strlen(base), item);
}

static int apply_name(struct layers *layers, const struct way *way, const struct tar_entry *entry, struct error *error)
{
	struct way there = *way;
	const char *base;
	uint32_t dir, first = 0;
	if (!strcmp(entry->path, "/"))
		return error_set(error, -EINVAL, "%s: its root is not a directory", way->what);
	there.make = false;
	int err = strcmp(entry->target, "/") ? find_dir(layers, &there, entry->target, &dir, &base, error) : 0;
	if (!err && strcmp(entry->target, "/") && dir)
		first = find(layers, dir, base, strlen(base));
	if (!err && !first)
		err = error_set(error, -EINVAL, "%s: %s is another name of %s, which is not there", way->what, way->path, entry->target);
	if (!err && is_dir(layers, first))
		err = error_set(error, -EINVAL, "%s: %s is another name of %s, which is a directory", way->what, way->path, entry->target);
	if (err)
		return err;
	struct item *item = layers->name[first].item;
	item->names++; /* before what is there goes, which may be it */
	err = find_dir(layers, way, entry->path, &dir, &base, error);
	if (err)
		item_put(item);
	else
		put(layers, dir, base, item);
	return err;
}

static int apply_root(struct layers *layers, const struct way *way, struct item *item, struct error *error)
{
	if (item->kind != PLAN_DIR) {
		item_put(item);
		return error_set(error, -EINVAL, "%s: its root is not a directory", way->what);
	}
	item_put(layers->name[ROOT].item);
	layers->name[ROOT].item = item;
	return 0;
}

/* What is ours in every image, and the book-keeping of the builders of layers. */
static bool is_passed_over(const char *path, const char *base)
{
	bool is_ours = text_starts(path, OURS) && (!path[strlen(OURS)] || path[strlen(OURS)] == '/');
	bool is_kept = text_starts(path + 1, WHITEOUT_OWN) || text_starts(base, WHITEOUT_OWN);
	return is_ours || (is_kept && strcmp(base, WHITEOUT_OPAQUE));
}

static int apply_entry(struct layers *layers, struct tar *tar, const struct tar_entry *entry, struct spool *spool, const char *what, struct error *error)
{
	const struct way way = { .what = what, .path = entry->path, .make = true };
	const char *base = strrchr(entry->path, '/') + 1;
	struct item *item;
	uint32_t dir;
	if (is_passed_over(entry->path, base))
		return 0;
	if (text_starts(base, WHITEOUT))
		return apply_whiteout(layers, &way, entry->path, error);
	if (entry->is_name)
		return apply_name(layers, &way, entry, error);
	int err = make_item(layers, &way, tar, entry, spool, &item, error);
	if (err)
		return err;
	if (!strcmp(entry->path, "/"))
		return apply_root(layers, &way, item, error);
	err = find_dir(layers, &way, entry->path, &dir, &base, error);
	if (err)
		item_put(item);
	else
		put(layers, dir, base, item);
	return err;
}

int layers_apply(struct layers *layers, struct tar *tar, struct spool *spool, const char *what, struct error *error)
{
	struct tar_entry entry;
	int err;
	if (layers->layer == LAYERS_MOST)
		return error_set(error, -E2BIG, "%s: more than %d layers", what, LAYERS_MOST);
	layers->layer++;
	free(layers->spool);
	layers->spool = alloc_copy(spool->path);
	while ((err = tar_next(tar, &entry, error)) > 0) {
		if (++layers->entries > LAYERS_ENTRIES)
			return error_set(error, -E2BIG, "%s: more than %u files and directories", what, LAYERS_ENTRIES);
		err = apply_entry(layers, tar, &entry, spool, what, error);
		if (err)
			return err;
	}
	if (!err && layers->any_opaque)
		hide(layers, ROOT, false);
	layers->any_opaque = false;
	return err;
}

/* ---- into a plan ---- */

static struct plan_xattr *copy_xattrs(const struct item *item)
{
	struct plan_xattr *copy = item->xattrs ? alloc_zero(item->xattrs * sizeof(*copy)) : NULL;
	for (size_t i = 0; i < item->xattrs; i++)
		copy[i] = (struct plan_xattr){ alloc_copy(item->xattr[i].name), memcpy(alloc_zero(item->xattr[i].size + 1), item->xattr[i].value, item->xattr[i].size),
			item->xattr[i].size };
	return copy;
}

struct same { /* which number a file with several names has in the plan: found by its address */
	const struct item **item;
	uint32_t *number;
	size_t slots;
};

static uint32_t same_number(struct plan *plan, struct same *same, const struct item *item)
{
	if (item->names < 2 || item->kind == PLAN_DIR)
		return 0;
	size_t at = ((uintptr_t)item >> 4) * 0x9e3779b97f4a7c15ull >> 20 & (same->slots - 1);
	while (same->item[at] && same->item[at] != item)
		at = (at + 1) & (same->slots - 1);
	if (!same->item[at]) {
		same->item[at] = item;
		same->number[at] = ++plan->sames;
	}
	return same->number[at];
}

static void plan_item(const struct layers *layers, struct plan *plan, struct same *same, const struct item *item, const char *path)
{
	if (item->implied) {
		plan_dir(plan, path, item->mode & 07777);
		return;
	}
	plan_put(plan, (struct plan_entry){ .guest = alloc_copy(path), .kind = item->kind, .mode = item->mode & (item->kind == PLAN_SPECIAL ? S_IFMT | 07777 : 07777),
		.uid = item->uid, .gid = item->gid, .mtime = item->mtime, .mtime_ns = item->mtime_ns, .rdev = item->rdev, .size = (size_t)item->size,
		.offset = item->offset, .source = item->kind == PLAN_FILE ? alloc_copy(layers->spool) : item->kind == PLAN_LINK ? alloc_copy(item->target) : NULL,
		.same = same_number(plan, same, item), .xattr = copy_xattrs(item), .xattrs = item->xattrs });
}

static void plan_below(const struct layers *layers, struct plan *plan, struct same *same, uint32_t dir, struct text *path)
{
	size_t before = path->size;
	for (uint32_t at = layers->name[dir].first; at; at = layers->name[at].next) {
		const struct name *name = &layers->name[at];
		text_format(path, "/%s", name->text);
		plan_item(layers, plan, same, name->item, path->data);
		if (name->first)
			plan_below(layers, plan, same, at, path);
		path->data[path->size = before] = 0;
	}
}

void layers_plan(const struct layers *layers, struct plan *plan)
{
	struct same same = { .slots = 2ull * layers->room };
	struct text path = { 0 };
	same.item = alloc_zero(same.slots * sizeof(*same.item));
	same.number = alloc_zero(same.slots * sizeof(*same.number));
	text_put(&path, "");
	if (!layers->name[ROOT].item->implied)
		plan_item(layers, plan, &same, layers->name[ROOT].item, "/");
	plan_below(layers, plan, &same, ROOT, &path);
	text_free(&path);
	free(same.item);
	free(same.number);
}
