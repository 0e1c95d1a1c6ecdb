/* SPDX-License-Identifier: Apache-2.0 */
/* Which program of an image is meant by a container's words: found where its PATH leads, and through "#!" lines. */
#ifndef LV_NODE_IMAGE_ENTRY_H
#define LV_NODE_IMAGE_ENTRY_H

#include "base/error.h"
#include "base/text.h"
#include "tinyx/image_file.h"

/*
 * args: argv, which begins with a path or a name; for a script its interpreter, that one's argument and the script's path take the place of the first.
 * path: the image's PATH, or NULL; cwd: where relative paths begin. *program: the path of the ELF program, the caller's. -ENOENT, -ENOEXEC, -ELOOP with a
 * message.
 */
int image_entry_find(const struct image *image, const char *path, const char *cwd, struct strings *args, char **program, struct error *error);

#endif
