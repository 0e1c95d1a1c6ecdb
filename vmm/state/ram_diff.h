/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that lies in a chain of files: a whole one, and others on top of it that have only what changed (ram_runs.h). */
#ifndef LV_VMM_RAM_DIFF_H
#define LV_VMM_RAM_DIFF_H

#include "vmm/mem.h"

/*
 * The place (fd, and offset in it) becomes a private copy of what a chain of files has: below, the whole one first, and on top of them place->fd; without any below
 * that is the whole one. All are noted in mem. 0 or a negative errno: then some of it may be mapped.
 */
int ram_layers_map(struct mem *mem, const struct mem_file *place, const int *below, unsigned count);
/* The same, but that what the whole one has is in the place already. */
int ram_layers_put(struct mem *mem, const struct mem_file *place, const int *below, unsigned count);
/* Once all are there: ram_file_copy() of what any of them has. */
void ram_layers_copy(const struct mem *mem);

#endif
