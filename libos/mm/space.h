/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the memory manager: the regions (vma.c), their pages (fault.c), and what system calls need (mm.c). */
#ifndef LV_LIBOS_SPACE_H
#define LV_LIBOS_SPACE_H

#include "libos/fs/fs.h"
#include "libos/mm/mm.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#define SPACE_LOW 0x10000ull           /* nothing below: null pointers trap */
#define SPACE_END 0x7ffffffff000ull
#define SPACE_31_END 0x80000000ull
#define SPACE_FIND_LOW (64ull << 20)   /* below, the program has only what it asks for */
#define CHUNK (64ull << 10)

#define PATCH_TABLES 16 /* pages of trampolines that any site in reach uses */
struct patches { /* patch.c */
	struct site *seen; /* sites that trapped; NULL: none did */
	struct jump *made; /* of those that are patched */
	unsigned count, room;
	uint64_t table[PATCH_TABLES];
};

struct space {
	struct space *next; /* of all */
	uint32_t refs;      /* of processes that have it */
	uint64_t *root; /* the page tables' first */
	struct patches patches;
	struct vma *regions; /* the root of their tree */
	int count;
	struct vma *last; /* the last one found */
	uint64_t top;     /* search for room starts here */
	uint64_t brk_start, brk;
	bool lock_future; /* mlockall(MCL_FUTURE): what is mapped from now on is MAP_LOCKED */
};
extern struct space *spaces; /* all */
extern struct space *space; /* that of the running thread, or the one it is at work on */

/* ---- vma.c ---- */
void space_list(struct space *new);
void space_unlist(struct space *old);
/* The first region that ends above addr; NULL: there is none. */
struct vma *vma_from(uint64_t addr);
/* Makes addr a border between regions, if it lies inside one. 0 or -ENOMEM. */
int vma_split(uint64_t addr);
/* Adds a region where there is none; takes a reference to its file. NULL: out of memory. */
struct vma *vma_add(const struct vma *model);
void vma_remove(struct vma *vma);
void vma_set_end(struct vma *vma, uint64_t end); /* in front of the next one */
/* Joins the regions in the range, and what touches it, where they are alike. */
void vma_join(uint64_t start, uint64_t end);
bool vma_free_range(uint64_t start, uint64_t end); /* no region in it, but for those that yield */
uint64_t space_find_low(uint64_t len); /* in the second GiB, as MAP_32BIT asks; 0: none */
/* A free page of the program's space no further away from addr than this; 0: none. */
uint64_t space_find_near(uint64_t addr, uint64_t distance);

/* ---- fault.c ---- */
/* Writes the entries that will be needed soon, so that they do not fault one by one. */
void vma_populate_first(struct vma *vma, uint64_t start, uint64_t end);
/* All of the range now, as MAP_POPULATE asks. */
int vma_populate(struct vma *vma, uint64_t start, uint64_t end); /* -ENOMEM or -EFAULT: not all of it */

/* ---- mm.c ---- */
int64_t mm_remap(uint64_t old, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t new_addr);
/* Drops the pages of a range, as MADV_DONTNEED does or (lazily) MADV_FREE; the regions stay, and what is shared keeps its contents. */
int mm_drop(uint64_t start, uint64_t end, bool lazily);
uint64_t mm_brk(uint64_t end);
/*
 * Marks the regions in the range, of which some may be split: with MAP_LOCKED, which is all that mlock(2) does, as memory is never swapped, or VMA_WIPED.
 * 0 or -ENOMEM.
 */
int mm_mark(uint64_t start, uint64_t end, uint32_t flag, bool on);
/* Drops the entries of a range; with tables, also the tables that are empty then. 0 or -ENOMEM: a large page could not be split. */
int space_drop(uint64_t start, uint64_t end, bool tables);
bool mm_covered(uint64_t start, uint64_t end); /* regions without a hole */

/* ---- wipe.c ---- */
/* MADV_WIPEONFORK, and MADV_KEEPONFORK: 0, -EINVAL: not memory of the program's own, -ENOMEM. */
int mm_wipe_in_clones(uint64_t start, uint64_t end, bool on);

/* ---- limits.c: RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK and RLIMIT_MEMLOCK ---- */
/* May there be a region [start, end) like this, in place of what is there now? */
bool space_may_hold(uint64_t start, uint64_t end, uint32_t prot, uint32_t flags);
bool space_may_grow(const struct vma *vma, uint64_t more);               /* by so many bytes */
bool space_may_reach(const struct vma *vma, uint64_t va); /* a stack, down to this page that it did not touch before */
/* May the program lock [start, end) beside what is locked: 0, -EPERM: it may not at all, -ENOMEM: not so much. */
int space_may_lock(uint64_t start, uint64_t end);
bool space_may_become(uint64_t start, uint64_t end, uint32_t prot);      /* mprotect: private memory becomes data */

/* ---- fork.c ---- */
uint64_t space_window_start(void); /* from here on all spaces have the same tables: the image, libos, its memory */
void space_window_grew(void); /* RAM was added: the tables that are loaded have it, too */
void tables_load(const uint64_t *root); /* tlb.c */

/* ---- patch.c ---- */
bool patches_copy(struct space *to); /* those of this space, whose regions the other one has; false: no memory */
void patches_free(struct space *old);
/* Executable memory is about to be written, or was unmapped or replaced: the patches in it are undone. */
void mm_code_changed(uint64_t start, uint64_t end);
/* The program wants the range: what libos has put there goes. 0 or -ENOMEM. */
int patches_yield(uint64_t start, uint64_t end);

#endif
