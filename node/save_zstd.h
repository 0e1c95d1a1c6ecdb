/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a saved VM, compressed: zstd frames that are, one after the other, the memory file byte for byte, each with a checksum. So "zstd -d" reads
 * it, too. Long holes are frames of zeroes. The compressed file is hostile.
 */
#ifndef LV_NODE_SAVE_ZSTD_H
#define LV_NODE_SAVE_ZSTD_H

#include <stdint.h>

#include "base/error.h"

#define SAVE_ZSTD "zstd" /* what the manifest calls it */

/* Compresses memory, from its first byte to its last, to packed, at its place. what: the latter's name, for messages. 0 or a negative errno with one. */
int save_zstd_pack(int memory, int packed, const char *what, struct error *error);
/* The memory of packed, which lies there from an offset on to its end and has that many bytes, is written to memory, which is empty; pages of zeroes are holes in it. -EBADMSG: it is damaged, or has more or fewer bytes. */
int save_zstd_unpack(int packed, uint64_t from, int memory, uint64_t size, const char *what, struct error *error);

#endif
