/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written of a VM's state: records, each with tag, version, length and checksum, and in them fields of fixed width,
 * little-endian, one after the other. A stream works on a buffer, for writing or for reading. It remembers the first thing that
 * went wrong: fields may be written and read without a look at each, and stream_end says how it went. Bytes that are read are
 * hostile: nothing is believed but what the caller has checked, and the caller touches nothing before stream_end said 0.
 */
#ifndef LV_VMM_STATE_STREAM_H
#define LV_VMM_STATE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
	uint8_t *bytes; /* the caller's */
	size_t size;    /* to write: room; to read: what there is */
	size_t at;
	size_t record;  /* where the open record begins */
	size_t end;     /* to read: where its fields end */
	bool reads;
	uint32_t tag;   /* of the record that was begun last: the one that is expected, whatever was there */
	size_t wrong;   /* where it stood when the first thing went wrong */
	int err; /* 0, -ENOSPC: no room; -EPROTO: not such a stream; -EBADMSG: a wrong checksum */
};

/* Four letters. */
#define STREAM_TAG(text) ((uint32_t)(text)[0] | (uint32_t)(text)[1] << 8 | (uint32_t)(text)[2] << 16 | (uint32_t)(text)[3] << 24)

struct stream stream_writer(void *bytes, size_t room);
struct stream stream_reader(const void *bytes, size_t size);

/* Begins a record. To read: it must be the next one, whole, and no newer than version. Answers its version; 0 after an error. */
unsigned stream_begin(struct stream *stream, uint32_t tag, unsigned version);
/* Ends it. To read: all of its fields must have been read. 0, or the first error of the stream. */
int stream_end(struct stream *stream);

void stream_put(struct stream *stream, const void *bytes, size_t len);
void stream_put8(struct stream *stream, uint8_t value);
void stream_put16(struct stream *stream, uint16_t value);
void stream_put32(struct stream *stream, uint32_t value);
void stream_put64(struct stream *stream, uint64_t value);

/* After an error, and beyond the end of a record: zeroes. */
void stream_get(struct stream *stream, void *bytes, size_t len);
uint8_t stream_get8(struct stream *stream);
uint16_t stream_get16(struct stream *stream);
uint32_t stream_get32(struct stream *stream);
uint64_t stream_get64(struct stream *stream);
/* 0 or 1; anything else is an error. */
bool stream_get_bool(struct stream *stream);

/* Of a reader that has read nothing: is it all records, each as it was written? 0, -EPROTO or -EBADMSG. */
int stream_check(const struct stream *stream);

/* The reader finds what it read impossible. Answers the stream's error. */
int stream_refuse(struct stream *stream);

#endif
