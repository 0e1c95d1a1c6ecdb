/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last block of an image file, behind the EROFS file system: tells a whole image from a cut or altered one. Whoever
 * mounts the image does not see it. Little-endian. An image made by other hands may lack it; it is then checked by its
 * superblock alone.
 */
#ifndef LV_ABI_IMAGE_H
#define LV_ABI_IMAGE_H

#include <assert.h>
#include <stdint.h>

#define LV_TRAILER_MAGIC 0x314547414d494d56ull /* "VMIMAGE1" */
#define LV_TRAILER_SIZE 4096
#define LV_TRAILER_VERSION 1

struct lv_trailer {
	uint64_t magic;
	uint32_t version;
	uint32_t size;      /* of the trailer block: LV_TRAILER_SIZE */
	uint64_t body_size; /* bytes in front of the trailer */
	uint8_t sha256[32]; /* of them; also the image's name in the cache */
};
static_assert(sizeof(struct lv_trailer) == 56, "image trailer layout");

#endif
