/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/image_file.h"
#include "tinyx/plan.h"

static bool below_one(const struct strings *dirs, const char *path)
{
	for (size_t i = 0; i < dirs->count; i++) {
		size_t len = strlen(dirs->item[i]);
		if (!strncmp(path, dirs->item[i], len) && (!path[len] || path[len] == '/'))
			return true;
	}
	return false;
}

static bool is_there(const struct image *image, const struct strings *volumes, const char *word, const char *cwd)
{
	struct erofs_inode inode;
	char *path = path_clean(cwd, word);
	bool there = below_one(volumes, path) || !erofs_walk(&image->fs, path, &inode);
	free(path);
	return there;
}

const char *image_lacks(const struct image *image, const struct strings *volumes, char *const *words, size_t count, const char *cwd)
{
	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(words[i], '='), *word = words[i][0] == '-' && equals ? equals + 1 : words[i];
		/* "/", ".", numbers and the like name something everywhere. */
		if (*word && *word != '-' && strpbrk(word, "./") && word[strspn(word, "./")] && !access(word, F_OK) && !is_there(image, volumes, word, cwd))
			return word;
	}
	return NULL;
}
