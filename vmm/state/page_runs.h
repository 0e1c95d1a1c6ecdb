/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a guest that are worth having before they are touched, as runs: taken from what the host has mapped, written into a stream, read from one that may say anything. */
#ifndef LV_VMM_PAGE_RUNS_H
#define LV_VMM_PAGE_RUNS_H

#include <stdbool.h>
#include <stdint.h>

struct stream;

#define PAGE_RUNS_MOST 32768u
#define PAGE_RUNS_FILE (128u + PAGE_RUNS_MOST * 8u) /* bytes of a file with so many, and some words of its owner's */

struct page_run {
	uint32_t first, pages;
};

struct page_runs { /* in order, none over another */
	unsigned count;
	struct page_run run[PAGE_RUNS_MOST];
};

struct page_place { /* memory that lies in a row */
	const uint8_t *hva;
	uint32_t first; /* number of its first page, in the runs */
	uint64_t pages;
	uint32_t near;  /* so many pages between two runs are cheaper had than left out */
	bool own;       /* only pages that are the process' own, not those of a file */
};

/* Adds what /proc/self/pagemap says is there; a place comes behind what there is in the list. What there is no room for is left out. 0 or -EIO. */
int page_runs_look(struct page_runs *runs, const struct page_place *place, int pagemap);
/* Into the stream's open record. */
void page_runs_put(const struct page_runs *runs, struct stream *stream);
/* From it; refuses what is not in order. The list may be used once stream_end said 0. */
void page_runs_get(struct page_runs *runs, struct stream *stream);

#endif
