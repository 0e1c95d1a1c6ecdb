/* SPDX-License-Identifier: Apache-2.0 */
/* RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK and RLIMIT_MEMLOCK. Programs that set them are few: what is there is counted when it is asked for. */
#include "libos/mm/space.h"
#include "libos/proc/proc.h"

#include <linux/capability.h>
#include <linux/resource.h>

static bool is_data(uint32_t prot, uint32_t flags)
{
	return prot & PROT_WRITE && !(flags & (MAP_SHARED | MAP_GROWSDOWN));
}

/* Bytes of the program's regions outside [start, end). */
static uint64_t used_outside(uint64_t start, uint64_t end, bool only_data)
{
	uint64_t sum = 0;

	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma)) {
		uint64_t from = MAX(vma->start, start), to = MIN(vma->end, end);

		if (vma->flags & VMA_YIELDS || (only_data && !is_data(vma->prot, vma->flags)))
			continue;
		sum += vma->end - vma->start - (from < to ? to - from : 0);
	}
	return sum;
}

static bool fits(int resource, uint64_t start, uint64_t end, uint64_t more, bool only_data)
{
	uint64_t limit = process_limit(resource);

	return limit == RLIM64_INFINITY || used_outside(start, end, only_data) + more <= limit;
}

bool space_may_hold(uint64_t start, uint64_t end, uint32_t prot, uint32_t flags)
{
	return fits(RLIMIT_AS, start, end, end - start, false) && (!is_data(prot, flags) || fits(RLIMIT_DATA, start, end, end - start, true));
}

bool space_may_grow(const struct vma *vma, uint64_t more)
{
	return fits(RLIMIT_AS, 0, 0, more, false) && (!is_data(vma->prot, vma->flags) || fits(RLIMIT_DATA, 0, 0, more, true));
}

bool space_may_reach(const struct vma *vma, uint64_t va)
{
	return !(vma->flags & MAP_GROWSDOWN) || vma->end - va <= process_limit(RLIMIT_STACK);
}

bool space_may_become(uint64_t start, uint64_t end, uint32_t prot)
{
	uint64_t more = 0;

	for (const struct vma *vma = vma_from(start); vma && vma->start < end; vma = mm_next(vma)) {
		if (is_data(prot, vma->flags) && !is_data(vma->prot, vma->flags))
			more += MIN(vma->end, end) - MAX(vma->start, start);
	}
	return !more || fits(RLIMIT_DATA, 0, 0, more, true);
}

int space_may_lock(uint64_t start, uint64_t end)
{
	uint64_t limit = process_limit(RLIMIT_MEMLOCK), sum = end - start;

	if (limit == RLIM64_INFINITY || capable(CAP_IPC_LOCK))
		return 0;
	if (!limit)
		return -EPERM;
	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma)) {
		uint64_t from = MAX(vma->start, start), to = MIN(vma->end, end);

		if (vma->flags & MAP_LOCKED)
			sum += vma->end - vma->start - (from < to ? to - from : 0);
	}
	return sum > ALIGN_DOWN(limit, LV_PAGE) ? -ENOMEM : 0;
}
