/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that trampolines lie in (patch.c): where the program has nothing, and in reach of the jumps. */
#include "libos/core/libos.h"
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/patch.h"
#include "libos/mm/patches.h"

#define TABLE_FIRST PATCH_TRAMPOLINE /* the page begins with the addresses of libos' entries */
#define TABLE_GAP 0x40000ull

bool patch_yields(uint64_t va)
{
	struct vma *vma = mm_find(va);

	return vma && vma->flags & VMA_YIELDS;
}

uint8_t *patch_page_view(uint64_t va)
{
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	return (uint8_t *)(*entry & LV_PTE_ADDR);
}

/* Nothing of the program's is at va, or can ever be: between its space and the image. */
static bool place_allowed(uint64_t va)
{
	return va >= LV_WINDOW && va < LV_BASE ? va + LV_PAGE <= space_window_start() : space_allows(va, va + LV_PAGE);
}

bool patch_page_make(uint64_t va)
{
	struct vma model = { .start = va, .end = va + LV_PAGE, .prot = PROT_READ | PROT_EXEC,
	                     .flags = MAP_PRIVATE | MAP_ANONYMOUS | VMA_YIELDS, .name = "[lightvm]" };
	uint64_t *entry = pt_make(va), to[2] = { [PATCH_ENTRY_SYSCALL / 8] = (uint64_t)syscall_entry_direct, [PATCH_ENTRY_CPUID / 8] = (uint64_t)cpuid_entry };
	void *page = entry ? page_alloc_zeroed(0) : NULL;

	if (!page)
		return false;
	if (!vma_add(&model)) {
		page_free(page, 0);
		return false;
	}
	memcpy(page, to, sizeof(to));
	*entry = (uint64_t)page | pt_bits(model.prot);
	return true;
}

unsigned patch_displaced_size(const struct jump *jump)
{
	return jump->cpuid || !jump->displaced ? jump->displaced : PATCH_MOV;
}

unsigned patch_trampoline_size(const struct jump *jump)
{
	return PATCH_TRAMPOLINE + patch_displaced_size(jump);
}

bool patch_place_free(uint64_t va, unsigned size)
{
	uint64_t offset = va % LV_PAGE;

	if (offset < TABLE_FIRST || offset + size > LV_PAGE || !place_allowed(va - offset))
		return false;
	if (mm_find(va) && !patch_yields(va))
		return false;
	for (unsigned i = 0; i < jump_count; i++)
		if (jumps[i].to < va + size && va < jumps[i].to + patch_trampoline_size(&jumps[i]))
			return false;
	return true;
}

static bool reaches(uint64_t from, uint64_t to)
{
	int64_t distance = to - from, last = distance + LV_PAGE;

	return distance == (int32_t)distance && last == (int32_t)last;
}

/*
 * A page near to a site for the trampolines of many; 0: none. Not in a hole between the program's mappings, which it may
 * have made to find out who goes there; and where it costs few page tables: above its space, or below the program.
 */
static uint64_t table_make(uint64_t near)
{
	uint64_t low = space->count ? ALIGN_DOWN(mm_first()->start, HUGE_PAGE) : 0;
	const uint64_t places[] = { LV_WINDOW + TABLE_GAP, low - TABLE_GAP, space_find_near(near, 1ull << 30) };

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		for (uint64_t va = places[i]; va < places[i] + PATCH_TABLES * LV_PAGE; va += LV_PAGE)
			if (va && reaches(near, va) && place_allowed(va) && !mm_find(va) && patch_page_make(va))
				return va;
	return 0;
}

uint64_t patch_table_take(uint64_t from, unsigned size)
{
	for (unsigned i = 0; i < PATCH_TABLES; i++) {
		if (!tables[i])
			tables[i] = table_make(from);
		if (!tables[i] || !reaches(from, tables[i]))
			continue;
		for (uint64_t va = tables[i] + TABLE_FIRST; va < tables[i] + LV_PAGE; va += PATCH_TRAMPOLINE)
			if (patch_place_free(va, size))
				return va;
	}
	return 0;
}
