/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: a tree by address, in which each is as deep as chance has it (a treap: Seidel and Aragon, "Randomized Search Trees", 1996), since a program may have 65,530 of them. Each
 * knows the largest gap between those below it, so that room is found without looking at all.
 */
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

/* ---- the tree ---- */

/* What is known of a region and all below follows from those right below it. */
static void update(struct vma *vma)
{
	const struct vma *left = vma->links.left, *right = vma->links.right;

	vma->links.low = left ? left->links.low : vma->start;
	vma->links.high = right ? right->links.high : vma->end;
	vma->links.gap = 0;
	if (left)
		vma->links.gap = MAX(left->links.gap, vma->start - left->links.high);
	if (right)
		vma->links.gap = MAX(vma->links.gap, MAX(right->links.gap, right->links.low - vma->end));
}

static void update_up(struct vma *vma)
{
	for (; vma; vma = vma->links.up)
		update(vma);
}

/* The link that leads to the region. */
static struct vma **link_to(const struct vma *vma)
{
	struct vma *up = vma->links.up;

	return !up ? &space->regions : up->links.left == vma ? &up->links.left : &up->links.right;
}

static void hang(struct vma **link, struct vma *up, struct vma *vma)
{
	*link = vma;
	if (vma)
		vma->links.up = up;
}

/* The region takes the place of the one it hangs on, which then hangs on it. */
static void rise(struct vma *vma)
{
	struct vma *down = vma->links.up;
	bool was_left = down->links.left == vma;

	hang(link_to(down), down->links.up, vma);
	if (was_left) {
		hang(&down->links.left, down, vma->links.right);
		hang(&vma->links.right, vma, down);
	} else {
		hang(&down->links.right, down, vma->links.left);
		hang(&vma->links.left, vma, down);
	}
	update(down);
	update(vma);
}

/* Of these numbers nothing is asked but that they have no order: xorshift (Marsaglia 2003). */
static uint32_t next_rank(void)
{
	static uint32_t rank = 2463534242u;

	rank ^= rank << 13;
	rank ^= rank >> 17;
	return rank ^= rank << 5;
}

static void insert(struct vma *vma)
{
	struct vma **link = &space->regions, *up = NULL;

	while (*link) {
		up = *link;
		link = vma->start < up->start ? &up->links.left : &up->links.right;
	}
	vma->links = (struct vma_links){ .rank = next_rank() };
	hang(link, up, vma);
	update_up(vma);
	while (vma->links.up && vma->links.up->links.rank < vma->links.rank)
		rise(vma);
	space->count++;
}

static void take_out(struct vma *vma)
{
	struct vma *left, *right, *up;

	while ((left = vma->links.left) && (right = vma->links.right))
		rise(left->links.rank > right->links.rank ? left : right);
	up = vma->links.up;
	hang(link_to(vma), up, left ? left : vma->links.right);
	update_up(up);
	space->count--;
}

struct vma *vma_from(uint64_t addr)
{
	struct vma *vma = space->regions, *found = NULL;

	while (vma) {
		if (vma->end > addr)
			found = vma;
		vma = vma->end > addr ? vma->links.left : vma->links.right;
	}
	return found;
}

struct vma *mm_find(uint64_t addr)
{
	struct vma *vma = space->last;

	if (vma && addr >= vma->start && addr < vma->end)
		return vma;
	vma = vma_from(addr);
	if (!vma || vma->start > addr)
		return NULL;
	return space->last = vma;
}

struct vma *mm_first(void)
{
	return vma_from(0);
}

struct vma *mm_next(const struct vma *vma)
{
	return vma_from(vma->end);
}

/* ---- regions ---- */

static void tell_file(const struct vma *vma, bool more)
{
	if (vma->file && vma->file->ops->regions_changed)
		vma->file->ops->regions_changed(vma->file, more);
}

struct vma *vma_add(const struct vma *model)
{
	struct vma *vma = kmalloc(sizeof(*vma));

	if (!vma)
		return NULL;
	*vma = *model;
	if (vma->file)
		file_get(vma->file);
	insert(vma);
	tell_file(vma, true);
	return vma;
}

void vma_remove(struct vma *vma)
{
	take_out(vma);
	if (space->last == vma)
		space->last = NULL;
	tell_file(vma, false);
	if (vma->file)
		file_put(vma->file);
	kfree(vma);
}

void vma_set_end(struct vma *vma, uint64_t end)
{
	vma->end = end;
	update_up(vma);
}

int vma_split(uint64_t addr)
{
	struct vma *low = mm_find(addr), high;

	if (!low || low->start == addr)
		return 0;
	high = *low;
	high.start = addr;
	high.offset += addr - low->start;
	vma_set_end(low, addr);
	if (vma_add(&high))
		return 0;
	vma_set_end(low, high.end);
	return -ENOMEM;
}

static bool alike(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->prot == b->prot && a->flags == b->flags && a->file == b->file && a->name == b->name &&
	       (!a->file || a->offset + (a->end - a->start) == b->offset);
}

static void absorb(struct vma *vma, struct vma *next)
{
	uint64_t end = next->end;

	vma->faulted += next->faulted;
	vma_remove(next);
	vma_set_end(vma, end);
}

void vma_join(uint64_t start, uint64_t end)
{
	struct vma *vma = vma_from(start ? start - 1 : 0), *next;

	while (vma && vma->end <= end && (next = mm_next(vma)))
		if (alike(vma, next))
			absorb(vma, next);
		else
			vma = next;
}

bool vma_free_range(uint64_t start, uint64_t end)
{
	for (const struct vma *vma = vma_from(start); vma && vma->start < end; vma = mm_next(vma))
		if (!(vma->flags & VMA_YIELDS))
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

struct wanted {
	uint64_t len, align;
};

/* The highest place in [low, high), which is free but for the regions below this one, and it; 0: none. */
static uint64_t find_below(const struct vma *vma, uint64_t low, uint64_t high, const struct wanted *want)
{
	uint64_t start;

	if (low >= high || high - low < want->len)
		return 0;
	if (!vma) {
		start = ALIGN_DOWN(high - want->len, want->align);
		return start >= low ? start : 0;
	}
	if (vma->links.gap < want->len && low + want->len > vma->links.low && vma->links.high + want->len > high)
		return 0;
	start = find_below(vma->links.right, MAX(low, vma->end), high, want);
	return start ? start : find_below(vma->links.left, low, MIN(high, vma->start), want);
}

/* The highest free range in [low, high). */
static uint64_t find_between(uint64_t low, uint64_t high, uint64_t len, uint64_t align)
{
	const struct wanted want = { .len = len, .align = align };

	return find_below(space->regions, low, high, &want);
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
