/* SPDX-License-Identifier: Apache-2.0 */
/* The sites and jumps of an address space, and the pages of its trampolines: for patch.c and patch_pages.c. */
#ifndef LV_LIBOS_PATCHES_H
#define LV_LIBOS_PATCHES_H

#include "libos/core/libos.h"
#include "libos/mm/space.h"

struct site { /* by the address behind the syscall instruction */
	uint64_t rip;
	uint32_t nr;    /* of the last call */
	uint32_t traps; /* up to DONE */
};
struct jump { /* a site that is patched now */
	uint64_t rip, to;
	uint64_t padding;   /* that leads there; 0: the site itself does */
	uint8_t padded;     /* bytes of it that are ours */
	uint32_t nr;        /* if an instruction is displaced: what it loads */
	uint8_t displaced;  /* so many bytes before the SYSCALL; 0: it is the SYSCALL itself that jumps */
	uint8_t first;      /* byte of that */
	uint8_t was[5];     /* the displaced bytes over which the jump lies */
	bool cpuid;         /* it is a CPUID, and all that is displaced is in the trampoline */
};
/* Each address space has its own. */
#define sites (space->patches.seen)
#define jumps (space->patches.made)
#define jump_count (space->patches.count)
#define jump_room (space->patches.room)
#define tables (space->patches.table)

/* Makes the CPUID before rip a jump: the so many bytes before it are done in the trampoline. Not in any TLB yet. */
bool patch_cpuid(uint64_t rip, unsigned displaced);
/* Is there a page of trampolines at va? */
bool patch_yields(uint64_t va);
/* libos' view of the page of trampolines that va is in. */
uint8_t *patch_page_view(uint64_t va);
/* Makes one at va, which is the beginning of a page that is free. false: out of memory. */
bool patch_page_make(uint64_t va);
/* Bytes of what is displaced at the beginning of the jump's trampoline, */
unsigned patch_displaced_size(const struct jump *jump);
/* and of the trampoline. */
unsigned patch_trampoline_size(const struct jump *jump);
/* Is there room for a trampoline of so many bytes at va, in a page that is there or can be? */
bool patch_place_free(uint64_t va, unsigned size);
/* Room for one that a jump of four bytes reaches from there, in a page that is made if need be; 0: none. */
uint64_t patch_table_take(uint64_t from, unsigned size);

#endif
