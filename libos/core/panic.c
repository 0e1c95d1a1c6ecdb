/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a VM whose libos found itself broken: needs nothing of libos but its own stack. The program's end is proc/crash.c. */
#include "libos/core/core.h"
#include "libos/mm/mm.h"

#include <asm/signal.h>

/* The words between RSP and the end of its page, or of the thread's stack, that lead into libos; all of that stack if it was too small. */
static uint32_t scan_own_stack(volatile struct lv_crash *crash, uint64_t sp)
{
	if (sp >= (uint64_t)emergency_stack && sp < (uint64_t)emergency_stack_top)
		sp = kstack_top - KSTACK_SIZE;
	bool own = sp < kstack_top && kstack_top - sp <= KSTACK_SIZE;
	uint64_t end = own ? kstack_top : ALIGN_UP(sp + 1, 4096);
	uint32_t frames = 0;
	for (sp = ALIGN_DOWN(sp, 8); sp < end && frames < ARRAY_SIZE(crash->stack); sp += 8) {
		uint64_t word = *(uint64_t *)sp;
		if (word >= (uint64_t)__text_start && word < (uint64_t)__text_end)
			crash->stack[frames++] = word;
	}
	return frames;
}

void panic(const char *format, ...)
{
	volatile struct lv_crash *crash = &shared_page->crash;
	static bool again;
	__builtin_va_list args;
	char text[sizeof(crash->message)];
	if (again) /* looking at the stack failed: what was found first is what matters */
		hypercall(LV_HC_CRASH, SIGABRT);
	again = true;
	__builtin_va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	__builtin_va_end(args);
	for (size_t i = 0; i < sizeof(text); i++)
		crash->message[i] = text[i];
	crash->kind = LV_CRASH_LIBOS;
	crash->signal = SIGABRT;
	crash->reg[16] = (uint64_t)__builtin_return_address(0);
	crash->reg[7] = (uint64_t)__builtin_frame_address(0);
	crash->frames = scan_own_stack(crash, crash->reg[7]);
	hypercall(LV_HC_CRASH, SIGABRT);
	__builtin_trap();
}
