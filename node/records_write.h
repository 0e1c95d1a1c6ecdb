/* SPDX-License-Identifier: Apache-2.0 */
/* Writes records (abi/records.h): begin, records, end. */
#ifndef LV_NODE_RECORDS_WRITE_H
#define LV_NODE_RECORDS_WRITE_H

#include <stdint.h>

#include "base/text.h"

/* out: empty. */
void records_begin(struct text *out, uint32_t magic, uint32_t version);
void records_add(struct text *out, uint32_t type, const void *data, size_t size);
/* With its terminating zero byte. */
void records_add_string(struct text *out, uint32_t type, const char *string);
/* The header says how much there is. text_error(out) says whether it is all there. */
void records_end(struct text *out);

#endif
