/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM of the library OS uses of its image, and what it looks for that is not there: a regular file, made by whoever starts the VM, of
 * which the monitor maps all behind the head and writes what the guest says. What it says is bounded by the file, and a hint about the guest alone.
 */
#ifndef LV_ABI_USED_FILES_H
#define LV_ABI_USED_FILES_H

#include <assert.h>
#include <stdint.h>

#define LV_USED_MAGIC 0x3153454c49464c56ull /* "VLFILES1" */
#define LV_USED_VERSION 1
#define LV_USED_NAMES_AT 4096
#define LV_USED_NAMES 65536 /* bytes of names */
#define LV_USED_MARKS_AT (LV_USED_NAMES_AT + LV_USED_NAMES)

#define LV_RECORD_USED 1u  /* in lv_device_page.record: which files are used */
#define LV_RECORD_LACKS 2u /* which names of the image's directories are looked for and not there, and which directories are listed */
#define LV_RECORD_KNOWN 3u

#define LV_USED_FOUND 1u  /* a mark's bits: its name was looked up, as stat, access, readlink and the way to other files do */
#define LV_USED_OPENED 2u

struct lv_used_files {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
};
static_assert(sizeof(struct lv_used_files) == 16, "head of the used files");
/*
 * At LV_USED_NAMES_AT: paths that are not there, and, with a slash at their end, directories that were listed, each once and ended by a zero byte, behind the last of which
 * there are zeroes; one that has no room is left out. At LV_USED_MARKS_AT, to
 * the end of the file: a byte for each inode of the image by its number (nid), of which there is none that exceeds the image's size / 32.
 */
#define LV_USED_SIZE(image_size) (LV_USED_MARKS_AT + (image_size) / 32 + 1)

#endif
