/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations as bytes: a header, then records of type, size, that many bytes, zeroes up to a multiple of four. Little-endian.
 * Who writes and what the types mean is said beside each magic: abi/guest_config.h, abi/vm_records.h.
 */
#ifndef LV_ABI_RECORDS_H
#define LV_ABI_RECORDS_H

#include <assert.h>
#include <stdint.h>

#define LV_RECORDS_MAX 65536u /* of one configuration */

struct lv_records {
	uint32_t magic;
	uint32_t version; /* of what the magic names */
	uint32_t size;    /* of the whole, this header included */
	uint32_t records;
};
static_assert(sizeof(struct lv_records) == 16, "records header layout");

struct lv_record {
	uint32_t type; /* one that the reader does not know is an error: both come from one build */
	uint32_t size; /* of what follows */
};
static_assert(sizeof(struct lv_record) == 8, "record layout");

#endif
