/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/kernel_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

int source_read_tree(void *context, const char *path, char **text, size_t *size)
{
	char *full = alloc_format("%s/%s", (const char *)context, path);
	int err = full ? file_read(AT_FDCWD, full, SOURCE_FILE_MAX, text, size) : -ENOMEM;
	free(full);
	return err;
}
