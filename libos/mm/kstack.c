/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel stacks of threads. Each is mapped in a slot of its own with a hole below it, so that one that overflows faults and
 * does not write into its neighbour. The first thread has the boot stack, so programs without threads need none of this.
 */
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"

#include <linux/mman.h>

#define PAGES (KSTACK_SIZE / LV_PAGE)
#define SLOT (KSTACK_SIZE + LV_PAGE) /* the hole is its first page */
#define KEEP 32 /* free ones that stay mapped; above, half of them go with one flush */

/* At the top of a free stack, which was written before. */
struct free_stack {
	struct free_stack *next;
};
static struct free_stack *kept;
static unsigned kept_count;
static uint64_t slot_count; /* that ever had a stack */
/* Free slots without a stack; the entry of a slot's first page above the hole holds the next one (never with the present bit). */
static uint64_t empty_slot;

static uint64_t *entry_of(uint64_t base)
{
	bool huge;

	return pt_find(base, &huge);
}

/* The lowest address of a stack that is not mapped; 0: out of memory. */
static uint64_t slot_take(void)
{
	uint64_t base = empty_slot;

	if (base) {
		empty_slot = *entry_of(base);
		return base;
	}
	base = LV_KSTACKS + slot_count * SLOT + LV_PAGE;
	for (uint64_t i = 0; i < PAGES; i++) /* tables for all of it, before anything is done that would have to be undone */
		if (!pt_make(base + i * LV_PAGE))
			return 0;
	slot_count++;
	return base;
}

static void slot_give(uint64_t base)
{
	*entry_of(base) = empty_slot;
	empty_slot = base;
}

uint64_t kstack_new(void)
{
	if (kept) {
		struct free_stack *stack = kept;

		kept = stack->next;
		kept_count--;
		return (uint64_t)(stack + 1);
	}
	uint64_t base = slot_take();
	char *page = base ? page_alloc(__builtin_ctzll(PAGES)) : NULL;

	if (!page) {
		if (base)
			slot_give(base);
		return 0;
	}
	for (uint64_t i = 0; i < PAGES; i++)
		*entry_of(base + i * LV_PAGE) = (uint64_t)(page + i * LV_PAGE) | pt_bits(PROT_READ | PROT_WRITE);
	return base + KSTACK_SIZE;
}

/* Half of those that are kept: out of the tables, out of the processor's memory of them, and only then free for others. */
static void kept_drop(void)
{
	void *page[KEEP / 2];
	unsigned n = 0;

	while (n < KEEP / 2) {
		uint64_t base = (uint64_t)(kept + 1) - KSTACK_SIZE;

		kept = kept->next;
		page[n++] = (void *)(*entry_of(base) & LV_PTE_ADDR);
		for (uint64_t i = 1; i < PAGES; i++)
			*entry_of(base + i * LV_PAGE) = 0;
		slot_give(base);
	}
	tlb_flush();
	for (unsigned i = 0; i < n; i++)
		page_free(page[i], __builtin_ctzll(PAGES));
	kept_count -= n;
}

void kstack_free(uint64_t top)
{
	struct free_stack *stack = (struct free_stack *)top - 1;

	stack->next = kept;
	kept = stack;
	if (++kept_count > KEEP)
		kept_drop();
}
