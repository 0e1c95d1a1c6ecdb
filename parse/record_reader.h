/* SPDX-License-Identifier: Apache-2.0 */
/* Reads records (abi/records.h) out of bytes that nobody vouches for. Freestanding: no memory of its own; what it gives points into the bytes. */
#ifndef LV_PARSE_RECORD_READER_H
#define LV_PARSE_RECORD_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/records.h"

struct records_reader {
	const uint8_t *at;
	size_t left;
	uint32_t count;  /* of records, as the header says */
	uint32_t number; /* of the one that was read last, from 1; 0: the header */
	const char *why; /* a static text, after -EINVAL */
};

struct record {
	uint32_t type, size;
	const void *data; /* aligned to four if the bytes are */
};

/* Of so many bytes and with this magic and version, at most limit bytes. 0 or -EINVAL. */
int records_open(struct records_reader *reader, const void *bytes, size_t size, uint32_t magic, uint32_t version, size_t limit);
/* 1 and the next record; 0 after the last; -EINVAL: cut short, or something follows the last one. */
int records_next(struct records_reader *reader, struct record *record);
/* -EINVAL with this reason, for the caller's own checks. */
int records_refuse(struct records_reader *reader, const char *why);
/* The record as a string into *out, which must have been NULL: it may be there once. */
int records_string(struct records_reader *reader, const struct record *record, const char **out);
/* Copies the record, which must have exactly this size; *seen, if given, must have been false: likewise. */
int records_struct(struct records_reader *reader, const struct record *record, void *out, size_t size, bool *seen);
/* An upper bound of the records there can be, however many the header claims. */
size_t records_room(const struct records_reader *reader);

#endif
