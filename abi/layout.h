/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are in the memory of a library-OS guest, and the numbers that host and guest must agree on. */
#ifndef LV_ABI_LAYOUT_H
#define LV_ABI_LAYOUT_H

/*
 * Everything that belongs to the monitor or to libos lives in one window that starts at LV_BASE, identity-mapped
 * (guest-virtual = guest-physical). The program has the rest of the lower half of the address space; libos builds its
 * page tables itself, out of its own memory. docs/guest-abi.md says why.
 */
#define LV_PAGE 4096ull
#ifdef __ASSEMBLER__
#define LV_BASE 0x4000000000 /* no assembler but GNU's knows what follows a number in C */
#else
#define LV_BASE 0x4000000000ull /* 256 GiB */
#endif

/* The monitor page set: one 4 KiB page each, supervisor-only unless said otherwise. */
#define LV_PML4 (LV_BASE + 0x0000)
#define LV_PDPT (LV_BASE + 0x1000)
#define LV_PD (LV_BASE + 0x2000)    /* the first GiB of the window: LV_PT, then 2 MiB pages of RAM */
#define LV_PT (LV_BASE + 0x3000)    /* the first 2 MiB of the window */
/* The first eight pages come with one fault on page-table KVM: what libos reads and writes at its start is among them. */
#define LV_DEVICE (LV_BASE + 0x4000) /* struct lv_device_page; guest read-only */
#define LV_STUBS (LV_BASE + 0x5000) /* trap stubs: the only code that runs at level 0 */
#define LV_TRAP (LV_BASE + 0x6000)  /* where traps push their frame; guest-readable and -writable */
#define LV_SHARED (LV_BASE + 0x7000) /* struct lv_shared; guest-readable and -writable */
#define LV_DESC (LV_BASE + 0x8000)  /* GDT, TSS, IDT; nobody reads it but the processor */
#define LV_BELL (LV_BASE + 0xa000)  /* doorbells and hypercall register: virtual address ... */
#define LV_BELL_GPA 0x6000000000ull /* ... and the guest-physical page behind it (MMIO, never RAM) */

#define LV_KSTACKS 0x7000000000ull /* virtual addresses for the kernel stacks of threads, which libos maps there as it needs them */

#define LV_LIBOS (LV_BASE + 0x10000)   /* libos is linked here */
#define LV_LIBOS_END (LV_BASE + 0x200000)
/*
 * Guest RAM: the boot area (tables, and what the configuration brings: rings, arguments), then libos' page pool. Before the configuration
 * comes libos has RAM as far as LV_RAM_EARLY; what the configuration has no room for in the boot area lies behind that.
 */
#define LV_RAM (LV_BASE + 0x200000)
#define LV_BOOT_SIZE 0x8000ull
#define LV_HOT_HEAP (10 * LV_PAGE) /* behind it: what libos takes of its pool before a program starts */
#define LV_RAM_EARLY (2ull << 20)
#define LV_RAM_MAX (64ull << 30)
#define LV_RAM_SMALL (6ull << 20) /* RAM up to here is backed page by page; beyond, by 2 MiB pages where the host has them */
#define LV_STACK_TOP 0x3000000000ull   /* 192 GiB: the program's stack ends here, its mappings grow down from below it */
#define LV_WINDOW LV_STACK_TOP         /* nothing of the program lies in [here, LV_WINDOW_END) */
#define LV_WINDOW_END 0x8000000000ull  /* 512 GiB */
/*
 * The image file, read-only, identity-mapped: right before LV_BASE, from a multiple of 2 MiB on, so that one memory slot
 * holds all (making one takes the host's kernel a grace period).
 */
#define LV_IMAGE_MAX (LV_BASE - LV_WINDOW)
#define LV_IMAGE(size) (LV_BASE - (((size) + 0x1fffffull) & ~0x1fffffull))

/* Selectors of the descriptor table. */
#define LV_CS0 0x10
#define LV_SS0 0x18
#define LV_SS3 0x2b
#define LV_CS3 0x33
#define LV_TR 0x40

/* RFLAGS and registers of a guest at its start. */
#define LV_RFLAGS 0x002 /* nothing but the bit that is always set: port I/O at level 3 faults */

/*
 * A TLB flush: int3 with this value in RAX. With the second, RDI is loaded into CR3: other page tables. With the third, a flush of pages, from that of RDI on to RSI, but at
 * least one; RDI changes. Any other int3 is a breakpoint trap.
 */
#define LV_FLUSH_MAGIC 0x4c56464cu /* "LVFL" */
#define LV_SWITCH_MAGIC 0x4c565357u /* "LVSW" */
#define LV_PAGES_MAGIC 0x4c565047u /* "LVPG" */

/* Page-table bits that both sides write. */
#define LV_PTE_P 0x001ull
#define LV_PTE_W 0x002ull
#define LV_PTE_U 0x004ull
#define LV_PTE_A 0x020ull
#define LV_PTE_D 0x040ull
#define LV_PTE_PS 0x080ull
#define LV_PTE_NX (1ull << 63)
#define LV_PTE_ADDR 0x000ffffffffff000ull

/* What a trap stub leaves for libos at level 3: RSP points at this, inside LV_TRAP. */
#define LV_TRAP_FRAME_RAX 0x08 /* cr2, rax, vector, error, rip, cs, rflags, rsp, ss: nine 8-byte words */

#endif
