/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/image_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

#define DEPTH_MAX 128
#define ENTRIES_MAX 2000000
#define PATHS_MAX (512u << 20) /* bytes of all paths: names of directories stand in those of all that is in them */

static int by_path(const void *a, const void *b)
{
	const struct image_entry *one = a, *two = b;
	return strcmp(one->path, two->path);
}

struct walk {
	struct image_tree *tree;
	const struct erofs *fs;
	size_t room, paths;
};

static int walk_dir(struct walk *walk, const char *path, const struct erofs_inode *dir, int depth)
{
	struct erofs_dirent entry;
	uint64_t cursor = 0;
	int got;
	if (depth > DEPTH_MAX)
		return -EIO;
	while ((got = erofs_readdir(walk->fs, dir, &cursor, &entry)) == 1) {
		if ((entry.name_len == 1 && entry.name[0] == '.') || (entry.name_len == 2 && !memcmp(entry.name, "..", 2)))
			continue;
		struct image_tree *tree = walk->tree;
		walk->paths += strlen(path) + 1 + entry.name_len;
		if (tree->count == ENTRIES_MAX || walk->paths > PATHS_MAX)
			return -EIO;
		if (tree->count == walk->room) {
			walk->room = walk->room ? 2 * walk->room : 256;
			tree->entry = alloc_again(tree->entry, walk->room * sizeof(*tree->entry));
		}
		struct image_entry *made = &tree->entry[tree->count++];
		*made = (struct image_entry){ .path = alloc_format("%s/%.*s", path, (int)entry.name_len, entry.name) };
		if (erofs_inode(walk->fs, entry.nid, &made->inode))
			return -EIO;
		/* The table moves while it grows. */
		struct erofs_inode inode = made->inode;
		char *below = made->path;
		int err = S_ISDIR(inode.mode) ? walk_dir(walk, below, &inode, depth + 1) : 0;
		if (err)
			return err;
	}
	return got;
}

int image_tree_read(struct image_tree *tree, const struct image *image, const char *name, struct error *error)
{
	struct walk walk = { .tree = tree, .fs = &image->fs };
	struct erofs_inode root;
	int err = erofs_inode(&image->fs, image->fs.root_nid, &root);
	if (!err)
		err = walk_dir(&walk, "", &root, 0);
	if (err)
		return error_set(error, -EIO, "%s: image damaged: its directories cannot be read", name);
	qsort(tree->entry, tree->count, sizeof(*tree->entry), by_path);
	return 0;
}

void image_tree_free(struct image_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->entry[i].path);
	free(tree->entry);
	*tree = (struct image_tree){ 0 };
}

/* ---- two of them ---- */

static bool same_bytes(const struct image *one, const struct erofs_inode *a, const struct image *two, const struct erofs_inode *b)
{
	static char x[65536], y[65536];
	if (a->size != b->size)
		return false;
	for (uint64_t at = 0; at < a->size;) {
		int64_t n = erofs_read(&one->fs, a, at, x, sizeof(x)), m = erofs_read(&two->fs, b, at, y, sizeof(y));
		if (n <= 0 || n != m || memcmp(x, y, (size_t)n))
			return false;
		at += (uint64_t)n;
	}
	return true;
}

static bool differs(const struct image *one, const struct image *two, struct image_change *change)
{
	const struct erofs_inode *a = &change->before->inode, *b = &change->after->inode;
	bool has_bytes = S_ISREG(a->mode) || S_ISLNK(a->mode);
	change->type = (a->mode & S_IFMT) != (b->mode & S_IFMT);
	change->mode = (a->mode & 07777) != (b->mode & 07777);
	change->owner = a->uid != b->uid || a->gid != b->gid;
	change->contents = !change->type && (has_bytes ? !same_bytes(one, a, two, b) : a->rdev != b->rdev);
	return change->type || change->mode || change->owner || change->contents;
}

void image_tree_compare(const struct image *one, const struct image_tree *before, const struct image *two, const struct image_tree *after,
			void (*each)(void *context, const struct image_change *change), void *context)
{
	size_t a = 0, b = 0;
	while (a < before->count || b < after->count) {
		int order = a == before->count ? 1 : b == after->count ? -1 : strcmp(before->entry[a].path, after->entry[b].path);
		struct image_change change = { .before = order <= 0 ? &before->entry[a] : NULL, .after = order >= 0 ? &after->entry[b] : NULL };
		if (order || differs(one, two, &change))
			each(context, &change);
		a += order <= 0;
		b += order >= 0;
	}
}
