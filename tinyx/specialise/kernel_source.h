/* SPDX-License-Identifier: Apache-2.0 */
/* Files of an unpacked kernel source, as its readers ask for them: by path below its top. */
#ifndef LV_TINYX_KERNEL_SOURCE_H
#define LV_TINYX_KERNEL_SOURCE_H

#include <stddef.h>

#include "base/error.h"

struct kernel_source {
	/* *text is the caller's, with a zero byte behind size bytes. -ENOENT: there is no such file; another negative errno. */
	int (*read)(void *context, const char *path, char **text, size_t *size);
	void *context;
};

/* Those of a directory (a const char *, the context), each of at most SOURCE_FILE_MAX bytes. */
#define SOURCE_FILE_MAX (4u << 20)
int source_read_tree(void *context, const char *path, char **text, size_t *size);

struct kernel;
/* The directory that a kernel of the cache was built from; the caller's. NULL with a message: it is not unpacked. */
char *source_unpacked(const struct kernel *kernel, struct error *error);

#endif
