/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of the libos image: how the monitor finds its entry points. */
#ifndef LV_ABI_LIBOS_HEADER_H
#define LV_ABI_LIBOS_HEADER_H

#define LV_LIBOS_MAGIC 0x736f62696c564c /* "LVlibos" */
#define LV_LIBOS_ABI 10 /* layout.h, device_page.h, shared.h and the header below; the monitor and libos check it of each other */
#define LV_BUILD_ID 20

#ifndef __ASSEMBLER__
#include <assert.h>
#include <stdint.h>

/* At LV_LIBOS in the loaded image. All addresses are guest-virtual. */
struct lv_libos_header {
	uint64_t magic;
	uint32_t abi_version;
	uint32_t reserved;
	uint64_t entry;         /* first instruction; level 3, RSP = boot_stack */
	uint64_t boot_stack;
	uint64_t trap_entry;    /* where the trap stubs go on at level 3; RSP = trap frame */
	uint64_t upcall_entry;  /* see lv_shared.upcall */
	uint64_t syscall_entry; /* LSTAR */
	uint64_t text_start, text_end; /* code of libos: no upcall is made while RIP is in here */
	/* Worth having in memory before the start: [LV_LIBOS, hot_end), and from the boot stack's top page to hot_data_end. */
	uint64_t hot_end, hot_data_end;
	/*
	 * The way out, on which libos looks at lv_shared.resched no more: whoever is stopped there goes on at leave_again instead, with nothing in
	 * its registers, and looks.
	 */
	uint64_t leave_start, leave_end, leave_again;
	uint64_t touch_entry; /* reads a byte of each page from RDI on, below RSI, and makes LV_HC_TOUCHED; needs no stack */
	struct { /* the linker's note: SHA-1 of all that is linked, so that one build is told from another */
		uint32_t name_size, id_size, type;
		char name[4]; /* "GNU" */
		uint8_t id[LV_BUILD_ID];
	} build;
	uint32_t reserved1;
};
static_assert(sizeof(struct lv_libos_header) == 160, "libos header layout");
#endif

#endif
