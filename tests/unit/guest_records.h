/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of a guest (abi/guest_config.h), record by record. */
#ifndef LV_TEST_GUEST_RECORDS_H
#define LV_TEST_GUEST_RECORDS_H

#include <string.h>

#include "abi/guest_config.h"
#include "base/text.h"

static inline void begin(struct text *out)
{
	struct lv_records header = { LV_GUEST_CONFIG_MAGIC, LV_GUEST_CONFIG_VERSION, 0, 0 };
	text_add(out, &header, sizeof(header));
}

static inline void record(struct text *out, uint32_t type, const void *data, size_t size)
{
	struct lv_record head = { type, (uint32_t)size };
	text_add(out, &head, sizeof(head));
	text_add(out, data, size);
	text_add(out, "\0\0\0", -size % 4);
	((struct lv_records *)out->data)->records++;
	((struct lv_records *)out->data)->size = (uint32_t)out->size;
}

static inline void string(struct text *out, uint32_t type, const char *value)
{
	record(out, type, value, strlen(value) + 1);
}

#endif
