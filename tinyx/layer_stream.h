/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one layer, or of another archive, as they were before they were compressed (gzip, zstd or not at all, told by how they begin), with the
 * digests of both while they are read. They are hostile.
 */
#ifndef LV_TINYX_LAYER_STREAM_H
#define LV_TINYX_LAYER_STREAM_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "tinyx/tar.h"

#define LAYER_DIGEST 72 /* "sha256:", 64 digits, zero byte */

struct layer_span { /* where the bytes lie */
	int fd; /* the caller's */
	uint64_t at, size;
};

struct layer_stream;

#define LAYER_BYTES_MOST (64ull << 30) /* of an image's files, and of an archive */
/* What compressed bytes of this size may become: 200 times that, but at least 1 GiB and at most LAYER_BYTES_MOST. */
uint64_t layer_limit(uint64_t size);
/* limit: of bytes that it may become. what: its name, for messages. Close in any case. -EIO, -EINVAL. */
int layer_stream_open(struct layer_stream **stream, const struct layer_span *span, uint64_t limit, const char *what, struct error *error);
/* At least one byte more, valid until the next call; their number, 0 at the end, or a negative errno with a message: damaged, or more than limit. */
ssize_t layer_stream_read(struct layer_stream *stream, const void **data, struct error *error);
/* The same in the form that tar_open_feed takes. */
struct tar_feed layer_stream_feed(struct layer_stream *stream);
/*
 * Reads what is left, and compares: packed with the digest of the bytes as they lie there, plain with that of what they became; NULL or "": not known.
 * -EBADMSG with a message.
 */
int layer_stream_check(struct layer_stream *stream, const char *packed, const char *plain, struct error *error);
void layer_stream_close(struct layer_stream *stream);

/* "sha256:HEX" of a file's part; out has LAYER_DIGEST bytes. -EIO. */
int layer_span_digest(const struct layer_span *span, char *out);
/* 0: it is "sha256:" and 64 lower-case hexadecimal digits. */
int layer_digest_parse(const char *word);

#endif
