/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/kernel_source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/kernel.h"

int source_read_tree(void *context, const char *path, char **text, size_t *size)
{
	char *full = alloc_format("%s/%s", (const char *)context, path);
	int err = full ? file_read(AT_FDCWD, full, SOURCE_FILE_MAX, text, size) : -ENOMEM;
	free(full);
	return err;
}

/*
 * Archives keep their name when their contents change: of a kernel that was built before it was noted which
 * one it was, the tree has to be the only one.
 */
char *source_unpacked(const struct kernel *kernel, struct error *error)
{
	const bool known = strcmp(kernel->source_id, "?") != 0;
	glob_t found = { 0 };
	char *cache = kernel_cache(), *tree = NULL, *pattern = known ? alloc_format("%s/.source-%s/Kconfig", cache, kernel->source_id) : alloc_format("%s/.source-%s-*/Kconfig", cache, kernel->source);
	if (known && !access(pattern, R_OK))
		tree = alloc_format("%s/.source-%s", cache, kernel->source_id);
	else if (!known && !glob(pattern, GLOB_PERIOD, NULL, &found) && found.gl_pathc == 1)
		tree = alloc_format("%.*s", (int)(strlen(found.gl_pathv[0]) - strlen("/Kconfig")), found.gl_pathv[0]);
	if (!tree)
		error_set(error, -ENODATA, "the source of kernel %s (%s) is not unpacked; that does: lightvm kernel build --force", kernel->name, kernel->source);
	globfree(&found);
	free(pattern);
	free(cache);
	return tree;
}
