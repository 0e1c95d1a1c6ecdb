/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text_table.h"

#include <string.h>

#define COLUMNS 16

static int width_of(const char *head, const struct strings *cells, size_t column, size_t columns)
{
	size_t width = strlen(head);
	for (size_t i = column; i < cells->count; i += columns)
		if (strlen(cells->item[i]) > width)
			width = strlen(cells->item[i]);
	return (int)width;
}

/* The last column is not filled up. */
static void put(const char *word, int width, bool right, bool last, struct text *out)
{
	if (last && !right)
		text_put(out, word);
	else
		text_format(out, "%*s", right ? width : -width, word);
	text_put(out, last ? "\n" : "  ");
}

void table_print(const char *const *heads, const struct strings *cells, struct text *out)
{
	int width[COLUMNS];
	bool right[COLUMNS];
	size_t columns = 0;
	while (columns < COLUMNS && heads[columns])
		columns++;
	for (size_t i = 0; i < columns; i++) {
		right[i] = heads[i][0] == '>';
		width[i] = width_of(heads[i] + right[i], cells, i, columns);
		put(heads[i] + right[i], width[i], right[i], i + 1 == columns, out);
	}
	for (size_t i = 0; i < cells->count; i++)
		put(cells->item[i], width[i % columns], right[i % columns], i % columns + 1 == columns, out);
}
