/* SPDX-License-Identifier: Apache-2.0 */
/* What page.c offers beside libos.h: freeing parts of what was allocated, and giving memory back to the host. */
#ifndef LV_LIBOS_PAGE_H
#define LV_LIBOS_PAGE_H

#include "libos/core/libos.h"

/* count pages (1 to 512), aligned to the next power of two; contents undefined; NULL: none. */
void *page_alloc_run(uint64_t count);
void *page_alloc_run_zeroed(uint64_t count);
void *page_alloc_run_soon(uint64_t count); /* zeroed, and present at the host, because all of it will be written soon */
/* Frees count pages, however they were allocated. */
void page_free_run(void *page, uint64_t count);
/*
 * Copies whole pages of the image to pages that were allocated; from NULL: they will be written soon. Where it is many,
 * the monitor does it in one exit, since reading or writing each page here for the first time is a trip to the host.
 */
void page_fetch(void *to, const void *from, uint64_t count);
/* Tells the host which free memory it may take back, now; true if there was any. Takes at least one VM exit then. */
bool page_release(void);

#endif
