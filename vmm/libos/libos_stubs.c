/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor tables and trap stubs of a library-OS guest: the stubs are the only code that runs at level 0. */
#include <string.h>

#include "abi/layout.h"
#include "vmm/vm.h"

static bool has_error_code(int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30;
}

static uint8_t *emit(uint8_t *to, const void *bytes, size_t n)
{
	return (uint8_t *)memcpy(to, bytes, n) + n;
}
#define EMIT(to, ...) emit(to, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define COMMON 0x300
#define BREAK 0x380

/* Saves RAX and CR2 above the vector and goes on at level 3 in libos, with RSP at what was saved. */
static void build_common(uint8_t *p, uint64_t trap_entry)
{
	p = EMIT(p, 0x50, 0x0f, 0x20, 0xd0, 0x50);              /* push %rax; mov %cr2, %rax; push %rax */
	p = EMIT(p, 0x48, 0x89, 0xe0, 0x6a, LV_SS3, 0x50);      /* mov %rsp, %rax; push $SS3; push %rax */
	p = EMIT(p, 0x6a, LV_RFLAGS, 0x6a, LV_CS3, 0x48, 0xb8); /* push $RFLAGS; push $CS3; movabs $trap_entry, %rax */
	p = emit(p, &trap_entry, 8);
	EMIT(p, 0x50, 0x48, 0xcf);                              /* push %rax; iretq */
}

static void build_stubs(struct vm *vm)
{
	uint8_t *stubs = libos_at(vm, LV_STUBS);
	uint64_t *idt = libos_at(vm, LV_DESC + 0x200);
	for (int vector = 0; vector < 32; vector++) {
		uint64_t address = LV_STUBS + vector * 16;
		uint64_t gate = vector == 3 ? 0xee00 : 0x8e00; /* INT3 may be used at level 3 */
		uint8_t *p = stubs + vector * 16;
		if (vector == 3)
			address = LV_STUBS + BREAK;
		if (!has_error_code(vector))
			p = EMIT(p, 0x6a, 0);
		p = EMIT(p, 0x6a, vector, 0xe9); /* push $vector; jmp common */
		int32_t distance = stubs + COMMON - (p + 4);
		emit(p, &distance, 4);
		idt[vector * 2] = (address & 0xffff) | (uint64_t)LV_CS0 << 16 | gate << 32 | (address >> 16 & 0xffff) << 48;
		idt[vector * 2 + 1] = address >> 32;
	}
	build_common(stubs + COMMON, vm->libos.trap_entry);
	uint8_t *p = EMIT(stubs + BREAK, 0x48, 0x3d);          /* cmp $FLUSH_MAGIC, %rax */
	p = emit(p, &(uint32_t){LV_FLUSH_MAGIC}, 4);
	p = EMIT(p, 0x75, 13, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0xb8); /* jne +13; mov %cr3, %rax; mov %rax, %cr3 */
	p = emit(p, &(uint32_t){LV_FLUSH_MAGIC}, 4);           /* mov $FLUSH_MAGIC, %eax: no register changes */
	p = EMIT(p, 0x48, 0xcf);                               /* iretq */
	p = EMIT(p, 0x48, 0x3d);                               /* cmp $SWITCH_MAGIC, %rax */
	p = emit(p, &(uint32_t){LV_SWITCH_MAGIC}, 4);
	p = EMIT(p, 0x75, 5, 0x0f, 0x22, 0xdf, 0x48, 0xcf);    /* jne +5; mov %rdi, %cr3; iretq */
	p = EMIT(p, 0x48, 0x3d);                               /* cmp $PAGES_MAGIC, %rax */
	p = emit(p, &(uint32_t){LV_PAGES_MAGIC}, 4);
	p = EMIT(p, 0x75, 17, 0x0f, 0x01, 0x3f);               /* jne +17; invlpg (%rdi) */
	p = EMIT(p, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0);          /* add $4096, %rdi */
	p = EMIT(p, 0x48, 0x39, 0xf7, 0x72, 0xf1, 0x48, 0xcf); /* cmp %rsi, %rdi; jb to the invlpg; iretq */
	p = EMIT(p, 0xe9);                                     /* jmp to vector 3's own stub */
	int32_t distance = stubs + 3 * 16 - (p + 4);
	emit(p, &distance, 4);
}

static void build_descriptors(struct vm *vm)
{
	uint64_t *gdt = libos_at(vm, LV_DESC), tss = LV_DESC + 0x100;
	gdt[LV_CS0 / 8] = 0x00af9b000000ffff;
	gdt[LV_SS0 / 8] = 0x00cf93000000ffff;
	gdt[LV_SS3 / 8] = 0x00cff3000000ffff;
	gdt[LV_CS3 / 8] = 0x00affb000000ffff;
	gdt[LV_TR / 8] = 103 | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	gdt[LV_TR / 8 + 1] = tss >> 32;
	uint8_t *t = libos_at(vm, tss);
	memcpy(t + 4, &(uint64_t){LV_TRAP + LV_PAGE}, 8); /* RSP0 */
	memcpy(t + 102, &(uint16_t){104}, 2);             /* no I/O bitmap: ports are forbidden */
}

void libos_write_stubs(struct vm *vm)
{
	build_descriptors(vm);
	build_stubs(vm);
}
