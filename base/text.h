/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small strings: a growing text, a list of strings, formatted copies. When memory is short the copies are NULL, and a text or a
 * list remembers that something is missing in it: it may be filled on, and is asked once, at its end.
 */
#ifndef LV_BASE_TEXT_H
#define LV_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Called when memory is short, before that is answered. A short-lived command sets, in main, one that ends it with a message, and need
 * not look at what it gets; NULL, as at the start, is for what lives longer.
 */
extern void (*on_out_of_memory)(void);

/* Zeroed memory, owned by the caller; free(). NULL: out of memory, as with the following. */
void *alloc_zero(size_t size);
void *alloc_again(void *old, size_t size);
char *alloc_copy(const char *string);
char *alloc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct text { /* zero-initialised: empty */
	char *data; /* terminated; NULL while empty */
	size_t size, room;
	bool failed; /* something is missing: memory was short */
};
void text_add(struct text *text, const void *data, size_t size);
/* Room for so many bytes more, to be written by the caller, who then adds what he has written to size; NULL: there is none, and the text says so. */
char *text_room(struct text *text, size_t more);
void text_put(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 or -ENOMEM */
int text_error(const struct text *text);
void text_free(struct text *text);

struct strings { /* zero-initialised: empty; item[count] is NULL when count > 0 */
	char **item;
	size_t count;
	bool failed; /* as of a text */
};
void strings_add(struct strings *list, const char *string); /* copies */
void strings_take(struct strings *list, char *string);      /* owns string from now on; NULL: a copy that failed */
int strings_error(const struct strings *list);
bool strings_have(const struct strings *list, const char *string);
void strings_free(struct strings *list);

bool text_starts(const char *string, const char *prefix);
bool text_ends(const char *string, const char *suffix);
/* Edit distance (Damerau, adjacent swaps count 1) of two words of at most 63 characters; longer ones are 64 apart. */
unsigned text_distance(const char *a, const char *b);

#endif
