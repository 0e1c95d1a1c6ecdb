/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mem.h"

#include <errno.h>

static bool overlaps(const struct mem_range *range, gpa_t gpa, uint64_t len)
{
	return gpa < range->gpa + range->len && range->gpa < gpa + len;
}

/* Memory that grows at its end stays one range, so that buffers may cross the seam and the list stays short. */
static bool extend(struct mem *mem, gpa_t gpa, uint64_t len, const uint8_t *hva, bool writable)
{
	for (unsigned i = 0; i < mem->count; i++) {
		struct mem_range *range = &mem->range[i];

		if (range->gpa + range->len == gpa && range->hva + range->len == hva && range->writable == writable) {
			__atomic_store_n(&range->len, range->len + len, __ATOMIC_RELEASE);
			return true;
		}
	}
	return false;
}

int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, void *hva, bool writable)
{
	if (!len || !hva || gpa + len < gpa)
		return -EINVAL;
	for (unsigned i = 0; i < mem->count; i++)
		if (overlaps(&mem->range[i], gpa, len))
			return -EINVAL;
	if (extend(mem, gpa, len, hva, writable))
		return 0;
	if (mem->count == MEM_RANGES)
		return -ENOSPC;
	mem->range[mem->count] = (struct mem_range){ gpa, len, hva, writable };
	__atomic_store_n(&mem->count, mem->count + 1, __ATOMIC_RELEASE);
	return 0;
}

static uint8_t *translate(const struct mem *mem, gpa_t gpa, size_t len, bool write)
{
	unsigned count = __atomic_load_n(&mem->count, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < count; i++) {
		const struct mem_range *range = &mem->range[i];
		uint64_t size = __atomic_load_n(&range->len, __ATOMIC_ACQUIRE);
		uint64_t offset = gpa - range->gpa;

		/* Compared so that no sum can wrap: offset is huge when gpa lies below the range. */
		if (offset < size && len <= size - offset && (range->writable || !write))
			return range->hva + offset;
	}
	return NULL;
}

void *mem_at(const struct mem *mem, gpa_t gpa, size_t len)
{
	return translate(mem, gpa, len, true);
}

const void *mem_at_ro(const struct mem *mem, gpa_t gpa, size_t len)
{
	return translate(mem, gpa, len, false);
}
