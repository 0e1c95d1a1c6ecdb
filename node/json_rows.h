/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A structure as a JSON object, by one table of rows that writes and reads: what was written reads back to the same bytes, and a
 * key that no row names is refused. Text that is not UTF-8 is {"hex": "..."}, since JSON has no other way to say it.
 */
#ifndef LV_NODE_JSON_ROWS_H
#define LV_NODE_JSON_ROWS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum row_kind {
	ROW_TEXT,   /* char *, owned; NULL is null */
	ROW_NAME,   /* char[high], terminated */
	ROW_LIST,   /* struct strings */
	ROW_BOOL,   /* bool */
	ROW_U16, ROW_U32, ROW_U64, /* low to high; high 0: any */
	ROW_WORD,   /* an enum, by its word in words */
	ROW_IP,     /* uint32_t, network order; 0 is null */
	ROW_IP6,    /* uint8_t[16]; zeroes are null */
	ROW_MAC,    /* uint8_t[6] */
};

struct json_row {
	const char *key; /* NULL ends the table */
	enum row_kind kind;
	size_t offset;
	const char *const *words; /* WORD: ended by NULL */
	uint64_t low, high;
};

#define JSON_ROW(type, name, how, field, ...) { .key = name, .kind = how, .offset = offsetof(type, field), ##__VA_ARGS__ }

/* A new reference; NULL: out of memory. */
json_t *rows_write(const struct json_row *rows, const void *object);
/*
 * Fields whose keys are missing keep their value; what a TEXT or LIST field held before is freed. more: further keys that are
 * allowed, ended by NULL; NULL: none. where: what the object is called in messages, as in "net". -EINVAL, -ERANGE, -ENOMEM.
 */
int rows_read(const struct json_row *rows, const char *const *more, void *object, const json_t *json, const char *where, struct error *error);
/* Text, as a row writes it. NULL string is null. */
json_t *json_text(const char *string);

#endif
