/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems of a Linux guest, and the way from the initial RAM disk to the image. */
#ifndef LV_GUEST_MOUNTS_H
#define LV_GUEST_MOUNTS_H

#include "guest/config.h"

/* /proc, /sys and /dev of the initial RAM disk. Each function: 0, or a negative errno with a message. */
int mounts_early(void);
/* The image and its writable layer become /new, with the file systems that every program expects. */
int mounts_root(const struct guest_config *config);
/* /new becomes the root; what the initial RAM disk held is given back. */
int mounts_enter(void);
/*
 * When all processes have ended: disks are unmounted, or made read-only where that is not possible (the layer below the root), so that
 * their file systems are whole without a journal's help.
 */
void mounts_leave(void);

#endif
