/* SPDX-License-Identifier: Apache-2.0 */
/* Names for addresses in a library-OS VM: of its program's files, as they lie in its image, and of the library OS. */
#ifndef LV_NODE_SYMBOLS_H
#define LV_NODE_SYMBOLS_H

#include "abi/control.h"
#include "base/text.h"
#include "tinyx/image_file.h"

struct symbols { /* what names come from; both are optional */
	const struct lv_text_map *map;
	uint32_t maps;
	struct image image;
	bool has_image;
	char *libos;
	size_t libos_size;
};

/*
 * map: where files are mapped (maps of them, hostile; at most those of an lv_crash count), which lives as long as symbols does. image: path
 * of the image; NULL or unreadable: no names. The library OS' own addresses get names if the one that is installed now is the build that ran.
 */
void symbols_open(struct symbols *symbols, const struct lv_status *status, const struct lv_text_map *map, uint32_t maps, const char *image);
void symbols_close(struct symbols *symbols);
/* "main+0x16 (/bin/x)", "file offset 0x16 (/bin/x)", or "in no file"; as the guest has it: for a terminal through text_shown. */
void symbols_put(const struct symbols *symbols, uint64_t at, struct text *out);

#endif
