/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO's place in the program's address space: vdso.S is what lies there. */
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/vdso.h"

#include <asm/errno.h>
#include <linux/mman.h>

static_assert(offsetof(struct lv_device_page, tsc_mult) == VDSO_TSC_MULT && offsetof(struct lv_device_page, tsc_base) == VDSO_TSC_BASE, "clocks");
static_assert(offsetof(struct lv_device_page, clock_base_ns) == VDSO_BASE && offsetof(struct lv_device_page, clock_sequence) == VDSO_SEQUENCE, "clocks");
static_assert((int)LV_CLOCK_MONOTONIC == VDSO_MONOTONIC && (int)LV_CLOCK_REALTIME == VDSO_REALTIME && (int)LV_CLOCK_BOOTTIME == VDSO_BOOTTIME, "clocks");

extern char vdso_start[], vdso_end[];

static uint64_t vdso_size(void)
{
	return (uint64_t)vdso_end - (uint64_t)vdso_start;
}

static uint64_t map_page(struct file *file, uint64_t offset, bool for_write)
{
	return offset < vdso_size() ? (uint64_t)vdso_start + offset : 0;
}

static const struct file_ops vdso_ops = { .kind = "[vdso]", .map_page = map_page };

uint64_t mm_map_vdso(void)
{
	struct file *file = file_new(&vdso_ops, 0, NULL);
	int64_t at = file ? mm_map(0, vdso_size(), PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0, "[vdso]") : -ENOMEM;
	uint64_t *entry = at >= 0 ? pt_make(at) : NULL;

	if (file)
		file_put(file);
	if (at < 0)
		return 0;
	/* libos' own page, which is only read: a fault would make a copy. */
	if (entry)
		*entry = (uint64_t)vdso_start | (pt_bits(PROT_READ | PROT_EXEC) | PTE_BORROWED);
	return at;
}
