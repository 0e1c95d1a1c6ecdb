/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All tables are identity-mapped RAM. Entries always carry Accessed and, when writable, Dirty: page-table KVM then maps
 * neighbours ahead, and no processor has to write them back.
 */
#include "libos/mm/pagetable.h"

#include "libos/mm/space.h"

#include <linux/mman.h>

#define ENTRIES 512
#define TABLE_BITS (LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A)

enum { PT = 0, PD = 1, PDPT = 2, PML4 = 3 };

static unsigned index_of(uint64_t va, unsigned level)
{
	return va >> (12 + 9 * level) & (ENTRIES - 1);
}

static uint64_t size_of(unsigned level)
{
	return LV_PAGE << (9 * level);
}

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(entry & LV_PTE_ADDR);
}

uint64_t pt_bits(uint32_t prot)
{
	uint64_t bits = LV_PTE_U | LV_PTE_A;

	if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
		bits |= LV_PTE_P;
	if (prot & PROT_WRITE)
		bits |= LV_PTE_W | LV_PTE_D;
	if (!(prot & PROT_EXEC))
		bits |= LV_PTE_NX;
	return bits;
}

uint64_t *pt_find(uint64_t va, bool *huge)
{
	uint64_t *table = space->root;

	*huge = false;
	for (unsigned level = PML4; level > PT; level--) {
		uint64_t entry = table[index_of(va, level)];

		if (entry == 0)
			return NULL;
		if (level == PD && entry & LV_PTE_PS) {
			*huge = true;
			return &table[index_of(va, level)];
		}
		table = table_of(entry);
	}
	return &table[index_of(va, PT)];
}

/* The page directory's entry for va. */
static uint64_t *pd_entry(uint64_t va, bool make)
{
	uint64_t *table = space->root;

	for (unsigned level = PML4; level > PD; level--) {
		uint64_t *entry = &table[index_of(va, level)];

		if (*entry == 0) {
			void *page = make ? page_alloc_zeroed(0) : NULL;

			if (!page)
				return NULL;
			*entry = (uint64_t)page | TABLE_BITS;
		}
		table = table_of(*entry);
	}
	return &table[index_of(va, PD)];
}

static bool split(uint64_t *entry)
{
	uint64_t *table = page_alloc(0);
	uint64_t part = *entry & ~LV_PTE_PS;

	if (!table)
		return false;
	for (unsigned i = 0; i < ENTRIES; i++)
		table[i] = part + i * LV_PAGE;
	*entry = (uint64_t)table | TABLE_BITS;
	return true;
}

bool pt_split(uint64_t va)
{
	uint64_t *entry = pd_entry(va, false);

	if (!entry || !(*entry & LV_PTE_PS) || va % HUGE_PAGE == 0)
		return true;
	return split(entry);
}

uint64_t *pt_make(uint64_t va)
{
	uint64_t *entry = pd_entry(va, true);

	if (!entry)
		return NULL;
	if (*entry & LV_PTE_PS && !split(entry))
		return NULL;
	if (*entry == 0) {
		void *page = page_alloc_zeroed(0);

		if (!page)
			return NULL;
		*entry = (uint64_t)page | TABLE_BITS;
	}
	return &table_of(*entry)[index_of(va, PT)];
}

uint64_t *pt_make_huge(uint64_t va)
{
	uint64_t *entry = pd_entry(va, true);

	return entry && *entry == 0 ? entry : NULL;
}

/* The end of the part of [va, end) that one entry of this level covers. */
static uint64_t step(uint64_t va, uint64_t end, unsigned level)
{
	uint64_t next = ALIGN_DOWN(va, size_of(level)) + size_of(level);

	return MIN(next, end);
}

static void walk(uint64_t *table, unsigned level, uint64_t start, uint64_t end, pt_visit *visit, void *context)
{
	for (uint64_t va = start, next; va < end; va = next) {
		uint64_t *entry = &table[index_of(va, level)];

		next = step(va, end, level);
		if (*entry == 0)
			continue;
		if (level == PT || (level == PD && *entry & LV_PTE_PS))
			visit(context, va, entry, size_of(level));
		else
			walk(table_of(*entry), level - 1, va, next, visit, context);
	}
}

bool pt_walk(uint64_t start, uint64_t end, pt_visit *visit, void *context)
{
	if (!pt_split(start) || !pt_split(end))
		return false;
	walk(space->root, PML4, start, end, visit, context);
	return true;
}

static void clear_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	if (*entry & LV_PTE_P)
		*(bool *)context = true;
	if (!(*entry & PTE_BORROWED))
		page_free_run((void *)(*entry & LV_PTE_ADDR), size / LV_PAGE);
	*entry = 0;
}

bool pt_clear(uint64_t start, uint64_t end)
{
	bool present = false;

	walk(space->root, PML4, start, end, clear_entry, &present);
	return present;
}

static bool is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		if (table[i])
			return false;
	return true;
}

static bool trim(uint64_t *table, unsigned level, uint64_t start, uint64_t end)
{
	bool freed = false;

	for (uint64_t va = start, next; va < end; va = next) {
		uint64_t *entry = &table[index_of(va, level)], *below = table_of(*entry);

		next = step(va, end, level);
		if (*entry == 0 || (level == PD && *entry & LV_PTE_PS))
			continue;
		if (level > PD)
			freed |= trim(below, level - 1, va, next);
		/* The tables of the window, and the first two of the program, are the monitor's. */
		if ((uint64_t)below < device_page->heap_start || !is_empty(below))
			continue;
		*entry = 0;
		page_free(below, 0);
		freed = true;
	}
	return freed;
}

bool pt_trim(uint64_t start, uint64_t end)
{
	return trim(space->root, PML4, start, end);
}
