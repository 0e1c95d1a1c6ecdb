/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages a memory file has that holds only what changed since another one (docs/state.md): said in runs behind the memory, and not by holes, as these come and go when
 * a file is copied, and a page that has become zero has none of them. A run's pages are the file's, holes in it are zero; all others are what the files below have.
 */
#ifndef LV_VMM_RAM_RUNS_H
#define LV_VMM_RAM_RUNS_H

#include <stddef.h>
#include <stdint.h>

#define RAM_RUNS_MOST 65536u

struct ram_run { /* pages of the file: its offset by 4096 */
	uint32_t first, pages;
};

struct ram_runs { /* none lies over another. All zero is an empty list; free it */
	unsigned count, room;
	struct ram_run *run;
};

/* A page that is in none of them. 0, -ENOMEM, or -E2BIG: in more than RAM_RUNS_MOST places. */
int ram_runs_add(struct ram_runs *runs, uint64_t page);
void ram_runs_free(struct ram_runs *runs);

/* Behind the file's memory, which has size bytes; puts them in order. 0 or a negative errno. */
int ram_runs_write(struct ram_runs *runs, int fd, uint64_t size);
/* The runs of a file, all of them in its memory, of which *size is told; hostile. 0; -EPROTO: it has none, it is a whole memory, or damaged; or another negative errno. Free in each case. */
int ram_runs_read(struct ram_runs *runs, int fd, uint64_t *size);

/* For who takes the pages: all of [offset, offset + size). 0, -EPROTO: the file ends before; or another negative errno. */
int ram_runs_take(int fd, void *bytes, size_t size, uint64_t offset);

#endif
