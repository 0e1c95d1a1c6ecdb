/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces of several processes. Each has page tables of its own under the window, which all share: the entries of LV_PDPT that map it are
 * copied into each new PDPT, and what is added to them later is copied when a space is entered.
 *
 * A copy for fork shares all pages. Those that are the program's own are counted (page.c) and marked PTE_SHARED in both spaces, where they cannot be
 * written; whoever writes to one gets a copy, or the page itself if nobody else has it any more (fault.c). Shared anonymous memory becomes a file
 * when there is somebody to share it with.
 */
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"

#define PDPT_ENTRIES 512
#define TABLE_BITS (LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A)
#define HOT_STACK (2 * LV_PAGE)
#define HOT_DATA (8 * LV_PAGE)
#define PAGES_KEPT 64 /* so much must be left for libos and for those that are there */

static const uint64_t *loaded = (const uint64_t *)LV_PML4; /* what CR3 holds */

static unsigned gib(uint64_t va)
{
	return va >> 30 & (PDPT_ENTRIES - 1);
}

uint64_t space_window_start(void)
{
	uint64_t image = device_page->image_size ? LV_IMAGE(device_page->image_size) : LV_BASE;

	return ALIGN_DOWN(image, 1ull << 30);
}

/* The tables of the window as the first space has them. A copy that is in use is written only where it differs: page-table KVM emulates each write. */
static void window_copy(uint64_t *root)
{
	uint64_t *to = (uint64_t *)(root[0] & LV_PTE_ADDR);
	const uint64_t *from = (const uint64_t *)LV_PDPT;

	for (unsigned i = gib(space_window_start()); i < PDPT_ENTRIES; i++)
		if (to[i] != from[i])
			to[i] = from[i];
}

void space_window_grew(void)
{
	if (loaded != (const uint64_t *)LV_PML4)
		window_copy((uint64_t *)loaded);
}

/* Where the kernel stacks' tables will be is known before anybody copies it. */
static bool window_complete(void)
{
	uint64_t *entry = &((uint64_t *)LV_PDPT)[gib(LV_KSTACKS)];
	void *page = *entry ? NULL : page_alloc_zeroed(0);

	if (page)
		*entry = (uint64_t)page | TABLE_BITS;
	return *entry;
}

/* Roots with nothing but the window, as the last spaces left them: page-table KVM watches what was one, and takes a millisecond to forget it. */
#define ROOTS_KEPT 16
static uint64_t *root_kept[ROOTS_KEPT] SELDOM_USED;
static unsigned roots_kept;

static uint64_t *root_new(void)
{
	uint64_t *root, *pdpt;

	if (roots_kept)
		return root_kept[--roots_kept];
	pdpt = page_alloc_zeroed(0);
	root = pdpt ? page_alloc_zeroed(0) : NULL;
	if (root)
		root[0] = (uint64_t)pdpt | TABLE_BITS;
	else if (pdpt)
		page_free(pdpt, 0);
	return root;
}

static void root_put(uint64_t *root)
{
	if (roots_kept < ROOTS_KEPT) {
		root_kept[roots_kept++] = root;
		return;
	}
	page_free((void *)(root[0] & LV_PTE_ADDR), 0);
	page_free(root, 0);
}

struct space *space_new(void)
{
	struct space *new = kzalloc(sizeof(*new));
	uint64_t *root = new && window_complete() ? root_new() : NULL;

	if (!root) {
		kfree(new);
		return NULL;
	}
	window_copy(root);
	new->refs = 1;
	new->root = root;
	new->top = SPACE_TOP;
	space_list(new);
	return new;
}

void space_enter(struct space *next)
{
	space = next;
	if (next->root == loaded)
		return;
	if (next->root != (const uint64_t *)LV_PML4)
		window_copy(next->root);
	loaded = next->root;
	tables_load(loaded);
}

struct space *space_use(struct space *other)
{
	struct space *before = space;

	space = other;
	return before;
}

/* ---- the end ---- */

/* Tables below the entry: of the program, which map nothing any more. */
static void tables_free(uint64_t entry, unsigned level)
{
	uint64_t *table = (uint64_t *)(entry & LV_PTE_ADDR);

	for (unsigned i = 0; level > 0 && i < PDPT_ENTRIES; i++) {
		if (!table[i])
			continue;
		tables_free(table[i], level - 1);
		table[i] = 0;
	}
	if ((uint64_t)table >= device_page->heap_start)
		page_free(table, 0);
}

static void space_empty(struct space *old)
{
	struct space *before = space_use(old);

	for (struct vma *vma; (vma = mm_first());) {
		pt_clear(vma->start, vma->end);
		vma_remove(vma);
	}
	space_use(before);
	patches_free(old);
}

void space_put(struct space *old)
{
	uint64_t *pdpt;

	if (!old || --old->refs)
		return;
	space_empty(old);
	if (old->root == (uint64_t *)LV_PML4) /* the window's tables are in it: it stays, empty */
		return;
	pdpt = (uint64_t *)(old->root[0] & LV_PTE_ADDR);
	for (unsigned i = 0; i < gib(space_window_start()); i++)
		if (pdpt[i]) {
			tables_free(pdpt[i], 1);
			pdpt[i] = 0;
		}
	for (unsigned i = 1; i < PDPT_ENTRIES / 2; i++)
		if (old->root[i]) {
			tables_free(old->root[i], 2);
			old->root[i] = 0;
		}
	root_put(old->root);
	space_unlist(old);
	kfree(old);
}

uint64_t space_size(struct space *of)
{
	struct space *before = space_use(of);
	uint64_t size = 0;

	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma))
		size += vma->faulted;
	space_use(before);
	return size;
}

void space_give_up(struct space *old)
{
	space_empty(old);
}

/* ---- fork ---- */

struct copying {
	struct space *to;
	const struct vma *vma;
	uint64_t *entry, va; /* the last one that was made there */
	uint64_t copied_to;  /* pages below it are not shared but copied */
	uint64_t stack, tls; /* pages where the thread is: the same */
	bool failed;
};

/*
 * Both will write to these at once, and a fault costs far more than a copy: the stack, the thread's own variables, data segments.
 */
static bool is_hot(const struct copying *copy, uint64_t va)
{
	return va < copy->copied_to || va - copy->stack < HOT_STACK || va == copy->tls;
}

/* How far pages of the region are copied. */
static uint64_t copied_to(const struct vma *vma)
{
	if (vma->flags & VMA_YIELDS)
		return vma->end;
	if (!(vma->prot & PROT_WRITE) || vma->flags & MAP_SHARED)
		return 0;
	if (vma->file || (vma->name && !strcmp(vma->name, "[heap]")))
		return MIN(vma->end, vma->start + HOT_DATA);
	return 0;
}

static uint64_t *entry_there(struct copying *copy, uint64_t va)
{
	struct space *from;

	if (copy->entry && va == copy->va + LV_PAGE && va % HUGE_PAGE)
		return ++copy->entry;
	from = space_use(copy->to);
	copy->entry = pt_make(va);
	space_use(from);
	return copy->entry;
}

static uint64_t *huge_entry_there(struct copying *copy, uint64_t va)
{
	struct space *from = space_use(copy->to);
	uint64_t *entry = pt_make_huge(va);

	space_use(from);
	return entry;
}

static bool share_page(uint64_t *entry, uint64_t size)
{
	if (!page_share((void *)(*entry & LV_PTE_ADDR), size / LV_PAGE))
		return false;
	*entry = (*entry & ~(LV_PTE_W | LV_PTE_D)) | PTE_SHARED;
	return true;
}

static void copy_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	struct copying *copy = context;
	bool physically = size == LV_PAGE && !(*entry & PTE_BORROWED) && is_hot(copy, va);
	uint64_t *there = copy->failed ? NULL : size == LV_PAGE ? entry_there(copy, va) : huge_entry_there(copy, va);
	void *page;

	copy->va = va;
	if (!there || (!physically && !(*entry & PTE_BORROWED) && !share_page(entry, size))) {
		copy->failed = true;
		return;
	}
	*there = *entry;
	if (!physically)
		return;
	page = page_alloc(0);
	if (!page) {
		*there = 0;
		copy->failed = true;
		return;
	}
	memcpy(page, (const void *)(*entry & LV_PTE_ADDR), LV_PAGE);
	*there = pt_bits(copy->vma->prot) | (uint64_t)page;
}

static void give_page(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	struct vma *vma = context;

	if (*entry & PTE_BORROWED)
		return;
	if (!shared_memory_take(vma->file, vma->offset + (va - vma->start), (void *)(*entry & LV_PTE_ADDR)))
		vma->flags |= VMA_FAILED;
	else
		*entry |= PTE_BORROWED;
}

static void split_all(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	if (size > LV_PAGE && !pt_split(va + LV_PAGE))
		*(bool *)context = false;
}

static bool make_file(struct vma *vma)
{
	bool done = true;

	pt_walk(vma->start, vma->end, split_all, &done);
	vma->file = done ? shared_memory_new(vma->end - vma->start) : NULL;
	vma->offset = 0;
	vma->name = vma->file ? "/dev/zero (deleted)" : vma->name;
	return vma->file;
}

/* Until now the pages in the entries were all that there is of it. Those for which there was no memory are given at the next try. */
static bool become_file(struct vma *vma)
{
	if (!vma->file && !make_file(vma))
		return false;
	vma->flags &= ~VMA_FAILED;
	pt_walk(vma->start, vma->end, give_page, vma);
	return !(vma->flags & VMA_FAILED);
}

static bool vma_copy(struct space *to, struct vma *vma, uint64_t stack, uint64_t tls)
{
	struct copying copy = { .to = to, .vma = vma, .copied_to = copied_to(vma), .stack = ALIGN_DOWN(stack, LV_PAGE), .tls = ALIGN_DOWN(tls, LV_PAGE) };
	struct space *from;
	struct vma *made;

	if (vma->flags & VMA_NOT_IN_CHILD)
		return true;
	if (vma->flags & MAP_SHARED && (!vma->file || vma->flags & VMA_FAILED) && !become_file(vma))
		return false;
	from = space_use(to);
	made = vma_add(vma);
	space_use(from);
	if (!made)
		return false;
	if (vma->flags & VMA_WIPED) {
		made->faulted = 0;
		return true;
	}
	pt_walk(vma->start, vma->end, copy_entry, &copy);
	return !copy.failed;
}

struct space *space_fork(uint64_t stack, uint64_t tls)
{
	struct space *copy = page_free_bytes() < PAGES_KEPT * LV_PAGE ? NULL : space_new();

	if (!copy)
		return NULL;
	copy->top = space->top;
	copy->brk_start = space->brk_start;
	copy->brk = space->brk;
	for (struct vma *vma = mm_first(); vma; vma = mm_next(vma))
		if (!vma_copy(copy, vma, stack, tls)) {
			space_put(copy);
			tlb_flush();
			return NULL;
		}
	if (!patches_copy(copy)) {
		space_put(copy);
		copy = NULL;
	}
	tlb_flush();
	return copy;
}

uint64_t mm_shared_word(uaddr_t at)
{
	const struct vma *vma = mm_find(at);
	bool huge;
	const uint64_t *entry = vma && vma->flags & MAP_SHARED ? pt_find(at, &huge) : NULL;
	uint64_t mask = (entry && huge ? HUGE_PAGE : LV_PAGE) - 1;

	return entry && *entry & LV_PTE_P ? (*entry & LV_PTE_ADDR & ~mask) + (at & mask) : 0;
}

/* ---- memory of a process that does not run ---- */

/* Where in RAM the byte lies, brought in; NULL: nowhere, or it must not be written. */
static char *byte_at(uint64_t va, bool write)
{
	const uint64_t needed = LV_PTE_P | (write ? LV_PTE_W : 0);
	bool huge;
	const uint64_t *entry = mm_find(va) ? pt_find(va, &huge) : NULL;

	if (entry && *entry && !(*entry & LV_PTE_P)) /* PROT_NONE */
		return NULL;
	if ((!entry || (*entry & needed) != needed) && mm_fault(va, write ? FAULT_WRITE : 0))
		return NULL;
	entry = pt_find(va, &huge);
	if (!entry || (*entry & needed) != needed)
		return NULL;
	uint64_t mask = (huge ? HUGE_PAGE : LV_PAGE) - 1;

	return (char *)((*entry & LV_PTE_ADDR & ~mask) + (va & mask));
}

size_t space_read(struct space *other, uaddr_t from, void *to, size_t n)
{
	struct space *before = space_use(other);
	size_t done = 0, part;

	for (const char *bytes; done < n && (bytes = byte_at(from + done, false)); done += part) {
		part = MIN(n - done, LV_PAGE - (from + done) % LV_PAGE);
		memcpy((char *)to + done, bytes, part);
	}
	space_use(before);
	return done;
}

size_t space_write(struct space *other, uaddr_t to, const void *from, size_t n)
{
	struct space *before = space_use(other);
	size_t done = 0, part;

	for (char *bytes; done < n && (bytes = byte_at(to + done, true)); done += part) {
		part = MIN(n - done, LV_PAGE - (to + done) % LV_PAGE);
		memcpy(bytes, (const char *)from + done, part);
	}
	space_use(before);
	if (other == before) /* the processor may remember a page that was copied for this */
		tlb_flush();
	return done;
}
