/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored VM whose memory file is still being filled (abi/memory_later.h): whoever touches a page that is not there yet waits for it, in the kernel (userfaultfd). A thread of
 * its own tells who brings the memory; the guest's and the loop's may both be waiting.
 */
#ifndef LV_VMM_PAGER_H
#define LV_VMM_PAGER_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct mem;
struct mem_file;
struct pager;
struct vm;

/* From the configuration: before memory is mapped. 0, or a negative errno with a message. */
int pager_open(struct vm *vm, struct error *error);
/* The file is mapped there privately, in place of what there was, noted as what lies behind that memory, and covered. Before pager_start. 0 or a negative errno. */
int pager_map(struct pager *pager, struct mem *mem, const struct mem_file *place);
/* The place, where its file is mapped so, without gaps, is part of it. Before pager_start. 0 or a negative errno. */
int pager_cover(struct pager *pager, const struct mem_file *place);
/* From here on pages are waited for. 0 or a negative errno. */
int pager_start(struct pager *pager);
/* Is there memory that has not come? NULL: no. Any thread. */
bool pager_waits(const struct pager *pager);

#endif
