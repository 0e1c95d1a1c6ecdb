/* SPDX-License-Identifier: Apache-2.0 */
/* The last words: what happened, where, and how it got there, in the shared page for the monitor to keep. */
#include "libos/core/core.h"
#include "libos/fs/file.h"
#include "libos/core/libos.h"
#include "libos/mm/mm.h"
#include "libos/proc/thread.h"

#include <asm/signal.h>
#include <linux/mman.h>

#define STACK_WORDS 2048 /* looked through for return addresses */

static bool executable(uint64_t addr)
{
	const struct vma *vma = mm_find(addr);
	return vma && (vma->prot & PROT_EXEC) && (vma->prot & PROT_READ);
}

/* Is there a call instruction that ends at addr? Direct (5 bytes), or through a register or memory (2, 3, 6 and 7 bytes). */
static bool follows_call(uint64_t addr)
{
	uint8_t before[7], *p = before + sizeof(before);
	if (!executable(addr - sizeof(before)) || user_get(&before, addr - sizeof(before)))
		return false;
	if (p[-5] == 0xe8)
		return true;
	return (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) || (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) ||
	       (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) || (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

/* Programs of the distribution have no frame pointers: every word that looks like a return address is reported. */
static uint32_t scan_stack(volatile struct lv_crash *crash, uint64_t sp)
{
	uint32_t frames = 0;
	sp = ALIGN_DOWN(sp, 8);
	for (int i = 0; i < STACK_WORDS && frames < ARRAY_SIZE(crash->stack); i++, sp += 8) {
		uint64_t word;
		if (user_get(&word, sp))
			break;
		if (executable(word) && follows_call(word))
			crash->stack[frames++] = word;
	}
	return frames;
}

static void copy_text(volatile char *to, size_t size, const char *from)
{
	size_t i = 0;
	for (; i < size - 1 && from[i]; i++)
		to[i] = from[i];
	to[i] = 0;
}

static uint32_t list_maps(volatile struct lv_crash *crash)
{
	uint32_t maps = 0;
	char path[256];
	for (struct vma *vma = mm_first(); vma && maps < ARRAY_SIZE(crash->map); vma = mm_next(vma)) {
		if (!vma->file || !(vma->prot & PROT_EXEC))
			continue;
		crash->map[maps].start = vma->start;
		crash->map[maps].end = vma->end;
		crash->map[maps].file_offset = vma->offset;
		copy_text(crash->map[maps].path, sizeof(crash->map[maps].path), file_path(vma->file, path, sizeof(path)));
		maps++;
	}
	return maps;
}

static void copy_registers(volatile struct lv_crash *crash, const struct regs *r)
{
	const uint64_t reg[18] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10, r->r11,
				  r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags};
	for (size_t i = 0; i < ARRAY_SIZE(reg); i++)
		crash->reg[i] = reg[i];
}

void crash_program(const struct regs *regs, int signo, uint64_t vector, uint64_t error, uint64_t cr2)
{
	volatile struct lv_crash *crash = &shared_page->crash;
	crash->kind = LV_CRASH_PROGRAM;
	crash->signal = signo;
	crash->vector = vector;
	crash->error = error;
	crash->cr2 = cr2;
	copy_registers(crash, regs);
	crash->maps = list_maps(crash);
	crash->frames = scan_stack(crash, regs->rsp);
	ledger_mark(LV_LEDGER_EXIT);
	hypercall(LV_HC_CRASH, signo);
	__builtin_trap();
}

/* The words between RSP and the end of its page, or of the thread's stack, that lead into libos. */
static uint32_t scan_own_stack(volatile struct lv_crash *crash, uint64_t sp)
{
	bool own = sp < kstack_top && kstack_top - sp <= 4096u << KSTACK_ORDER;
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
	copy_text(crash->message, sizeof(crash->message), text);
	crash->kind = LV_CRASH_LIBOS;
	crash->signal = SIGABRT;
	crash->reg[16] = (uint64_t)__builtin_return_address(0);
	crash->reg[7] = (uint64_t)__builtin_frame_address(0);
	crash->frames = scan_own_stack(crash, crash->reg[7]);
	hypercall(LV_HC_CRASH, SIGABRT);
	__builtin_trap();
}
