/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a plan as an EROFS file system (Documentation/filesystems/erofs.rst): blocks of 4096 bytes, extended inodes, so that owners
 * and times to the nanosecond are kept, nothing compressed, every file on a block of its own, so that it is mapped in place.
 * Written here and not by mkfs.erofs: that one takes owners and times from a staged copy, which only root can give away, puts one
 * time over all in the versions of today's distributions, and needs each file to be copied twice. The same plan makes the
 * same bytes.
 */
#ifndef LV_TINYX_EROFS_WRITE_H
#define LV_TINYX_EROFS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tinyx/plan.h"

/*
 * Writes plan to the empty file fd. Files of the host are read as long as the plan says they are: one that grew is cut, one
 * that shrank ends in zero bytes; its fingerprint tells that the image is stale. where: what messages call the place of fd.
 * 0 or a negative errno with a message that names the file, or for -ENOSPC the place and the size needed.
 */
int erofs_write(const struct plan *plan, int fd, const char *where, const struct pack_watch *watch, struct error *error);

#endif
