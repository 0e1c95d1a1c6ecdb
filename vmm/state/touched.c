/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/touched.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "vmm/mem.h"
#include "vmm/state/page_runs.h"
#include "vmm/state/stream.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not in every C library's header yet */
#endif
#define PAGE 4096ull
#define TAG STREAM_TAG("PAGE")
#define VERSION 1
#define NEAR 2u /* pages between two runs that are cheaper had than left out */

/* What lies behind the memory of a restored VM: one file, whose pages are counted. NULL: nothing. */
static const struct mem_file *restored(const struct mem *mem)
{
	for (unsigned i = 0; i < mem->file_count; i++)
		if (mem->file[i].fd >= 0)
			return &mem->file[i];
	return NULL;
}

/* ---- what was touched ---- */

static int write_runs(const struct page_runs *runs, int fd)
{
	uint8_t *bytes = malloc(PAGE_RUNS_FILE);
	struct stream stream = stream_writer(bytes, PAGE_RUNS_FILE);

	if (!bytes)
		return -ENOMEM;
	stream_begin(&stream, TAG, VERSION);
	page_runs_put(runs, &stream);
	int err = stream_end(&stream);
	ssize_t n = err ? -1 : pwrite(fd, bytes, stream.at, 0);

	if (!err && n != (ssize_t)stream.at)
		err = n < 0 ? -errno : -ENOSPC;
	free(bytes);
	return err;
}

int touched_write(const struct mem *mem, int pagemap, int fd, struct error *error)
{
	const struct mem_file *file = restored(mem);
	struct page_runs *runs = file && pagemap >= 0 ? malloc(sizeof(*runs)) : NULL;

	if (!file)
		return error_set(error, -EOPNOTSUPP, "it was not restored, and has no pages that another one could have before it runs");
	if (!runs)
		return error_set(error, -ENOMEM, "no memory, or no /proc/self/pagemap, to look at the guest's pages");
	runs->count = 0;
	int err = page_runs_look(runs, &(struct page_place){ .hva = file->hva, .first = (uint32_t)(file->offset / PAGE), .pages = file->len / PAGE, .near = NEAR, .own = true }, pagemap);
	if (!err)
		err = write_runs(runs, fd);
	free(runs);
	return err ? error_set(error, err, "the file for the pages: %s", strerror(-err)) : 0;
}

/* ---- for the next ones ---- */

static int read_runs(struct stream *stream, struct page_runs *runs)
{
	stream_begin(stream, TAG, VERSION);
	page_runs_get(runs, stream);
	int err = stream_end(stream);
	return !err && stream->at != stream->size ? stream_refuse(stream) : err;
}

static int read_file(int fd, struct page_runs *runs)
{
	struct stat st;
	uint8_t *bytes = malloc(PAGE_RUNS_FILE);
	int err = !bytes ? -ENOMEM : fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)PAGE_RUNS_FILE ? -EINVAL : 0;

	if (!err && pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
		err = -EIO;
	if (!err) {
		struct stream stream = stream_reader(bytes, (size_t)st.st_size);

		err = read_runs(&stream, runs);
	}
	free(bytes);
	return err;
}

/* What is not of this memory is left out: a file says what is good to have, and no more. */
static void populate(const struct mem_file *file, const struct page_run *run)
{
	const uint64_t first = file->offset / PAGE, at = run->first - first, all = file->len / PAGE;

	if (run->first >= first && at < all && run->pages <= all - at && run->pages)
		madvise(file->hva + at * PAGE, run->pages * PAGE, MADV_POPULATE_WRITE);
}

int touched_populate(const struct mem *mem, int fd, struct error *error)
{
	const struct mem_file *file = restored(mem);
	struct page_runs *runs = malloc(sizeof(*runs));
	int err = runs ? read_file(fd, runs) : -ENOMEM;

	for (unsigned i = 0; !err && file && i < runs->count; i++)
		populate(file, &runs->run[i]);
	free(runs);
	return err ? error_set(error, err, "the file with the pages that it writes first is none, or is damaged: %s", strerror(-err)) : 0;
}
