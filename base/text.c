/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 63

void (*on_out_of_memory)(void);

static void *or_tell(void *memory)
{
	if (!memory && on_out_of_memory)
		on_out_of_memory();
	return memory;
}

void *alloc_zero(size_t size)
{
	return or_tell(calloc(1, size ? size : 1));
}

void *alloc_again(void *old, size_t size)
{
	return or_tell(realloc(old, size ? size : 1));
}

char *alloc_copy(const char *string)
{
	return or_tell(strdup(string));
}

char *alloc_format(const char *format, ...)
{
	char *out = NULL;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&out, format, args);
	va_end(args);
	return or_tell(n < 0 ? NULL : out);
}

/* False: there is no room, and the text says so. */
static bool text_need(struct text *text, size_t more)
{
	if (text->size + more + 1 <= text->room)
		return true;
	size_t room = (text->size + more + 1) * 2;
	char *data = alloc_again(text->data, room);
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->room = room;
	return true;
}

void text_add(struct text *text, const void *data, size_t size)
{
	if (!text_need(text, size))
		return;
	if (size)
		memcpy(text->data + text->size, data, size);
	text->size += size;
	text->data[text->size] = 0;
}

char *text_room(struct text *text, size_t more)
{
	return text_need(text, more) ? text->data + text->size : NULL;
}

void text_put(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n > 0 && text_need(text, (size_t)n)) {
		vsnprintf(text->data + text->size, (size_t)n + 1, format, again);
		text->size += (size_t)n;
	}
	va_end(again);
}

int text_error(const struct text *text)
{
	return text->failed ? -ENOMEM : 0;
}

void text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}

void strings_take(struct strings *list, char *string)
{
	/* Grows by doubling: capacity is the power of two above count. */
	size_t need = list->count + 2;
	bool grows = string && (!list->item || (need & (need - 1)) == 0);
	char **item = grows ? alloc_again(list->item, 2 * need * sizeof(*list->item)) : list->item;
	if (!string || !item) {
		free(string);
		list->failed = true;
		return;
	}
	list->item = item;
	list->item[list->count++] = string;
	list->item[list->count] = NULL;
}

void strings_add(struct strings *list, const char *string)
{
	strings_take(list, alloc_copy(string));
}

int strings_error(const struct strings *list)
{
	return list->failed ? -ENOMEM : 0;
}

bool strings_have(const struct strings *list, const char *string)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->item[i], string))
			return true;
	return false;
}

void strings_free(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
	*list = (struct strings){ 0 };
}

bool text_starts(const char *string, const char *prefix)
{
	return !strncmp(string, prefix, strlen(prefix));
}

bool text_ends(const char *string, const char *suffix)
{
	size_t n = strlen(string), m = strlen(suffix);
	return n >= m && !strcmp(string + n - m, suffix);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned low = a < b ? a : b;
	return low < c ? low : c;
}

unsigned text_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX + 1;
	unsigned row[3][WORD_MAX + 1]; /* the last three rows of the table */
	for (size_t j = 0; j <= m; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < now[j])
				now[j] = up2[j - 2] + 1;
		}
	}
	return row[n % 3][m];
}
