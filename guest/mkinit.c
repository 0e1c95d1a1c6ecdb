/* SPDX-License-Identifier: Apache-2.0 */
/* mkinit PROGRAM ARCHIVE: makes the initial RAM disk of Linux guests: PID 1 and what it needs before it has mounted anything. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "tinyx/cpio.h"

#define INIT_MAX (16u << 20)

static void add_dir(struct text *archive, const char *name)
{
	cpio_add(archive, name, S_IFDIR | 0755, 0, "", 0);
}

int main(int argc, char **argv)
{
	struct text archive = { 0 };
	char *init;
	size_t size;
	if (argc != 3) {
		fprintf(stderr, "usage: mkinit PROGRAM ARCHIVE\n");
		return 2;
	}
	int err = file_read(AT_FDCWD, argv[1], INIT_MAX, &init, &size);
	if (err) {
		fprintf(stderr, "mkinit: %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	/* The kernel opens /dev/console before PID 1 can mount /dev. */
	static const char *const dirs[] = { "dev", "proc", "sys", "new", "image", "layer" };
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		add_dir(&archive, dirs[i]);
	cpio_add(&archive, "dev/console", S_IFCHR | 0600, makedev(5, 1), "", 0);
	cpio_add(&archive, "init", S_IFREG | 0755, 0, init, size);
	cpio_end(&archive);
	err = file_write(AT_FDCWD, argv[2], archive.data, archive.size, 0644);
	if (err)
		fprintf(stderr, "mkinit: %s: %s\n", argv[2], strerror(-err));
	text_free(&archive);
	free(init);
	return err ? 1 : 0;
}
