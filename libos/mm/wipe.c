/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MADV_WIPEONFORK: memory that a copy of the process must not have, such as the state of a random generator. Here processes are not copied, but VMs are. A VM that is
 * restored, alone, keeps it, as a parent does.
 */
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"

static void wipe_here(void)
{
	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma)) {
		int err = vma->flags & VMA_WIPED ? space_drop(vma->start, vma->end, false) : 0;

		ASSERT(!err); /* no large page reaches over its ends */
	}
}

static void wipe(void)
{
	struct space *before = space;

	if (!(device_page->restored & LV_RESTORED_CLONE))
		return;
	for (struct space *each = spaces; each; each = each->next) {
		space_use(each);
		wipe_here();
	}
	space_use(before);
}

static bool all_own(uint64_t start, uint64_t end)
{
	for (const struct vma *vma = vma_from(start); vma && vma->start < end; vma = mm_next(vma))
		if (vma->file || vma->flags & MAP_SHARED)
			return false;
	return true;
}

int mm_wipe_in_clones(uint64_t start, uint64_t end, bool on)
{
	static struct generation_hook generation;

	if (on && !all_own(start, end))
		return -EINVAL;
	if (on && (!pt_split(start) || !pt_split(end)))
		return -ENOMEM;
	if (on && !generation.changed) {
		generation.changed = wipe;
		generation_add(&generation);
	}
	return mm_mark(start, end, VMA_WIPED, on);
}
