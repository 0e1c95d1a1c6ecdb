/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/cpio.h"

#include <string.h>
#include <sys/sysmacros.h>

#define ALIGN 4

static void pad(struct text *archive)
{
	text_add(archive, "\0\0\0", -archive->size % ALIGN);
}

/* Device numbers of the file itself and the inode number are zero: nothing here has two links. */
void cpio_add(struct text *archive, const char *name, mode_t mode, dev_t rdev, const void *data, size_t size)
{
	text_format(archive, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0u, (unsigned)mode, 0u, 0u, 1u, 0u, size, 0u, 0u,
		    major(rdev), minor(rdev), strlen(name) + 1, 0u);
	text_add(archive, name, strlen(name) + 1);
	pad(archive);
	text_add(archive, data, size);
	pad(archive);
}

void cpio_end(struct text *archive)
{
	cpio_add(archive, "TRAILER!!!", 0, 0, "", 0);
}
