/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables of the program (Intel SDM volume 3, 4.5): 4-level, entries of 4 KiB and 2 MiB. The caller flushes the TLB. */
#ifndef LV_LIBOS_PAGETABLE_H
#define LV_LIBOS_PAGETABLE_H

#include "libos/core/libos.h"

#define HUGE_PAGE (2ull << 20)
/* Ours, in bits that the processor ignores: the page belongs to somebody else (a file), do not free or write it. */
#define PTE_BORROWED (1ull << 9)
/* Perhaps another process has the page, too: it is copied before it is written. */
#define PTE_SHARED (1ull << 10)
/* A page of PROT_NONE stays in its entry, without the present bit. */

/* The entry bits for a mapping of PROT_*; a borrowed page becomes writable only where the caller says so. */
uint64_t pt_bits(uint32_t prot);
/* The entry that maps va: of 4 KiB, or (*huge) of 2 MiB; NULL when there is no table for it. It may be zero. */
uint64_t *pt_find(uint64_t va, bool *huge);
/* The 4 KiB entry for va; tables that are missing are made, a 2 MiB entry is split. NULL: out of memory. */
uint64_t *pt_make(uint64_t va);
/* The entry for the 2 MiB at va if nothing at all is mapped there yet, else NULL. */
uint64_t *pt_make_huge(uint64_t va);
/*
 * Calls visit for every entry in the range that is not zero; one of 2 MiB that the range covers in part is split first
 * (false: out of memory). visit may change the entry.
 */
typedef void pt_visit(void *context, uint64_t va, uint64_t *entry, uint64_t size);
bool pt_walk(uint64_t start, uint64_t end, pt_visit *visit, void *context);
/* Unmaps and frees; true if an entry was present, so that a flush is due. Partial 2 MiB pages must have been split. */
bool pt_clear(uint64_t start, uint64_t end);
/* Frees the tables in [start, end) that map nothing; true if there were any, so that a flush is due. */
bool pt_trim(uint64_t start, uint64_t end);
/* Splits the 2 MiB entry that holds va, if there is one and va is inside of it. */
bool pt_split(uint64_t va);

#endif
