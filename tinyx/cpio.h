/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives for an initial RAM disk: the "newc" format of Documentation/driver-api/early-userspace/buffer-format.rst. Needs
 * no rights, not even for device nodes; the same input gives the same bytes.
 */
#ifndef LV_TINYX_CPIO_H
#define LV_TINYX_CPIO_H

#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"

/* Appends one member, owned by root. name: without a leading slash. mode: with the type; rdev: of a device node, else 0. */
void cpio_add(struct text *archive, const char *name, mode_t mode, dev_t rdev, const void *data, size_t size);
/* Ends the archive; another may follow, and the kernel unpacks both. */
void cpio_end(struct text *archive);

#endif
