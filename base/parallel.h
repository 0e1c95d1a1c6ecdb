/* SPDX-License-Identifier: Apache-2.0 */
/* Many waits at once: for work that mostly waits for somebody else, one item as independent of the others as if it were alone. */
#ifndef LV_BASE_PARALLEL_H
#define LV_BASE_PARALLEL_H

#include <stddef.h>

/*
 * Calls each(context, index) once for every index below count, from at most so many threads, of which the caller's is one, in no order;
 * returns when all calls have. Where threads cannot be made, those that are there do the work. With threads 1: in order, in the caller's.
 */
void parallel_each(size_t count, unsigned threads, void (*each)(void *context, size_t index), void *context);

/* The processors of this machine, at least 1 and at most so many: as many threads as work has use for that does not wait. */
unsigned parallel_processors(unsigned most);

#endif
