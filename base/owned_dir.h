/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that nobody else can have prepared: the one way to open the state and the image cache. Where they lie (/tmp,
 * /var/tmp, another user's HOME after sudo -E) others may have been first.
 */
#ifndef LV_BASE_OWNED_DIR_H
#define LV_BASE_OWNED_DIR_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Opens the directory path, made with mode 0700 (its parents 0755) if create is set and it is not there. The last component may
 * not be a symbolic link; the effective user must own it, and neither group nor others may write to it. What is below is
 * to be opened by openat from the result. A descriptor, the caller's; -ENOENT: not there, and not to be created (no
 * message); else another negative errno with a message that names path and what is wrong with it.
 */
int owned_dir_open(const char *path, bool create, struct error *error);
/* The same for a single component of an owned directory; shown is what messages call the outer one. */
int owned_dir_openat(int dir, const char *shown, const char *name, bool create, struct error *error);

#endif
