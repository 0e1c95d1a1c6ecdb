/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/stream.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"

#define HEADER 12u  /* tag, version, length of the fields */
#define TRAILER 4u /* checksum over both */

struct stream stream_writer(void *bytes, size_t room)
{
	return (struct stream){ .bytes = bytes, .size = room };
}

struct stream stream_reader(const void *bytes, size_t size)
{
	return (struct stream){ .bytes = (uint8_t *)bytes, .size = size, .reads = true };
}

static void fail(struct stream *stream, int err)
{
	if (stream->err)
		return;
	stream->err = err;
	stream->wrong = stream->at;
}

static uint32_t checksum(const uint8_t *bytes, size_t len)
{
	return ~crc32c(~0u, bytes, len);
}

/* ---- fields ---- */

void stream_put(struct stream *stream, const void *bytes, size_t len)
{
	if (stream->err || len > stream->size - stream->at) {
		fail(stream, -ENOSPC);
		return;
	}
	if (len)
		memcpy(stream->bytes + stream->at, bytes, len);
	stream->at += len;
}

void stream_get(struct stream *stream, void *bytes, size_t len)
{
	if (stream->err || len > stream->end - stream->at) {
		fail(stream, -EPROTO);
		memset(bytes, 0, len);
		return;
	}
	memcpy(bytes, stream->bytes + stream->at, len);
	stream->at += len;
}

static void put_number(struct stream *stream, uint64_t value, unsigned len)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < len; i++)
		bytes[i] = value >> 8 * i;
	stream_put(stream, bytes, len);
}

static uint64_t get_number(struct stream *stream, unsigned len)
{
	uint8_t bytes[8];
	uint64_t value = 0;

	stream_get(stream, bytes, len);
	for (unsigned i = len; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

void stream_put8(struct stream *stream, uint8_t value)
{
	put_number(stream, value, 1);
}

void stream_put16(struct stream *stream, uint16_t value)
{
	put_number(stream, value, 2);
}

void stream_put32(struct stream *stream, uint32_t value)
{
	put_number(stream, value, 4);
}

void stream_put64(struct stream *stream, uint64_t value)
{
	put_number(stream, value, 8);
}

uint8_t stream_get8(struct stream *stream)
{
	return get_number(stream, 1);
}

uint16_t stream_get16(struct stream *stream)
{
	return get_number(stream, 2);
}

uint32_t stream_get32(struct stream *stream)
{
	return get_number(stream, 4);
}

uint64_t stream_get64(struct stream *stream)
{
	return get_number(stream, 8);
}

bool stream_get_bool(struct stream *stream)
{
	uint8_t value = stream_get8(stream);

	if (value > 1)
		fail(stream, -EPROTO);
	return value == 1;
}

int stream_refuse(struct stream *stream)
{
	fail(stream, -EPROTO);
	return stream->err;
}

/* ---- records ---- */

static unsigned begin_reading(struct stream *stream, uint32_t tag, unsigned version)
{
	uint32_t len;
	unsigned found;

	stream->end = stream->size;
	if (stream_get32(stream) != tag)
		fail(stream, -EPROTO);
	found = stream_get32(stream);
	len = stream_get32(stream);
	if (!stream->err && (!found || found > version || stream->size - stream->at < TRAILER || len > stream->size - stream->at - TRAILER))
		fail(stream, -EPROTO);
	if (stream->err)
		return 0;
	size_t fields = stream->at;
	stream->at += len;
	if (stream_get32(stream) != checksum(stream->bytes + stream->record, HEADER + len))
		fail(stream, -EBADMSG);
	stream->at = fields;
	stream->end = fields + len;
	return stream->err ? 0 : found;
}

unsigned stream_begin(struct stream *stream, uint32_t tag, unsigned version)
{
	stream->record = stream->at;
	stream->tag = tag;
	if (stream->reads)
		return begin_reading(stream, tag, version);
	stream_put32(stream, tag);
	stream_put32(stream, version);
	stream_put32(stream, 0); /* its length, by stream_end */
	return stream->err ? 0 : version;
}

static uint32_t word_at(const struct stream *stream, size_t at)
{
	const uint8_t *bytes = stream->bytes + at;

	return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int stream_check(const struct stream *stream)
{
	size_t at = 0;

	while (at < stream->size) {
		size_t left = stream->size - at;
		uint32_t len = left < HEADER + TRAILER ? 0 : word_at(stream, at + HEADER - 4);

		if (left < HEADER + TRAILER || len > left - HEADER - TRAILER)
			return -EPROTO;
		if (word_at(stream, at + HEADER + len) != checksum(stream->bytes + at, HEADER + len))
			return -EBADMSG;
		at += HEADER + len + TRAILER;
	}
	return 0;
}

int stream_end(struct stream *stream)
{
	size_t end = stream->at;

	if (stream->err)
		return stream->err;
	if (stream->reads) {
		if (stream->at != stream->end)
			fail(stream, -EPROTO);
		stream->at = stream->end + TRAILER;
		return stream->err;
	}
	stream->at = stream->record + HEADER - 4;
	stream_put32(stream, end - stream->record - HEADER);
	stream->at = end;
	stream_put32(stream, checksum(stream->bytes + stream->record, end - stream->record));
	return stream->err;
}
