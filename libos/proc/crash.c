/* SPDX-License-Identifier: Apache-2.0 */
/* The last words of a program: what happened, where, and how it got there, in the shared page for the monitor to keep. */
#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

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

static void put_map(volatile struct lv_text_map *map, const struct vma *vma)
{
	char path[256];

	map->start = vma->start;
	map->end = vma->end;
	map->file_offset = vma->offset;
	copy_text(map->path, sizeof(map->path), file_path(vma->file, path, sizeof(path)));
}

static uint32_t list_maps(volatile struct lv_crash *crash)
{
	uint32_t maps = 0;
	for (struct vma *vma = mm_first(); vma && maps < ARRAY_SIZE(crash->map); vma = mm_next(vma)) {
		if (!vma->file || !(vma->prot & PROT_EXEC))
			continue;
		put_map(&crash->map[maps++], vma);
	}
	return maps;
}

void crash_name_site(uint64_t rip)
{
	volatile struct lv_crash *crash = &shared_page->crash;
	const struct vma *vma = mm_find(rip - 1);
	uint32_t i = 0;

	if (!vma || !vma->file)
		return;
	while (i < crash->maps && (rip - 1 < crash->map[i].start || rip - 1 >= crash->map[i].end))
		i++;
	if (i == ARRAY_SIZE(crash->map))
		i = rip / LV_PAGE % ARRAY_SIZE(crash->map);
	put_map(&crash->map[i], vma);
	crash->maps = MAX(crash->maps, i + 1);
}

static void copy_registers(volatile struct lv_crash *crash, const struct regs *r)
{
	const uint64_t reg[18] = { r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10, r->r11,
				  r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags };
	for (size_t i = 0; i < ARRAY_SIZE(reg); i++)
		crash->reg[i] = reg[i];
}

void crash_program(const struct regs *regs, int signo, uint64_t vector, uint64_t error, uint64_t cr2)
{
	volatile struct lv_crash *crash = &shared_page->crash;
	if (current->process != process_first()) /* its parent is told, and may say so */
		process_exit(signo);
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
