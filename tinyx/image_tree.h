/* SPDX-License-Identifier: Apache-2.0 */
/* What is in an image, path by path, and how two of them differ. Images are hostile: a directory within itself ends the walk. */
#ifndef LV_TINYX_IMAGE_TREE_H
#define LV_TINYX_IMAGE_TREE_H

#include "base/error.h"
#include "tinyx/image_file.h"

struct image_entry {
	char *path;
	struct erofs_inode inode;
};

struct image_tree { /* in the order of the paths; zero-initialised: empty */
	struct image_entry *entry;
	size_t count;
};

/* All of the image but its root. -EIO with a message that names the image: it is damaged, or has more than two million entries, or 512 MiB of paths; free in any case. */
int image_tree_read(struct image_tree *tree, const struct image *image, const char *name, struct error *error);
void image_tree_free(struct image_tree *tree);

struct image_change { /* of one path */
	const struct image_entry *before, *after; /* NULL: it is not there */
	bool type, contents, mode, owner; /* where it is in both: what differs. Of a link, contents is where it leads */
};

/* Calls each for every path that differs but in times, in order. */
void image_tree_compare(const struct image *one, const struct image_tree *before, const struct image *two, const struct image_tree *after,
			void (*each)(void *context, const struct image_change *change), void *context);

#endif
