/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/ram_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/state/stream.h"

#define PAGE 4096ull
#define RUNS_TAG STREAM_TAG("DIFF")
#define TAIL_TAG STREAM_TAG("TAIL")
#define VERSION 1
#define RUN_BYTES 8u
#define RECORD_BYTES 16u /* of each record, besides its fields */
#define TAIL_BYTES (RECORD_BYTES + 8u)
#define BYTES(runs) (RECORD_BYTES + 4u + (size_t)(runs) * RUN_BYTES + TAIL_BYTES)

/* ---- the list ---- */

void ram_runs_free(struct ram_runs *runs)
{
	free(runs->run);
	*runs = (struct ram_runs){ 0 };
}

static int make_room(struct ram_runs *runs, unsigned room)
{
	struct ram_run *more = realloc(runs->run, room * sizeof(*more));

	if (!more)
		return -ENOMEM;
	runs->run = more;
	runs->room = room;
	return 0;
}

int ram_runs_add(struct ram_runs *runs, uint64_t page)
{
	struct ram_run *last = runs->count ? &runs->run[runs->count - 1] : NULL;

	if (last && page == (uint64_t)last->first + last->pages)
		return last->pages++, 0;
	if (runs->count == RAM_RUNS_MOST || page > UINT32_MAX)
		return -E2BIG;
	int err = runs->count == runs->room ? make_room(runs, runs->room ? 2 * runs->room : 64) : 0;
	if (!err)
		runs->run[runs->count++] = (struct ram_run){ (uint32_t)page, 1 };
	return err;
}

/* ---- in a file: the runs, and a record of known length that tells where they begin ---- */

static int put(const struct ram_runs *runs, struct stream *stream, uint64_t size)
{
	stream_begin(stream, RUNS_TAG, VERSION);
	stream_put32(stream, runs->count);
	for (unsigned i = 0; i < runs->count; i++) {
		stream_put32(stream, runs->run[i].first);
		stream_put32(stream, runs->run[i].pages);
	}
	stream_end(stream);
	stream_begin(stream, TAIL_TAG, VERSION);
	stream_put64(stream, size);
	return stream_end(stream);
}

static int compare(const void *a, const void *b)
{
	const struct ram_run *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int ram_runs_write(struct ram_runs *runs, int fd, uint64_t size)
{
	const size_t room = BYTES(runs->count);
	uint8_t *bytes = malloc(room);

	if (!bytes)
		return -ENOMEM;
	if (runs->count)
		qsort(runs->run, runs->count, sizeof(*runs->run), compare);
	struct stream stream = stream_writer(bytes, room);
	int err = put(runs, &stream, size);
	ssize_t n = err ? 0 : pwrite(fd, bytes, stream.at, (off_t)size);
	if (!err && n != (ssize_t)stream.at)
		err = n < 0 ? -errno : -ENOSPC;
	free(bytes);
	return err;
}

/* One after the other, in a memory of so many pages. */
static int get(struct ram_runs *runs, struct stream *stream, uint64_t size)
{
	uint64_t after = 0;

	stream_begin(stream, RUNS_TAG, VERSION);
	const uint32_t count = stream_get32(stream);
	if (stream->err || count > RAM_RUNS_MOST || count > (stream->end - stream->at) / RUN_BYTES)
		return stream_refuse(stream);
	int err = count ? make_room(runs, count) : 0;
	for (; !err && runs->count < count; runs->count++) {
		struct ram_run run = { .first = stream_get32(stream) };

		run.pages = stream_get32(stream);
		if (!run.pages || run.first < after || (uint64_t)run.first + run.pages > size / PAGE)
			return stream_refuse(stream);
		after = (uint64_t)run.first + run.pages;
		runs->run[runs->count] = run;
	}
	if (!err)
		err = stream_end(stream);
	stream_begin(stream, TAIL_TAG, VERSION);
	if (!err && stream_get64(stream) != size)
		return stream_refuse(stream);
	if (!err)
		err = stream_end(stream);
	return !err && stream->at != stream->size ? stream_refuse(stream) : err;
}

int ram_runs_take(int fd, void *bytes, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EPROTO;
		done += n < 0 ? 0 : (size_t)n;
	}
	return 0;
}

/* What the last record says of the length of the memory before both. */
static int find(int fd, uint64_t *size, uint64_t *len)
{
	uint8_t bytes[TAIL_BYTES];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)BYTES(0))
		return -EPROTO;
	int err = ram_runs_take(fd, bytes, sizeof(bytes), (uint64_t)st.st_size - sizeof(bytes));
	if (err)
		return err;
	struct stream stream = stream_reader(bytes, sizeof(bytes));
	stream_begin(&stream, TAIL_TAG, VERSION);
	*size = stream_get64(&stream);
	err = stream_end(&stream);
	if (err)
		return -EPROTO;
	*len = (uint64_t)st.st_size - *size;
	return *size % PAGE || *size > (uint64_t)st.st_size || *len < BYTES(0) || *len > BYTES(RAM_RUNS_MOST) ? -EPROTO : 0;
}

int ram_runs_read(struct ram_runs *runs, int fd, uint64_t *size)
{
	uint64_t len = 0;

	*runs = (struct ram_runs){ 0 };
	int err = find(fd, size, &len);
	uint8_t *bytes = err ? NULL : malloc(len);
	if (!err)
		err = bytes ? ram_runs_take(fd, bytes, len, *size) : -ENOMEM;
	if (!err) {
		struct stream stream = stream_reader(bytes, len);

		err = get(runs, &stream, *size);
	}
	free(bytes);
	return err == -EBADMSG ? -EPROTO : err;
}
