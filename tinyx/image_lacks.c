/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/image_file.h"
#include "tinyx/plan.h"

static bool is_there(const struct image *image, const char *word, const char *cwd)
{
	struct erofs_inode inode;
	char *path = path_clean(cwd, word);
	bool there = !erofs_walk(&image->fs, path, &inode);
	free(path);
	return there;
}

const char *image_lacks(const struct image *image, char *const *words, size_t count, const char *cwd)
{
	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(words[i], '='), *word = words[i][0] == '-' && equals ? equals + 1 : words[i];
		/* "/", ".", numbers and the like name something everywhere. */
		if (*word && *word != '-' && strpbrk(word, "./") && word[strspn(word, "./")] && !access(word, F_OK) && !is_there(image, word, cwd))
			return word;
	}
	return NULL;
}
