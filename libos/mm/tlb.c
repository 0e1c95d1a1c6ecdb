/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of the memory manager that only a guest can execute. */
#include "libos/mm/space.h"

#define FLUSH_PAGES 8 /* that are cheaper one by one, each some instructions at level 0 */

void tlb_flush(void)
{
	uint64_t rax = LV_FLUSH_MAGIC;

	__asm__ volatile("int3" : "+a"(rax) : : "memory", "cc");
}

/*
 * On page-table KVM a flush has the tables that were written since the last one compared with its own, and watched for writes again, so the next write to each is a fault. One of pages does
 * neither.
 */
void tlb_flush_pages(uint64_t start, uint64_t end)
{
	uint64_t rax = LV_PAGES_MAGIC;

	if (end - start > FLUSH_PAGES * LV_PAGE)
		tlb_flush();
	else
		__asm__ volatile("int3" : "+a"(rax), "+D"(start) : "S"(end) : "memory", "cc");
}

void tables_load(const uint64_t *root)
{
	uint64_t rax = LV_SWITCH_MAGIC;

	__asm__ volatile("int3" : "+a"(rax) : "D"(root) : "memory", "cc");
}
