/* SPDX-License-Identifier: Apache-2.0 */
/* What libos and the server of a volume say to each other beyond FUSE (linux/fuse.h). Linux never says it, and no other server has to understand it. */
#ifndef LV_ABI_FUSE_MORE_H
#define LV_ABI_FUSE_MORE_H

/*
 * In fuse_open_in.open_flags: behind struct fuse_open_out the answer has the file's first bytes, so many at most; none where they cannot be read. Who asks has
 * room for all of them: the server is not told how much there is, and an answer that is longer than its room is EIO. A server that does not know of it answers
 * with the structure alone.
 */
#define LV_FUSE_OPEN_READ (1u << 31)
#define LV_FUSE_OPEN_BYTES 16384u

#endif
