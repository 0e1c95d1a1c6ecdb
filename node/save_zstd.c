/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_zstd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/file.h"
#include "base/text.h"

#define LEVEL 1 /* the VM may wait for it; what QEMU takes for memory, too */
#define PIECE (1u << 20) /* what is read and written at once; a hole of as much is a frame of its own */
#define PAGE 4096u

static int say_zstd(const char *what, size_t status, struct error *error)
{
	return error_set(error, ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG, "%s: zstd: %s", what, ZSTD_getErrorName(status));
}

/* ---- packing ---- */

struct packing {
	ZSTD_CCtx *zstd;
	int memory, packed;
	uint8_t *in, *out;
	size_t room; /* of out */
	uint8_t zeroes[256]; /* the frame of a hole */
	size_t zeroes_size;
	bool open; /* a frame was begun */
};

/* size bytes more of in; with ZSTD_e_end the frame has its last. */
static int compress(struct packing *pack, size_t size, ZSTD_EndDirective how, const char *what, struct error *error)
{
	ZSTD_inBuffer in = { pack->in, size, 0 };
	size_t left = 1;
	pack->open = how != ZSTD_e_end;
	while (in.pos < in.size || (how == ZSTD_e_end && left)) {
		ZSTD_outBuffer out = { pack->out, pack->room, 0 };
		left = ZSTD_compressStream2(pack->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return say_zstd(what, left, error);
		int err = fd_write(pack->packed, pack->out, out.pos);
		if (err)
			return error_set(error, err, "%s: %s", what, strerror(-err));
	}
	return 0;
}

static int packing_init(struct packing *pack, const char *what, struct error *error)
{
	pack->zstd = ZSTD_createCCtx();
	pack->room = ZSTD_CStreamOutSize();
	pack->in = alloc_zero(PIECE);
	pack->out = alloc_zero(pack->room);
	if (!pack->zstd || !pack->in || !pack->out)
		return error_set(error, -ENOMEM, "%s: out of memory", what);
	ZSTD_CCtx_setParameter(pack->zstd, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(pack->zstd, ZSTD_c_checksumFlag, 1);
	pack->zeroes_size = ZSTD_compress2(pack->zstd, pack->zeroes, sizeof(pack->zeroes), pack->in, PIECE);
	return ZSTD_isError(pack->zeroes_size) ? say_zstd(what, pack->zeroes_size, error) : 0;
}

static void packing_fini(struct packing *pack)
{
	ZSTD_freeCCtx(pack->zstd);
	free(pack->in);
	free(pack->out);
}

/* From at on there is nothing for so many bytes. */
static uint64_t hole_at(int memory, uint64_t at, uint64_t size)
{
	off_t data = lseek(memory, (off_t)at, SEEK_DATA);
	return data >= 0 ? (uint64_t)data - at : errno == ENXIO ? size - at : 0;
}

static int pack_hole(struct packing *pack, const char *what, struct error *error)
{
	int err = pack->open ? compress(pack, 0, ZSTD_e_end, what, error) : 0;
	if (!err && (err = fd_write(pack->packed, pack->zeroes, pack->zeroes_size)))
		error_set(error, err, "%s: %s", what, strerror(-err));
	return err;
}

static int pack_piece(struct packing *pack, uint64_t at, size_t size, const char *what, struct error *error)
{
	ssize_t got = pread(pack->memory, pack->in, size, (off_t)at);
	if (got != (ssize_t)size)
		return error_set(error, got < 0 ? -errno : -EIO, "%s: the memory that is to be compressed: %s", what, got < 0 ? strerror(errno) : "it became shorter");
	return compress(pack, size, ZSTD_e_continue, what, error);
}

static int pack_all(struct packing *pack, uint64_t size, const char *what, struct error *error)
{
	int err = 0;
	for (uint64_t at = 0, step; at < size && !err; at += step) {
		bool hole = hole_at(pack->memory, at, size) >= PIECE;
		step = size - at < PIECE ? size - at : PIECE;
		err = hole ? pack_hole(pack, what, error) : pack_piece(pack, at, step, what, error);
	}
	return err || !pack->open ? err : compress(pack, 0, ZSTD_e_end, what, error);
}

int save_zstd_pack(int memory, int packed, const char *what, struct error *error)
{
	struct packing pack = { .memory = memory, .packed = packed };
	struct stat st;
	int err = fstat(memory, &st) ? error_set(error, -errno, "%s: %s", what, strerror(errno)) : packing_init(&pack, what, error);
	if (!err)
		err = pack_all(&pack, (uint64_t)st.st_size, what, error);
	packing_fini(&pack);
	return err;
}

/* ---- unpacking ---- */

struct unpacking {
	ZSTD_DCtx *zstd;
	int memory;
	uint8_t *in, *piece;
	size_t filled;       /* of piece */
	uint64_t done, size; /* of the memory: what was written, what there is to be */
	size_t left;         /* 0: a frame has ended here */
};

static bool is_zero(const uint8_t *page, size_t size)
{
	return !page[0] && !memcmp(page, page + 1, size - 1);
}

static size_t page_at(const struct unpacking *unpack, size_t at)
{
	return unpack->filled - at < PAGE ? unpack->filled - at : PAGE;
}

/* Of what has come together pages with something in them, as many as there are in a row at once. */
static int write_piece(struct unpacking *unpack)
{
	int err = 0;
	for (size_t at = 0, end; at < unpack->filled && !err; at = end) {
		bool zero = is_zero(unpack->piece + at, page_at(unpack, at));
		for (end = at; end < unpack->filled && is_zero(unpack->piece + end, page_at(unpack, end)) == zero;)
			end += page_at(unpack, end);
		if (!zero)
			err = fd_write_at(unpack->memory, unpack->piece + at, end - at, unpack->done + at);
	}
	unpack->done += unpack->filled;
	unpack->filled = 0;
	return err;
}

/* What the frames in in hold. */
static int unpack_input(struct unpacking *unpack, size_t size, const char *what, struct error *error)
{
	ZSTD_inBuffer in = { unpack->in, size, 0 };
	bool full = false; /* then zstd may hold more of what it was given */
	while (in.pos < in.size || (full && unpack->left)) {
		ZSTD_outBuffer out = { unpack->piece, PIECE, unpack->filled };
		unpack->left = ZSTD_decompressStream(unpack->zstd, &out, &in);
		if (ZSTD_isError(unpack->left))
			return say_zstd(what, unpack->left, error);
		unpack->filled = out.pos;
		full = out.pos == out.size;
		if (unpack->done + unpack->filled > unpack->size)
			return error_set(error, -EBADMSG, "%s: more than the %llu bytes that its manifest tells are in it", what, (unsigned long long)unpack->size);
		int err = full ? write_piece(unpack) : 0;
		if (err)
			return error_set(error, err, "%s: its memory, decompressed: %s", what, strerror(-err));
	}
	return 0;
}

static int unpack_all(struct unpacking *unpack, int packed, uint64_t from, const char *what, struct error *error)
{
	ssize_t got;
	int err = 0;
	for (uint64_t at = from; !err && (got = pread(packed, unpack->in, PIECE, (off_t)at)) != 0; at += (uint64_t)got) {
		if (got < 0)
			return error_set(error, -errno, "%s: %s", what, strerror(errno));
		err = unpack_input(unpack, (size_t)got, what, error);
	}
	if (!err && (err = write_piece(unpack)))
		error_set(error, err, "%s: its memory, decompressed: %s", what, strerror(-err));
	if (!err && (unpack->left || unpack->done != unpack->size))
		err = error_set(error, -EBADMSG, "%s: %llu bytes are in it where its manifest tells %llu; it is not whole", what, (unsigned long long)unpack->done, (unsigned long long)unpack->size);
	return err;
}

int save_zstd_unpack(int packed, uint64_t from, int memory, uint64_t size, const char *what, struct error *error)
{
	struct unpacking unpack = { .zstd = ZSTD_createDCtx(), .memory = memory, .in = alloc_zero(PIECE), .piece = alloc_zero(PIECE), .size = size };
	int err = unpack.zstd && unpack.in && unpack.piece ? 0 : error_set(error, -ENOMEM, "%s: out of memory", what);
	if (!err && ftruncate(memory, (off_t)size))
		err = error_set(error, -errno, "%s: %llu bytes of memory: %s", what, (unsigned long long)size, strerror(errno));
	if (!err)
		err = unpack_all(&unpack, packed, from, what, error);
	ZSTD_freeDCtx(unpack.zstd);
	free(unpack.in);
	free(unpack.piece);
	return err;
}
