/* SPDX-License-Identifier: Apache-2.0 */
#include "node/records_write.h"

#include <string.h>

#include "abi/records.h"

void records_begin(struct text *out, uint32_t magic, uint32_t version)
{
	struct lv_records header = { .magic = magic, .version = version };
	text_add(out, &header, sizeof(header));
}

void records_add(struct text *out, uint32_t type, const void *data, size_t size)
{
	struct lv_record record = { .type = type, .size = (uint32_t)size };
	text_add(out, &record, sizeof(record));
	text_add(out, data, size);
	text_add(out, "\0\0\0", -size % 4);
	if (!text_error(out))
		((struct lv_records *)out->data)->records++;
}

void records_add_string(struct text *out, uint32_t type, const char *string)
{
	records_add(out, type, string, strlen(string) + 1);
}

void records_end(struct text *out)
{
	if (!text_error(out))
		((struct lv_records *)out->data)->size = (uint32_t)out->size;
}
