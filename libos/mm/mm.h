/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: physical pages and small objects for all of libos, the program's address space, stacks. */
#ifndef LV_LIBOS_MM_H
#define LV_LIBOS_MM_H

#include "libos/core/libos.h"

struct file;
struct inode;

/* ---- page.c: physical pages, by their identity-mapped address ---- */
/* 2^order pages, aligned to their size, order <= 9; NULL when RAM is used up (after asking the monitor for more). */
void *page_alloc(unsigned order);       /* contents undefined */
void *page_alloc_zeroed(unsigned order);
void page_free(void *page, unsigned order);
uint64_t page_free_bytes(void);         /* of ram_limit, not yet given out */
uint64_t page_total_bytes(void);
bool page_release_idle(void); /* hands much free memory back to the host; true if it did */

/* The last pages are for those that a program touches, and for what libos has to say: by this word, or one of them at once. */
extern bool page_last_too;
void *page_alloc_last(void);

/* count pages (1 to 512), aligned to the next power of two; contents undefined; NULL: none. */
void *page_alloc_run(uint64_t count);
void *page_alloc_run_zeroed(uint64_t count);
void *page_alloc_run_soon(uint64_t count); /* zeroed, and present at the host, because all of it will be written soon */
/* Frees count pages, however they were allocated. */
void page_free_run(void *page, uint64_t count);
/* Somebody else has these pages, too, who will free them as well: they are free when all have. False: no memory. */
bool page_share(void *page, uint64_t count);
bool page_is_shared(const void *page);
/*
 * Copies whole pages of the image to pages that were allocated; from NULL: they will be written soon. Where it is many,
 * the monitor does it in one exit, since reading or writing each page here for the first time is a trip to the host.
 */
void page_fetch(void *to, const void *from, uint64_t count);
/* Tells the host which free memory it may take back, now; true if there was any. Takes at least one VM exit then. */
bool page_release(void);

/* ---- slab.c: small objects; kmalloc of more than 2 KiB takes whole pages ---- */
void *kmalloc(size_t size); /* NULL when out of memory; 16-byte aligned */
void *kzalloc(size_t size);
void *krealloc(void *p, size_t size);
void kfree(void *p); /* NULL is allowed */
char *kstrdup(const char *s);

/* ---- the program's address space: map.c, vma.c, fault.c ---- */
struct vma_links { /* its place among the regions of its space (vma.c) */
	struct vma *up, *left, *right;
	uint64_t low, high, gap; /* of it and all below: where they start and end, and the most that is free between two of them */
	uint32_t rank;           /* not above that of the one it hangs on */
};

struct vma { /* a region; they never overlap */
	uint64_t start, end;
	uint32_t prot;  /* PROT_* */
	uint32_t flags; /* MAP_SHARED, MAP_PRIVATE, MAP_STACK, MAP_GROWSDOWN ..., VMA_WIPED, VMA_YIELDS */
	struct file *file; /* NULL: anonymous */
	uint64_t offset;   /* of start in the file */
	const char *name;  /* "[heap]", "[stack]" or NULL */
	uint64_t faulted;  /* bytes that faults brought in: large regions that are used get large pages */
	struct vma_links links;
};

#define VMA_WIPED (1u << 30)  /* zeroes in a clone of the VM (MADV_WIPEONFORK) */
#define VMA_FAILED (1u << 28)       /* it became a file, but for pages that are not given to it yet (fork.c) */
#define VMA_NOT_IN_CHILD (1u << 29) /* MADV_DONTFORK */
#define VMA_YIELDS (1u << 31) /* libos' own (patch.c), in a place that the program may have when it asks for it */

struct space;
struct space *space_current(void); /* in which the running thread is */
/* ---- fork.c: the spaces of several processes, which are counted; NULL: no memory ---- */
struct space *space_new(void);
struct space *space_fork(uint64_t stack, uint64_t tls); /* of the running process', for a thread that goes on with this stack pointer and FS base */
struct space *space_get(struct space *space);
void space_put(struct space *space); /* it must not be entered */
void space_enter(struct space *space);            /* the processor has its tables then */
struct space *space_use(struct space *space);     /* what mm_... works on from now on, until the next switch of threads; what it was */
uint64_t space_size(struct space *space); /* bytes that it brought in */
void space_give_up(struct space *space);         /* all of its memory, of processes that end */
uint64_t mm_shared_word(uaddr_t at); /* where in RAM the word is if its mapping is a shared one and it is there, else 0 */
/* Of any space: the bytes that could be read, or written where the program itself may. */
size_t space_read(struct space *space, uaddr_t from, void *to, size_t n);
size_t space_write(struct space *space, uaddr_t to, const void *from, size_t n);

void mm_init(void);
void mm_configured(void); /* the device page has the memory that the VM gets; nothing may have used up the early one */
/* Maps as mmap(2) does, for libos' own use too (loader); the address or -errno. */
int64_t mm_map(uint64_t addr, uint64_t len, uint32_t prot, uint32_t flags, struct file *file, uint64_t offset, const char *name);
int mm_unmap(uint64_t addr, uint64_t len);
int mm_protect(uint64_t addr, uint64_t len, uint32_t prot);
void mm_set_brk(uint64_t start);
uint64_t mm_brk_start(void);
struct vma *mm_find(uint64_t addr); /* the region that holds addr, or NULL */
struct vma *mm_first(void);         /* by address; NULL: none */
struct vma *mm_next(const struct vma *vma);
/* How much of a region has pages, in bytes: of its own, and of the image or a file. */
void mm_resident(const struct vma *vma, uint64_t *own, uint64_t *shared);
bool mm_is_present(uint64_t va, bool *shared);
/*
 * Handles a page fault at addr with the processor's error code: 0 resolved, else what the program gets: the si_code of
 * SIGSEGV (SEGV_MAPERR, SEGV_ACCERR), or -BUS_ADRERR for SIGBUS (past the end of a mapped file), or -ENOMEM (kill).
 */
#define FAULT_WRITE 2u
int mm_fault(uint64_t addr, uint64_t error);
/* What a fault of the program itself will need of a file's server is brought before: others run meanwhile, as nothing of the fault is under way yet. */
void mm_fault_ahead(uint64_t addr, uint64_t error);
/* The file was cut: pages of it at offsets >= from are about to be freed and must leave the address space (SIGBUS from now on). */
void mm_file_cut(struct inode *inode, uint64_t from);
int mm_advise(uint64_t start, uint64_t len, int advice); /* as madvise(2) */
bool mm_any(bool (*is)(const struct vma *vma, const void *with), const void *with); /* a region of any process */
/* The system call at rip (just behind its instruction) trapped once more; replaces it by a jump when it is hot. */
void mm_syscall_trapped(uint64_t rip, uint64_t nr);
/* The code of a dynamic linker was mapped there, and has not run yet: its CPUIDs become jumps. */
void mm_patch_cpuid(uint64_t start);
/* A program that was interrupted on its way from a patched call to libos goes on at the call. */
void patch_rewind(struct regs *regs);
/* One that lets each instruction trap: true: it is on that way, which is no instruction of its own, and goes on without a word. */
bool patch_step(struct regs *regs);
void tlb_flush(void);
void tlb_flush_pages(uint64_t start, uint64_t end); /* of these pages nothing is known any more; of others, perhaps */
/* vdso.c: maps the vDSO; where it is now, 0: it found no room. */
uint64_t mm_map_vdso(void);

/* ---- where the loader puts things ---- */
#define SPACE_TOP LV_STACK_TOP
#define SPACE_PIE 0x2fc0000000ull      /* position-independent programs: in the same GiB, the heap above them */
#define SPACE_TOP_FIXED 0x40000000ull  /* for programs linked at low addresses: in their own GiB */
#define STACK_SIZE (8ull << 20)
uint64_t mm_top(void);            /* where stack, libraries and mappings of this program start, downwards */
void mm_set_top(uint64_t top);
/* May the program have anything in the range? */
bool space_allows(uint64_t start, uint64_t end);
/* A free range, highest first, aligned; 0: none. */
uint64_t space_find(uint64_t len, uint64_t align);
/* What file has there is copied into the region now, as far as there is memory: of files that do not lie in the image, whose pages would fault one by one. */
void vma_copy_ahead(uint64_t start, uint64_t end);
/* The program's page at va, to be written by libos: its identity address, or NULL. The page is its own afterwards. */
void *vma_own_page(uint64_t va);

/* ---- kstack.c ---- */
/* The top of a stack for libos' work for one thread, with a hole below; 0: out of memory. Free only when nobody runs on it. */
#define KSTACK_SIZE 16384u
uint64_t kstack_new(void);
void kstack_free(uint64_t top);

#endif
