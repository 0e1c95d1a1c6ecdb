/* SPDX-License-Identifier: Apache-2.0 */
/* A table for people: columns as wide as what is in them. */
#ifndef LV_CLI_TEXT_TABLE_H
#define LV_CLI_TEXT_TABLE_H

#include "base/text.h"

/* heads: names of the columns, ended by NULL; one that begins with '>' is of numbers, and flush right. cells: one text a cell, row by row. */
void table_print(const char *const *heads, const struct strings *cells, struct text *out);

#endif
