/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory on its way into a file and out of it. What lies at guest address gpa is in the file at gpa - base, where base is the lowest
 * address that is saved; what reads as zero is a hole. The file is mapped, not read: pages come when they are touched, and all VMs of one file share those that none of them changes.
 */
#ifndef LV_VMM_RAM_FILE_H
#define LV_VMM_RAM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem.h"
#include "vmm/state/ram_runs.h"
#include "vmm/state/ram_track.h"

struct error;

#define RAM_FILE_BATCH 512 /* pages that are looked at together */
/* What /proc/self/pagemap says of a page (Documentation/admin-guide/mm/pagemap.rst). */
#define RAM_PAGE_PRESENT (1ull << 63)
#define RAM_PAGE_SWAPPED (1ull << 62)
#define RAM_PAGE_FILE (1ull << 61)
#define RAM_PAGE_GUARDED (1ull << 57) /* not written since it was protected; beside SWAPPED it may be nothing but that note */

/* One that is being written. Filled by ram_file_begin. */
struct ram_file {
	const struct mem *mem;
	int pagemap, fd;
	gpa_t base;
	unsigned slots; /* there were when it was begun: it may get more */
	unsigned slot; /* where it goes on: in this slot, so many bytes from what is saved of it */
	uint64_t at;
	uint64_t pages; /* written so far */
	struct { /* of each file behind a restored memory: [known, until) is data, or none is in it */
		uint64_t known, until;
		bool data;
	} behind[MEM_FILES];
	bool difference;
	struct ram_runs runs; /* of a difference: what is in it so far */
	struct ram_track *track; /* of a look; not owned */
	bool again; /* at what was written since the look before */
	uint64_t entry[RAM_FILE_BATCH];
};

/* The lowest address of guest memory that is saved, and how long a file with all of it is. */
gpa_t ram_file_base(const struct mem *mem);
uint64_t ram_file_size(const struct mem *mem);

/*
 * fd: empty, for writing; pagemap: /proc/self/pagemap. Neither is owned. 0 or a negative errno.
 */
int ram_file_begin(struct ram_file *file, const struct mem *mem, int pagemap, int fd);
/* The same, of what changed since this memory was mapped by ram_layers_map(). -EOPNOTSUPP: it was not. End it. */
int ram_file_begin_difference(struct ram_file *file, const struct mem *mem, int pagemap, int fd);
/*
 * A look at memory that may be in use meanwhile: what of it has not been looked at with this track before, or was written since. What is written from here on the next look
 * has; so the last one, at memory that stands still, completes it. Pages that have become zero are in the file as zeroes, if a look before had more of them.
 */
int ram_file_begin_look(struct ram_file *file, const struct mem *mem, int pagemap, int fd, struct ram_track *track);
void ram_file_end(struct ram_file *file);
/* Writes some more, of memory that nobody changes, unless it is a look: a MiB, or looks at 8 MiB. 1: there is more; 0: all is written; or a negative errno; -E2BIG: it changed in too many places. */
int ram_file_step(struct ram_file *file);

/*
 * [hva, hva + size) becomes a private copy of the file from offset on, which has that many bytes there; where nothing has been written it is anonymous memory, which reads
 * as zero. 0 or a negative errno: then some of it may be mapped.
 */
int ram_file_map(uint8_t *hva, uint64_t size, int fd, uint64_t offset);
/* Copies what has been written there at once, in place of one page at each touch. What the host cannot do is left to that. */
void ram_file_copy(uint8_t *hva, uint64_t size, int fd, uint64_t offset);

#endif
