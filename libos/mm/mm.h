/* SPDX-License-Identifier: Apache-2.0 */
/* The program's address space: regions, page tables, the fault handler. */
#ifndef LV_LIBOS_MM_H
#define LV_LIBOS_MM_H

#include "libos/core/libos.h"

struct file;

struct vma { /* a region; sorted by start, never overlapping */
	uint64_t start, end;
	uint32_t prot;  /* PROT_* */
	uint32_t flags; /* MAP_SHARED, MAP_PRIVATE, MAP_STACK, MAP_GROWSDOWN ..., VMA_YIELDS */
	struct file *file; /* NULL: anonymous */
	uint64_t offset;   /* of start in the file */
	const char *name;  /* "[heap]", "[stack]" or NULL */
	uint64_t faulted;  /* bytes that faults brought in: large regions that are used get large pages */
};

#define VMA_YIELDS (1u << 31) /* libos' own (patch.c), in a place that the program may have when it asks for it */

void mm_init(void);
/* Maps as mmap(2) does, for libos' own use too (loader); the address or -errno. */
int64_t mm_map(uint64_t addr, uint64_t len, uint32_t prot, uint32_t flags, struct file *file, uint64_t offset, const char *name);
int mm_unmap(uint64_t addr, uint64_t len);
int mm_protect(uint64_t addr, uint64_t len, uint32_t prot);
void mm_set_brk(uint64_t start);
uint64_t mm_brk_start(void);
struct vma *mm_find(uint64_t addr); /* the region that holds addr, or NULL */
struct vma *mm_first(void);         /* iteration, for /proc/self/maps */
struct vma *mm_next(struct vma *vma);
/*
 * Handles a page fault at addr with the processor's error code: 0 resolved, else what the program gets: the si_code of
 * SIGSEGV (SEGV_MAPERR, SEGV_ACCERR), or -BUS_ADRERR for SIGBUS (past the end of a mapped file), or -ENOMEM (kill).
 */
int mm_fault(uint64_t addr, uint64_t error);
/* The system call at rip (just behind its instruction) trapped once more; replaces it by a jump when it is hot. */
void mm_syscall_trapped(uint64_t rip, uint64_t nr);
/* A program that was interrupted on its way from a patched call to libos goes on at the call. */
struct regs;
void patch_rewind(struct regs *regs);
void tlb_flush(void);
/* The top of a stack for libos' work for one thread, with a hole below; 0: out of memory. Free only when nobody runs on it. */
#define KSTACK_SIZE 16384u
uint64_t kstack_new(void);
void kstack_free(uint64_t top);
/* The file was cut: pages of it at offsets >= from are about to be freed and must leave the address space (SIGBUS from now on). */
struct inode;
void mm_file_cut(struct inode *inode, uint64_t from);

/* exec.c: loads the program that the device page names, builds its stack; *entry and *stack are for the first return to level 3. Panics never: -errno and a text. */
const char *exec_path(void); /* the program's absolute path, for /proc/self/exe */
struct exec_layout { /* addresses in the program, as Linux tells them in /proc/self/stat */
	uint64_t code_start, code_end, data_start, data_end;
	uint64_t stack; /* at its first instruction */
	/* The strings of argv and envp, end to end; programs write their titles over them. */
	uint64_t args_start, args_end, env_start, env_end;
};
const struct exec_layout *exec_layout(void);
int exec_load(uint64_t *entry, uint64_t *stack, const char **why);

#endif
