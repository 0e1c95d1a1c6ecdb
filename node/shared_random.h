/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random number generators in user space that a copy of their memory copies, and that nothing can tell of it (docs/state.md): two VMs from one state draw the same
 * numbers from them, keys too.
 */
#ifndef LV_NODE_SHARED_RANDOM_H
#define LV_NODE_SHARED_RANDOM_H

#include "tinyx/image_file.h"

/* The first one that the program, a path in the image, brings or that lies among the image's libraries: what it is and where, the caller's; NULL: none that is known. */
char *shared_random_in(const struct image *image, const char *program);

#endif
