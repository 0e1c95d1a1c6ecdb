/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How pages get into the program's tables. A fault costs a round trip to the host (80 us on page-table KVM), an entry
 * for fresh memory that is never touched costs nothing: so every fault brings in a whole neighbourhood, and mappings
 * get the entries that they will need when they are made.
 */
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"

#include <asm-generic/siginfo.h>
#include <linux/elf.h>

#define FAULT_EXEC 16u
#define LARGE_AFTER (512ull << 10) /* a region that brought in so much gets 2 MiB pages */
#define FIRST_PAGES (2 * CHUNK)    /* of a new anonymous region, at once */
#define COPY_FIRST (256ull << 10)  /* private data segments up to this size are copied at once */
#define COPY_AROUND (128ull << 10) /* of larger ones, around what is touched */
#define COPY_READ (4ull << 20)     /* of still larger ones, around what is written only */
#define FILE_FIRST (8ull << 20)    /* of a file's pages that are in place already */
#define FILE_AROUND (256ull << 10)
#define SHARED_AROUND (256ull << 10) /* of a shared file's pages that are there already */
#define OWN_AROUND (32ull << 10)   /* of pages that were shared by a fork */
#define LAST_PAGES (256ull << 10)

static bool in_image(uint64_t page)
{
	return page >= LV_WINDOW && page < LV_BASE;
}

/* ---- anonymous memory ---- */

/* Memory is getting scarce: bring in only what is needed. */
static bool scarce(void)
{
	return page_free_bytes() < page_total_bytes() / 8;
}

/* The last pages are for libos itself: it must be able to say that memory is used up, and to finish what it does. */
static bool exhausted(void)
{
	return page_free_bytes() < MIN(page_total_bytes() / 64, LAST_PAGES);
}

static bool map_run(uint64_t *entry, unsigned count, uint64_t bits, bool soon)
{
	char *page = soon ? page_alloc_run_soon(count) : page_alloc_run_zeroed(count);

	if (!page)
		return false;
	for (unsigned i = 0; i < count; i++)
		entry[i] = (uint64_t)page + i * LV_PAGE + bits;
	return true;
}

static unsigned run_length(const uint64_t *entry, unsigned most)
{
	unsigned count = 0;

	while (count < most && entry[count] == 0)
		count++;
	return count;
}

/*
 * Fresh pages for what is not mapped in the range, which will all be written soon or perhaps never; false: out of
 * memory before all of it was mapped.
 */
static bool map_anonymous(struct vma *vma, uint64_t start, uint64_t end, bool soon)
{
	uint64_t bits = pt_bits(vma->prot), va = start;

	while (va < end) {
		uint64_t *entry = pt_make(va);
		unsigned most = MIN((ALIGN_DOWN(va, HUGE_PAGE) + HUGE_PAGE - va) / LV_PAGE, (end - va) / LV_PAGE), count;

		if (!entry)
			return false;
		count = run_length(entry, most);
		if (count && !map_run(entry, count, bits, soon))
			return false;
		vma->faulted += count * LV_PAGE;
		va += MAX(count, 1u) * LV_PAGE;
	}
	return true;
}

static bool map_large(struct vma *vma, uint64_t addr)
{
	uint64_t start = ALIGN_DOWN(addr, HUGE_PAGE), *entry;
	void *page;

	if (start < vma->start || start + HUGE_PAGE > vma->end || scarce())
		return false;
	entry = pt_make_huge(start);
	page = entry ? page_alloc_zeroed(9) : NULL;
	if (!page)
		return false;
	*entry = (uint64_t)page | pt_bits(vma->prot) | LV_PTE_PS;
	vma->faulted += HUGE_PAGE;
	return true;
}

static int fault_anonymous(struct vma *vma, uint64_t addr)
{
	bool grows = vma->faulted >= LARGE_AFTER / 2;
	uint64_t size = grows ? 4 * CHUNK : CHUNK;
	uint64_t start = MAX(ALIGN_DOWN(addr, size), vma->start), end = MIN(ALIGN_DOWN(addr, size) + size, vma->end);
	uint64_t page = ALIGN_DOWN(addr, LV_PAGE);

	if (vma->faulted >= LARGE_AFTER && map_large(vma, addr))
		return 0;
	if (!scarce() && map_anonymous(vma, start, end, grows))
		return 0;
	return !exhausted() && map_anonymous(vma, page, page + LV_PAGE, false) ? 0 : -ENOMEM;
}

/* ---- files ---- */

/* Is the page before mapped (or, copied: the program's own), too? Then the region is being gone through. */
static bool goes_on(const struct vma *vma, uint64_t start, bool copied)
{
	bool huge;
	const uint64_t *entry = start > vma->start ? pt_find(start - LV_PAGE, &huge) : NULL;

	return entry && *entry && !(copied && *entry & PTE_BORROWED);
}

static uint64_t file_page(const struct vma *vma, uint64_t va, bool for_write)
{
	return vma->file->ops->map_page(vma->file, vma->offset + (va - vma->start), for_write);
}

/* Gives the entry a page of its own with these contents. */
static int own_copy(struct vma *vma, uint64_t *entry, uint64_t from)
{
	void *page = exhausted() ? NULL : page_alloc(0);

	if (!page)
		return -ENOMEM;
	memcpy(page, (const void *)from, LV_PAGE);
	*entry = (uint64_t)page | pt_bits(vma->prot);
	vma->faulted += LV_PAGE;
	return 0;
}

static void map_in_place(struct vma *vma, uint64_t *entry, uint64_t page)
{
	*entry = page | (pt_bits(vma->prot) & ~(LV_PTE_W | LV_PTE_D)) | PTE_BORROWED;
}

/* Entries in [start, end), all in one table, that would be copied from pages of the image that lie in a row: how many from the first on. */
static unsigned copy_run(const struct vma *vma, const uint64_t *entry, uint64_t start, uint64_t end, uint64_t *from)
{
	unsigned count = 0;

	for (uint64_t va = start; va < end; va += LV_PAGE, count++) {
		uint64_t old = entry[count], page = old ? old & LV_PTE_ADDR : file_page(vma, va, false);

		if ((old && !(old & PTE_BORROWED)) || !in_image(page) || (count && page != *from + count * LV_PAGE))
			break;
		if (count == 0)
			*from = page;
	}
	return count;
}

/* The program's own copies of the pages of [start, end) that lie in the image and are not copied yet. */
static bool copy_pages(struct vma *vma, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; va < end;) {
		uint64_t *entry = pt_make(va), from = 0, stop = MIN(end, ALIGN_DOWN(va, HUGE_PAGE) + HUGE_PAGE);
		unsigned count = entry ? copy_run(vma, entry, va, stop, &from) : 0;
		char *page = count ? page_alloc_run(count) : NULL;

		if (!entry || (count && !page))
			return false;
		if (count)
			page_fetch(page, (const void *)from, count);
		for (unsigned i = 0; i < count; i++)
			entry[i] = ((uint64_t)page + i * LV_PAGE) | pt_bits(vma->prot);
		va += MAX(count, 1u) * LV_PAGE;
	}
	return true;
}

/*
 * The neighbours of a shared page that the file has in RAM, with all rights of the region: nobody counts their writes.
 * (Pages of the image come by map_image_pages, and the program's own are made one by one.)
 */
static void map_present_pages(struct vma *vma, uint64_t start, uint64_t end, bool soon)
{
	uint64_t *entry = NULL, first = 0, count = 0; /* a run of pages that lie in a row, to be written soon */

	for (uint64_t va = start; va < end; va += LV_PAGE) {
		uint64_t page = vma->file->ops->present_page(vma->file, vma->offset + (va - vma->start));

		entry = !page ? NULL : entry && va % HUGE_PAGE ? entry + 1 : pt_make(va);
		if (page && !entry)
			break;
		if (!page || *entry != 0)
			continue;
		*entry = page | pt_bits(vma->prot) | PTE_BORROWED;
		if (!soon)
			continue;
		if (count && page != first + count * LV_PAGE) {
			page_fetch((void *)first, NULL, count);
			count = 0;
		}
		first = count++ ? first : page;
	}
	if (count)
		page_fetch((void *)first, NULL, count);
}

static int fault_shared(struct vma *vma, uint64_t va, bool write)
{
	uint64_t page = file_page(vma, va, write), *entry;

	if (!page)
		return -BUS_ADRERR;
	entry = pt_make(va);
	if (!entry)
		return -ENOMEM;
	if (write)
		*entry = page | pt_bits(vma->prot) | PTE_BORROWED;
	else
		map_in_place(vma, entry, page);
	if (vma->file->ops->present_page) {
		uint64_t start = MAX(ALIGN_DOWN(va, SHARED_AROUND), vma->start), stop = MIN(ALIGN_DOWN(va, SHARED_AROUND) + SHARED_AROUND, vma->end);

		map_present_pages(vma, start, stop, write && goes_on(vma, start, false));
	}
	return 0;
}

/* Entries for the pages of [start, end) that lie in the image and are not mapped yet. */
static void map_image_pages(struct vma *vma, uint64_t start, uint64_t end)
{
	uint64_t *entry = NULL;

	for (uint64_t va = start; va < end; va += LV_PAGE) {
		uint64_t page = file_page(vma, va, false);

		if (!page)
			return;
		if (!in_image(page)) {
			entry = NULL;
			continue;
		}
		entry = entry && va % HUGE_PAGE ? entry + 1 : pt_make(va);
		if (!entry)
			return;
		if (*entry == 0)
			map_in_place(vma, entry, page);
	}
}

/* Larger pieces where the region is being gone through: an exit for each is what this costs most. */
static bool copy_around(struct vma *vma, uint64_t va)
{
	uint64_t start = MAX(ALIGN_DOWN(va, COPY_AROUND), vma->start), end = ALIGN_DOWN(va, COPY_AROUND) + COPY_AROUND * (goes_on(vma, start, true) ? 4 : 1);

	end = MIN(end, vma->end);
	return !scarce() && copy_pages(vma, start, end);
}

/*
 * A data segment: what is read there is mostly written soon (relocations, counts of references). Were it mapped in place until then, page-table KVM would keep an entry for
 * each page that it has to be told to forget, or takes a fault for.
 */
static bool is_data(const struct vma *vma)
{
	return vma->prot & PROT_WRITE && vma->end - vma->start <= COPY_READ;
}

/* A write to what was mapped in place: its neighbours will be written, too. */
static int fault_copy(struct vma *vma, uint64_t va, uint64_t *entry)
{
	if (!in_image(*entry & LV_PTE_ADDR) || !copy_around(vma, va))
		return *entry & PTE_BORROWED ? own_copy(vma, entry, *entry & LV_PTE_ADDR) : 0;
	/* No flush: an old entry of a neighbour shows the same bytes, and does not let them be written. */
	return 0;
}

static int fault_private(struct vma *vma, uint64_t va, bool write)
{
	uint64_t page = file_page(vma, va, false), *entry = pt_make(va);

	if (!entry)
		return -ENOMEM;
	if (*entry)
		return fault_copy(vma, va, entry);
	if (!page)
		return -BUS_ADRERR;
	if (in_image(page) && is_data(vma) && (copy_around(vma, va) || *entry)) /* memory may have sufficed for this one */
		return 0;
	if (write || !in_image(page))
		return own_copy(vma, entry, page);
	map_image_pages(vma, MAX(ALIGN_DOWN(va, FILE_AROUND), vma->start), MIN(ALIGN_DOWN(va, FILE_AROUND) + FILE_AROUND, vma->end));
	return 0;
}

/* ---- pages that others may have, too, since a fork ---- */

/* The page becomes the program's own, to be written. */
static int own_shared(const struct vma *vma, uint64_t *entry)
{
	void *page = (void *)(*entry & LV_PTE_ADDR);

	if (page_is_shared(page)) {
		void *copy = exhausted() ? NULL : page_alloc(0);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, page, LV_PAGE);
		page_free(page, 0);
		page = copy;
	}
	*entry = (uint64_t)page | pt_bits(vma->prot);
	return 0;
}

/* With its neighbours, which whoever goes on after a fork will write soon. No flush: as in fault_copy(). */
static int fault_own(struct vma *vma, uint64_t va)
{
	uint64_t *entry = pt_make(va), start = MAX(ALIGN_DOWN(va, OWN_AROUND), vma->start), end = MIN(ALIGN_DOWN(va, OWN_AROUND) + OWN_AROUND, vma->end);
	int err = entry ? own_shared(vma, entry) : -ENOMEM;

	if (err || scarce())
		return err;
	entry -= (va - start) / LV_PAGE;
	for (; start < end; start += LV_PAGE, entry++)
		if (*entry & PTE_SHARED && *entry & LV_PTE_P && own_shared(vma, entry))
			break;
	return 0;
}

/* ---- the fault handler ---- */

static bool allowed(const struct vma *vma, uint64_t error)
{
	if (error & FAULT_WRITE)
		return vma->prot & PROT_WRITE;
	if (error & FAULT_EXEC)
		return vma->prot & PROT_EXEC;
	return vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* The tables already allow it: the processor had an old entry, which the fault itself dropped. */
static bool spurious(const uint64_t *entry, uint64_t error)
{
	if (!entry || !(*entry & LV_PTE_P))
		return false;
	if (error & FAULT_WRITE && !(*entry & LV_PTE_W))
		return false;
	return !(error & FAULT_EXEC) || !(*entry & LV_PTE_NX);
}

static bool is_fetched(const struct vma *vma)
{
	return vma->file && vma->file->ops->fetch_page;
}

/* A page of a file that a server may have to bring, in the middle of a fault: nobody else runs meanwhile. */
static int fetch_here(struct vma *vma, uint64_t va)
{
	if (!is_fetched(vma))
		return 0;
	fs_links_stay(true);
	int err = vma->file->ops->fetch_page(vma->file, vma->offset + (va - vma->start));
	fs_links_stay(false);
	return err;
}

void mm_fault_ahead(uint64_t addr, uint64_t error)
{
	const struct vma *vma = mm_find(addr);
	if (!vma || !is_fetched(vma) || !allowed(vma, error))
		return;
	bool huge;
	const uint64_t *entry = pt_find(ALIGN_DOWN(addr, LV_PAGE), &huge);
	if (spurious(entry, error) || (error & FAULT_WRITE && entry && *entry & PTE_SHARED)) /* nothing of the file's is wanted */
		return;
	struct file *file = vma->file;
	uint64_t offset = vma->offset + (ALIGN_DOWN(addr, LV_PAGE) - vma->start);
	file_get(file); /* others may unmap it */
	file->ops->fetch_page(file, offset);
	file_put(file);
}

static int bring_in(struct vma *vma, uint64_t addr, bool own, bool new, bool write)
{
	uint64_t va = ALIGN_DOWN(addr, LV_PAGE);

	if (own)
		return fault_own(vma, va);
	if (!vma->file)
		return new && !space_may_reach(vma, va) ? SEGV_MAPERR : fault_anonymous(vma, addr);
	return vma->flags & MAP_SHARED ? fault_shared(vma, va, write) : fault_private(vma, va, write);
}

/* touched: by the program; the last pages are there for that. */
static int fault(uint64_t addr, uint64_t error, bool touched)
{
	static uint64_t last_spurious;
	struct vma *vma = mm_find(addr);
	uint64_t va = ALIGN_DOWN(addr, LV_PAGE), *entry;
	bool write = error & FAULT_WRITE, huge;

	if (!vma)
		return SEGV_MAPERR;
	if (!allowed(vma, error))
		return SEGV_ACCERR;
	entry = pt_find(va, &huge);
	if (spurious(entry, error)) {
		if (last_spurious == addr)
			tlb_flush();
		last_spurious = addr;
		return 0;
	}
	bool own = write && entry && *entry & PTE_SHARED, new = !entry || !*entry;
	if (vma->file && !own && fetch_here(vma, va) < 0)
		return -BUS_ADRERR;
	page_last_too = touched;
	int code = bring_in(vma, addr, own, new, write);
	page_last_too = false;
	return code;
}

int mm_fault(uint64_t addr, uint64_t error)
{
	return fault(addr, error, true);
}

/* ---- ahead of faults ---- */

static void populate_anonymous(struct vma *vma, uint64_t start, uint64_t end)
{
	if (!(vma->prot & PROT_WRITE) || scarce())
		return;
	if (end - start > FIRST_PAGES) {
		if (vma->flags & (MAP_STACK | MAP_GROWSDOWN))
			start = end - CHUNK;
		else
			end = start + FIRST_PAGES;
	}
	map_anonymous(vma, start, end, false);
}

/*
 * A dynamic linker maps a whole library by the rights of its first segment, and the others over it. What it will replace
 * need not be mapped now, and flushed from the TLB then: the end of the first segment, if this looks like a library.
 */
static uint64_t first_segment(const struct vma *vma, uint64_t end)
{
	uint64_t page = vma->offset == 0 && vma->prot == PROT_READ ? file_page(vma, vma->start, false) : 0;
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)page;
	const Elf64_Phdr *segment = (const Elf64_Phdr *)(header + 1);

	if (!page || !in_image(page) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phoff != sizeof(*header))
		return end;
	for (unsigned i = 0; i < MIN(header->e_phnum, 32); i++)
		if (segment[i].p_type == PT_LOAD && segment[i].p_filesz < end - vma->start)
			return segment[i].p_offset == 0 ? vma->start + ALIGN_UP(segment[i].p_filesz, LV_PAGE) : end;
	return end;
}

void vma_populate_first(struct vma *vma, uint64_t start, uint64_t end)
{
	if (!(vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
		return;
	if (!vma->file)
		populate_anonymous(vma, start, end);
	else if (vma->flags & MAP_SHARED)
		return;
	else if (vma->prot & PROT_WRITE && end - start <= COPY_FIRST && !scarce())
		copy_pages(vma, start, end);
	else if (!is_data(vma))
		map_image_pages(vma, start, MIN(first_segment(vma, end), start + FILE_FIRST));
}

int vma_populate(struct vma *vma, uint64_t start, uint64_t end)
{
	uint64_t error = vma->prot & PROT_WRITE ? FAULT_WRITE : 0;

	if (!(vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
		return 0;
	for (uint64_t va = start; va < end; va += LV_PAGE) {
		bool huge;
		uint64_t *entry = pt_find(va, &huge);
		int code = entry && *entry ? 0 : fault(va, error, false);

		if (code)
			return code == -ENOMEM ? -ENOMEM : -EFAULT;
	}
	return 0;
}

void vma_copy_ahead(uint64_t start, uint64_t end)
{
	for (; start < end && !scarce(); start += LV_PAGE)
		if (!vma_own_page(start))
			return;
}

void *vma_own_page(uint64_t va)
{
	struct vma *vma = mm_find(va);
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	if (vma && huge && *entry & PTE_SHARED) {
		entry = pt_make(va);
		huge = !entry;
	}
	if (!vma || huge)
		return NULL;
	if (!(entry && *entry)) {
		if (fetch_here(vma, ALIGN_DOWN(va, LV_PAGE)) < 0)
			return NULL;
		if (vma->file ? fault_private(vma, ALIGN_DOWN(va, LV_PAGE), true) : fault_anonymous(vma, va))
			return NULL;
		entry = pt_find(va, &huge);
	}
	if (*entry & PTE_BORROWED && own_copy(vma, entry, *entry & LV_PTE_ADDR))
		return NULL;
	if (*entry & PTE_SHARED && own_shared(vma, entry))
		return NULL;
	return (void *)((*entry & LV_PTE_ADDR) + va % LV_PAGE);
}
