/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID, where the program comes by a jump (mm/patch_cpuid.c): from the monitor's table, which was asked in a VM. */
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/proc/proc.h"

static void ask(struct lv_cpuid_leaf *leaf)
{
	__asm__ volatile("cpuid" : "=a"(leaf->eax), "=b"(leaf->ebx), "=c"(leaf->ecx), "=d"(leaf->edx) : "a"(leaf->function), "c"(leaf->index));
}

static const volatile struct lv_cpuid_leaf *find(uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < MIN(shared_page->cpuid_leaves, (uint32_t)LV_CPUID_LEAVES); i++) {
		const volatile struct lv_cpuid_leaf *leaf = &shared_page->cpuid[i];

		if (leaf->function == function && (leaf->index == index || leaf->index == LV_CPUID_ANY))
			return leaf;
	}
	return NULL;
}

void cpuid_dispatch(struct regs *regs)
{
	struct lv_cpuid_leaf answer = { .function = regs->rax, .index = regs->rcx };
	const volatile struct lv_cpuid_leaf *leaf = find(answer.function, answer.index);

	if (leaf)
		answer = *leaf;
	else
		ask(&answer);
	regs->rax = answer.eax;
	regs->rbx = answer.ebx;
	regs->rcx = answer.ecx;
	regs->rdx = answer.edx;
	step_goes_on(regs);
	return_work(regs);
}
