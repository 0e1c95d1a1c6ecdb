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
/* In the new root, what the configuration adds to it: directories in memory, and of the host. */
int mounts_add(const struct guest_config *config);
/* From here on parts of it cannot be changed, as the configuration says: PID 1 has written its own files by then. */
int mounts_freeze(const struct guest_config *config);
/*
 * When all processes have ended: disks are unmounted, or made read-only where that is not possible (the layer below the root), so that
 * their file systems are whole without a journal's help.
 */
void mounts_leave(void);

#endif
