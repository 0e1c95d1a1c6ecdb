/* SPDX-License-Identifier: Apache-2.0 */
/* The one instruction of the memory manager that only a guest can execute. */
#include "libos/mm/space.h"

void tlb_flush(void)
{
	uint64_t rax = LV_FLUSH_MAGIC;

	__asm__ volatile("int3" : "+a"(rax) : : "memory", "cc");
}

void tables_load(const uint64_t *root)
{
	uint64_t rax = LV_SWITCH_MAGIC;

	__asm__ volatile("int3" : "+a"(rax) : "D"(root) : "memory", "cc");
}
