/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/layer_stream.h"

/* As in image_file.c. */
#define RATIO_MOST 200 /* what a layer may become, times what it is; */
#define RATIO_FROM (1ull << 30) /* but so much in any case */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"
#include "base/text.h"

#define PIECE (256u << 10)
#define GZIP_WINDOW (MAX_WBITS + 16) /* its header and sum are expected */
#define ZSTD_WINDOW 27 /* 1 << 27 bytes, zstd's own limit: no frame makes us take more */

enum packing { PLAIN, GZIP, ZSTD };

struct layer_stream {
	struct layer_span span; /* what is not read yet */
	char *what;
	enum packing packing;
	uint8_t *in, *out;
	size_t in_size, in_at; /* of what was read */
	z_stream gzip;
	ZSTD_DStream *zstd;
	bool between; /* GZIP, ZSTD: what was begun is whole; the end may come here, or another member or frame */
	uint64_t become, limit;
	SHA256_CTX packed, plain;
};

/* The next piece of the file, if all of the last is used. */
static int fill(struct layer_stream *stream, struct error *error)
{
	if (stream->in_at < stream->in_size)
		return 0;
	size_t want = stream->span.size < PIECE ? (size_t)stream->span.size : PIECE;
	ssize_t n = want ? pread(stream->span.fd, stream->in, want, (off_t)stream->span.at) : 0;
	if (n < 0)
		return error_set(error, -errno, "%s: %s", stream->what, strerror(errno));
	if (want && !n)
		return error_set(error, -EIO, "%s: it ends %llu bytes early", stream->what, (unsigned long long)stream->span.size);
	stream->in_at = 0;
	stream->in_size = (size_t)n;
	stream->span.at += (uint64_t)n;
	stream->span.size -= (uint64_t)n;
	SHA256_Update(&stream->packed, stream->in, (size_t)n);
	return 0;
}

static enum packing packing_of(const uint8_t *data, size_t size)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	if (size >= sizeof(gzip) && !memcmp(data, gzip, sizeof(gzip)))
		return GZIP;
	/* What comes in front of a frame and is passed over, as zstd:chunked has it, begins with 0x184D2A5? */
	bool skippable = size >= 4 && (data[0] & 0xf0) == 0x50 && data[1] == 0x2a && data[2] == 0x4d && data[3] == 0x18;
	return skippable || (size >= sizeof(zstd) && !memcmp(data, zstd, sizeof(zstd))) ? ZSTD : PLAIN;
}

/* What is not unpacked here, by its name; NULL: something else. */
static const char *other_packing(const uint8_t *data, size_t size)
{
	return size >= 5 && !memcmp(data, "\3757zXZ", 5) ? "xz" : size >= 4 && !memcmp(data, "BZh", 3) && data[3] >= '1' && data[3] <= '9' ? "bzip2" : NULL;
}

uint64_t layer_limit(uint64_t size)
{
	uint64_t limit = size > LAYER_BYTES_MOST / RATIO_MOST ? LAYER_BYTES_MOST : size * RATIO_MOST;
	return limit < RATIO_FROM ? RATIO_FROM : limit;
}

int layer_stream_open(struct layer_stream **out, const struct layer_span *span, uint64_t limit, const char *what, struct error *error)
{
	struct layer_stream *stream = *out = alloc_zero(sizeof(*stream));
	*stream = (struct layer_stream){ .span = *span, .what = alloc_copy(what), .in = alloc_zero(PIECE), .out = alloc_zero(PIECE), .limit = limit, .between = true };
	SHA256_Init(&stream->packed);
	SHA256_Init(&stream->plain);
	int err = fill(stream, error);
	if (err)
		return err;
	const char *other = other_packing(stream->in, stream->in_size);
	if (other)
		return error_set(error, -EINVAL, "%s: compressed with %s; gzip and zstd are known here", what, other);
	stream->packing = packing_of(stream->in, stream->in_size);
	if (stream->packing == GZIP && inflateInit2(&stream->gzip, GZIP_WINDOW) != Z_OK)
		return error_set(error, -ENOMEM, "%s: %s", what, strerror(ENOMEM));
	if (stream->packing == ZSTD && !(stream->zstd = ZSTD_createDStream()))
		return error_set(error, -ENOMEM, "%s: %s", what, strerror(ENOMEM));
	if (stream->zstd)
		ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW);
	return 0;
}

void layer_stream_close(struct layer_stream *stream)
{
	if (!stream)
		return;
	if (stream->packing == GZIP)
		inflateEnd(&stream->gzip);
	ZSTD_freeDStream(stream->zstd);
	free(stream->what);
	free(stream->in);
	free(stream->out);
	free(stream);
}

/* What of the input is used, and how much became of it. 0 or -EINVAL. */
static int gunzip(struct layer_stream *stream, size_t *made)
{
	if (stream->between) /* several of them, one behind the other, are one */
		inflateReset(&stream->gzip);
	stream->gzip.next_in = stream->in + stream->in_at;
	stream->gzip.avail_in = (unsigned)(stream->in_size - stream->in_at);
	stream->gzip.next_out = stream->out;
	stream->gzip.avail_out = PIECE;
	int status = inflate(&stream->gzip, Z_NO_FLUSH);
	stream->in_at = stream->in_size - stream->gzip.avail_in;
	*made = PIECE - stream->gzip.avail_out;
	stream->between = status == Z_STREAM_END;
	return status == Z_OK || status == Z_STREAM_END || (status == Z_BUF_ERROR && !*made) ? 0 : -EINVAL;
}

static int unzstd(struct layer_stream *stream, size_t *made)
{
	ZSTD_inBuffer in = { stream->in, stream->in_size, stream->in_at };
	ZSTD_outBuffer out = { stream->out, PIECE, 0 };
	size_t status = ZSTD_decompressStream(stream->zstd, &out, &in);
	stream->in_at = in.pos;
	*made = out.pos;
	stream->between = !status;
	return ZSTD_isError(status) ? -EINVAL : 0;
}

/* Zero bytes behind the last member are padding. */
static bool is_padding(struct layer_stream *stream)
{
	while (stream->in_at < stream->in_size && !stream->in[stream->in_at])
		stream->in_at++;
	return stream->in_at == stream->in_size;
}

static ssize_t unpack(struct layer_stream *stream, struct error *error)
{
	size_t made = 0;
	while (!made) {
		int err = fill(stream, error);
		if (err)
			return err;
		bool is_end = stream->in_at == stream->in_size;
		if (is_end && stream->between)
			return 0;
		if (stream->packing == GZIP && stream->between && stream->become && is_padding(stream))
			continue;
		size_t before = stream->in_at;
		err = stream->packing == GZIP ? gunzip(stream, &made) : unzstd(stream, &made);
		if (err || (is_end && !made) || (!is_end && !made && before == stream->in_at && !stream->between))
			return error_set(error, -EINVAL, "%s: damaged: %s", stream->what, is_end ? "its compressed data end too early" :
					 stream->packing == GZIP ? "its gzip data are wrong" : "its zstd data are wrong");
	}
	return (ssize_t)made;
}

ssize_t layer_stream_read(struct layer_stream *stream, const void **data, struct error *error)
{
	ssize_t n;
	if (stream->packing == PLAIN) {
		int err = fill(stream, error);
		n = err ? err : (ssize_t)(stream->in_size - stream->in_at);
		*data = stream->in + stream->in_at;
		stream->in_at = stream->in_size;
	} else {
		n = unpack(stream, error);
		*data = stream->out;
	}
	if (n <= 0)
		return n;
	if ((uint64_t)n > stream->limit - stream->become)
		return error_set(error, -EFBIG, "%s: it becomes more than %llu MiB", stream->what, (unsigned long long)stream->limit >> 20);
	stream->become += (uint64_t)n;
	SHA256_Update(&stream->plain, *data, (size_t)n);
	return n;
}

static ssize_t feed_read(void *context, const void **data, struct error *error)
{
	return layer_stream_read(context, data, error);
}

struct tar_feed layer_stream_feed(struct layer_stream *stream)
{
	return (struct tar_feed){ .read = feed_read, .context = stream };
}

/* ---- digests ---- */

static void digest_end(SHA256_CTX *sum, char *out)
{
	uint8_t raw[SHA256_DIGEST_LENGTH];
	SHA256_Final(raw, sum);
	strcpy(out, "sha256:");
	hex_print(raw, sizeof(raw), out + strlen(out));
}

static int compare(const struct layer_stream *stream, const char *which, const char *got, const char *wanted, struct error *error)
{
	if (!wanted || !*wanted || !strcmp(got, wanted))
		return 0;
	return error_set(error, -EBADMSG, "%s: %s is %s, should be %s", stream->what, which, got, wanted);
}

int layer_stream_check(struct layer_stream *stream, const char *packed, const char *plain, struct error *error)
{
	const void *rest;
	char digest[LAYER_DIGEST];
	ssize_t n;
	while ((n = layer_stream_read(stream, &rest, error)) > 0)
		;
	if (n < 0)
		return (int)n;
	digest_end(&stream->packed, digest);
	int err = compare(stream, "its digest", digest, packed, error);
	if (err)
		return err;
	digest_end(&stream->plain, digest);
	return compare(stream, "the digest of its contents", digest, plain, error);
}

int layer_span_digest(const struct layer_span *span, char *out)
{
	SHA256_CTX sum;
	char *piece = alloc_zero(PIECE);
	uint64_t done = 0;
	SHA256_Init(&sum);
	for (ssize_t n = 1; done < span->size; done += (uint64_t)n) {
		n = pread(span->fd, piece, span->size - done < PIECE ? (size_t)(span->size - done) : PIECE, (off_t)(span->at + done));
		if (n <= 0)
			break;
		SHA256_Update(&sum, piece, (size_t)n);
	}
	free(piece);
	digest_end(&sum, out);
	return done == span->size ? 0 : -EIO;
}

int layer_digest_parse(const char *word)
{
	return text_starts(word, "sha256:") && strlen(word) == LAYER_DIGEST - 1 && strspn(word + 7, "0123456789abcdef") == 64 ? 0 : -EINVAL;
}
