/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small strings: a growing text, a list of strings, formatted copies. Running out of memory ends the program with a
 * message: the programs that use this are short-lived commands that have nothing better to do.
 */
#ifndef LV_BASE_TEXT_H
#define LV_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory, owned by the caller; free(). */
void *alloc_zero(size_t size);
void *alloc_again(void *old, size_t size);
char *alloc_copy(const char *string);
char *alloc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct text { /* zero-initialised: empty */
	char *data; /* terminated; NULL while empty */
	size_t size, room;
};
void text_add(struct text *text, const void *data, size_t size);
void text_put(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

struct strings { /* zero-initialised: empty; item[count] is NULL when count > 0 */
	char **item;
	size_t count;
};
void strings_add(struct strings *list, const char *string); /* copies */
void strings_take(struct strings *list, char *string);      /* owns string from now on */
bool strings_have(const struct strings *list, const char *string);
void strings_free(struct strings *list);

bool text_starts(const char *string, const char *prefix);
bool text_ends(const char *string, const char *suffix);
/* Edit distance (Damerau, adjacent swaps count 1) of two words of at most 63 characters; longer ones are 64 apart. */
unsigned text_distance(const char *a, const char *b);

#endif
