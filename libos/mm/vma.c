/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: an array of pointers, sorted by address. Programs have tens to hundreds, so inserting by moving is cheap. */
#include "libos/mm/space.h"

static struct space first_space = { .refs = 1, .root = (uint64_t *)LV_PML4 };
struct space *space = &first_space, *spaces = &first_space;

void space_list(struct space *new)
{
	new->next = spaces;
	spaces = new;
}

void space_unlist(struct space *old)
{
	struct space **at = &spaces;

	while (*at != old)
		at = &(*at)->next;
	*at = old->next;
}

struct space *space_get(struct space *of)
{
	of->refs++;
	return of;
}

struct space *space_current(void)
{
	return space;
}

int vma_index(uint64_t addr)
{
	int low = 0, high = space->count;

	while (low < high) {
		int middle = (low + high) / 2;

		if (space->vma[middle]->end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct vma *mm_find(uint64_t addr)
{
	struct vma *vma = space->last;
	int index;

	if (vma && addr >= vma->start && addr < vma->end)
		return vma;
	index = vma_index(addr);
	if (index == space->count || space->vma[index]->start > addr)
		return NULL;
	return space->last = space->vma[index];
}

struct vma *mm_first(void)
{
	return space->count ? space->vma[0] : NULL;
}

struct vma *mm_next(struct vma *vma)
{
	int index = vma_index(vma->end);

	return index < space->count ? space->vma[index] : NULL;
}

static bool make_room(void)
{
	struct vma **bigger;

	if (space->count < space->capacity)
		return true;
	bigger = krealloc(space->vma, (space->capacity ? space->capacity * 2 : 32) * sizeof(*bigger));
	if (!bigger)
		return false;
	space->capacity = space->capacity ? space->capacity * 2 : 32;
	space->vma = bigger;
	return true;
}

static void insert_at(int index, struct vma *vma)
{
	memmove(space->vma + index + 1, space->vma + index, (space->count - index) * sizeof(*space->vma));
	space->vma[index] = vma;
	space->count++;
}

struct vma *vma_add(const struct vma *model)
{
	struct vma *vma;

	if (!make_room())
		return NULL;
	vma = kmalloc(sizeof(*vma));
	if (!vma)
		return NULL;
	*vma = *model;
	if (vma->file)
		file_get(vma->file);
	insert_at(vma_index(vma->start), vma);
	return vma;
}

void vma_remove(int index)
{
	struct vma *vma = space->vma[index];

	space->count--;
	memmove(space->vma + index, space->vma + index + 1, (space->count - index) * sizeof(*space->vma));
	if (space->last == vma)
		space->last = NULL;
	if (vma->file)
		file_put(vma->file);
	kfree(vma);
}

int vma_split(uint64_t addr)
{
	struct vma *low = mm_find(addr), high;

	if (!low || low->start == addr)
		return 0;
	high = *low;
	high.start = addr;
	high.offset += addr - low->start;
	low->end = addr;
	if (vma_add(&high))
		return 0;
	low->end = high.end;
	return -ENOMEM;
}

static bool alike(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->prot == b->prot && a->flags == b->flags && a->file == b->file && a->name == b->name &&
	       (!a->file || a->offset + (a->end - a->start) == b->offset);
}

static void absorb(int index)
{
	struct vma *vma = space->vma[index], *next = space->vma[index + 1];

	vma->end = next->end;
	vma->faulted += next->faulted;
	vma_remove(index + 1);
}

struct vma *vma_join(int index)
{
	if (index + 1 < space->count && alike(space->vma[index], space->vma[index + 1]))
		absorb(index);
	if (index > 0 && alike(space->vma[index - 1], space->vma[index]))
		absorb(--index);
	return space->vma[index];
}

bool vma_free_range(uint64_t start, uint64_t end)
{
	for (int i = vma_index(start); i < space->count && space->vma[i]->start < end; i++)
		if (!(space->vma[i]->flags & VMA_YIELDS))
			return false;
	return true;
}

static bool overlap(uint64_t start, uint64_t end, uint64_t low, uint64_t high)
{
	return start < high && low < end;
}

bool space_allows(uint64_t start, uint64_t end)
{
	return start >= SPACE_LOW && end <= SPACE_END && start <= end && !overlap(start, end, LV_WINDOW, LV_WINDOW_END);
}

/* The highest free range in [low, high). */
static uint64_t find_between(uint64_t low, uint64_t high, uint64_t len, uint64_t align)
{
	int index = vma_index(high - 1);

	/* Regions below index end at or below high - 1; the one at index may reach into the range. */
	if (index < space->count && space->vma[index]->start < high)
		high = space->vma[index]->start;
	for (;;) {
		uint64_t below = index > 0 ? MAX(space->vma[index - 1]->end, low) : low;

		if (high >= below && high - below >= len) {
			uint64_t start = ALIGN_DOWN(high - len, align);

			if (start >= below)
				return start;
		}
		if (index == 0 || below == low)
			return 0;
		high = space->vma[--index]->start;
	}
}

uint64_t space_find(uint64_t len, uint64_t align)
{
	const struct { uint64_t low, high; } areas[] = {
		{ SPACE_FIND_LOW, space->top },
		{ SPACE_FIND_LOW, SPACE_TOP },
		{ LV_WINDOW_END, SPACE_END },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		uint64_t start = find_between(areas[i].low, areas[i].high, len, align);

		if (start)
			return start;
	}
	return 0;
}

uint64_t space_find_low(uint64_t len)
{
	return find_between(SPACE_31_END / 2, SPACE_31_END, len, LV_PAGE);
}

uint64_t space_find_near(uint64_t addr, uint64_t distance)
{
	uint64_t low = addr - MIN(addr - SPACE_LOW, distance), high = addr + distance;

	if (addr < LV_WINDOW)
		return find_between(low, MIN(high, LV_WINDOW), LV_PAGE, LV_PAGE);
	return find_between(MAX(low, LV_WINDOW_END), MIN(high, SPACE_END), LV_PAGE, LV_PAGE);
}
