/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/page_runs.h"

#include <errno.h>
#include <unistd.h>

#include "vmm/state/ram_file.h"
#include "vmm/state/stream.h"

#define PAGE 4096ull

/* had: runs of other places, which it does not join though it may lie beside them. */
static void add(struct page_runs *runs, unsigned had, uint32_t page, uint32_t near)
{
	struct page_run *last = runs->count > had ? &runs->run[runs->count - 1] : NULL;

	if (last && page - (last->first + last->pages) <= near)
		last->pages = page + 1 - last->first;
	else if (runs->count < PAGE_RUNS_MOST)
		runs->run[runs->count++] = (struct page_run){ page, 1 };
}

static bool counts(uint64_t entry, bool own)
{
	return entry & (RAM_PAGE_PRESENT | RAM_PAGE_SWAPPED) && !(own && entry & RAM_PAGE_FILE);
}

int page_runs_look(struct page_runs *runs, const struct page_place *place, int pagemap)
{
	uint64_t entry[RAM_FILE_BATCH];
	const unsigned had = runs->count;

	for (uint64_t at = 0; at < place->pages; at += RAM_FILE_BATCH) {
		uint64_t pages = place->pages - at < RAM_FILE_BATCH ? place->pages - at : RAM_FILE_BATCH;
		const size_t size = pages * sizeof(entry[0]);

		if (pread(pagemap, entry, size, (off_t)(((uintptr_t)place->hva / PAGE + at) * sizeof(entry[0]))) != (ssize_t)size)
			return -EIO;
		for (uint64_t i = 0; i < pages; i++)
			if (counts(entry[i], place->own))
				add(runs, had, (uint32_t)(place->first + at + i), place->near);
	}
	return 0;
}

void page_runs_put(const struct page_runs *runs, struct stream *stream)
{
	stream_put32(stream, runs->count);
	for (unsigned i = 0; i < runs->count; i++) {
		stream_put32(stream, runs->run[i].first);
		stream_put32(stream, runs->run[i].pages);
	}
}

void page_runs_get(struct page_runs *runs, struct stream *stream)
{
	runs->count = stream_get32(stream);
	if (runs->count > PAGE_RUNS_MOST)
		runs->count = 0;
	for (unsigned i = 0; i < runs->count; i++) {
		runs->run[i].first = stream_get32(stream);
		runs->run[i].pages = stream_get32(stream);
		/* One after the other: runs over one another could cost a walk over all of memory each. */
		if (i && runs->run[i].first < (uint64_t)runs->run[i - 1].first + runs->run[i - 1].pages)
			stream_refuse(stream);
	}
}
