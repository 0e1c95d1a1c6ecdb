/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on the virtual machine itself: page tables, stubs, ports, instructions. */
#include "hostile.h"

#include <pthread.h>
#include <unistd.h>

#include "abi/libos_header.h"

#define RW (LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A | LV_PTE_D)
#define KSTACK 16384 /* libos' stacks */
#define WINDOW ((volatile char *)0x700000000000ull) /* PML4 slot 224: nothing is there */

static void flush(void)
{
	__asm__ volatile("int3" : : "a"(LV_FLUSH_MAGIC) : "memory");
}

/* Maps the GiB of guest-physical memory around gpa at WINDOW, for everybody and writable. Tables lie in free RAM. */
static volatile char *map_gpa(uint64_t gpa)
{
	uint64_t free_page = (devices->heap_start + (2 << 20)) & ~4095ull;
	volatile uint64_t *pdpt = (void *)free_page, *pd = (void *)(free_page + 4096), *pt = (void *)(free_page + 8192);

	for (int i = 0; i < 512; i++)
		pdpt[i] = pd[i] = 0;
	for (uint64_t i = 0; i < 512; i++)
		pt[i] = ((gpa & ~0x1fffffull) + i * 4096) | RW;
	pd[0] = (uint64_t)pt | RW;
	pdpt[0] = (uint64_t)pd | RW;
	((volatile uint64_t *)LV_PML4)[224] = (uint64_t)pdpt | RW;
	flush();
	return WINDOW + (gpa & 0x1fffff);
}

static void wipe_top(void)
{
	memset((void *)LV_PML4, 0, 4096);
	flush();
}

static void wipe_window_only(void)
{
	((volatile uint64_t *)LV_PML4)[LV_BASE >> 39 & 511] = 0;
	flush();
}

static void scribble_top(void)
{
	for (int i = 0; i < 512; i++)
		((volatile uint64_t *)LV_PML4)[i] = random_next();
	flush();
}

static void map_monitor_pages(void)
{
	volatile char *p = map_gpa(LV_DEVICE);

	memset((void *)p, 0x5a, 4096); /* the page is the guest's own copy; the monitor must not believe it */
}

static void wipe_descriptors(void)
{
	memset((void *)map_gpa(LV_DESC), 0, 4096);
	__asm__ volatile("ud2");
}

static void scribble_descriptors(void)
{
	volatile uint64_t *p = (volatile uint64_t *)map_gpa(LV_DESC);

	for (int i = 0; i < 512; i++)
		p[i] = random_next();
	__asm__ volatile("ud2");
}

static void patch_stubs(void)
{
	memset((void *)map_gpa(LV_STUBS), 0xf4, 4096); /* hlt at level 0 */
	__asm__ volatile("ud2");
}

static void spin_stubs(void)
{
	volatile char *p = map_gpa(LV_STUBS);

	for (int i = 0; i < 4096; i += 2) {
		p[i] = (char)0xeb; /* jmp to itself */
		p[i + 1] = (char)0xfe;
	}
	__asm__ volatile("ud2");
}

static void touch_nowhere(void)
{
	volatile char *p = map_gpa(0x123400000000ull & 0xffffffffff);

	for (int i = 0; i < 100; i++)
		p[i * 8] = p[i * 8 + 800];
	*(volatile uint64_t *)(p + 4096) = 0;
	__builtin_memset((void *)p, 0, 64);
}

static void run_nowhere(void)
{
	((void (*)(void))map_gpa(0x3400000000ull))();
}

static void tables_in_mmio(void)
{
	((volatile uint64_t *)LV_PML4)[225] = LV_BELL_GPA | RW;
	flush();
	*(volatile char *)(225ull << 39) = 1;
}

static void bell_through_window(void)
{
	volatile uint32_t *p = (volatile uint32_t *)map_gpa(LV_BELL_GPA);

	for (int i = 0; i < 2048; i++)
		if (i != LV_BELL_HYPERCALL / 4)
			p[i] = 1;
	for (int i = 1024; i < 4096; i++)
		(void)p[i];
}

static void write_device_page(void)
{
	*(volatile char *)LV_DEVICE = 0;
}

static void write_image(void)
{
	*map_gpa(LV_IMAGE(devices->image_size)) = 0;
}

static void write_behind_image(void)
{
	*map_gpa(LV_BASE - LV_PAGE) = 0;
}

static void write_libos_text(void)
{
	*(volatile char *)(LV_LIBOS + 4096) = 0;
}

static void smash_libos(void)
{
	for (volatile uint64_t *p = (void *)(LV_LIBOS_END - 8); (uint64_t)p > LV_LIBOS; p--)
		*p = random_next();
}

static void smash_heap(void)
{
	for (uint64_t p = LV_RAM; p < LV_RAM + devices->ram_size; p += 8)
		*(volatile uint64_t *)p = random_next();
}

static void call_stubs(void)
{
	((void (*)(void))LV_STUBS)();
}

static void call_libos(void)
{
	((void (*)(void))(LV_LIBOS + 8192 + 3))();
}

/* Libos goes on with eight bytes of this stack left. */
static void enter_libos_at_bottom(uint64_t bottom)
{
	const struct lv_libos_header *libos = (const struct lv_libos_header *)LV_LIBOS;

	__asm__ volatile("mov %0, %%rsp; jmp *%1" : : "r"(bottom + 8), "r"(libos->entry) : "memory");
}

static void overflow_first_stack(void)
{
	enter_libos_at_bottom(((const struct lv_libos_header *)LV_LIBOS)->boot_stack - KSTACK);
}

/* The second of two threads: below its stack lies the first one's, behind a hole. */
static void *overflow(void *unused)
{
	enter_libos_at_bottom(LV_KSTACKS + KSTACK + 2 * LV_PAGE);
	return unused;
}

static void overflow_stack(void)
{
	static pthread_t thread[2];

	pthread_create(&thread[0], NULL, (void *(*)(void *))(void (*)(void))pause, NULL);
	pthread_create(&thread[1], NULL, overflow, NULL);
	pthread_join(thread[1], NULL);
}

static void stack_nowhere(void)
{
	__asm__ volatile("mov $0x10, %%rsp; mov $39, %%eax; syscall; push %%rax; ud2" ::: "memory");
}

static void stack_in_monitor(void)
{
	__asm__ volatile("mov %0, %%rsp; push %%rax; ud2" : : "r"(LV_STUBS + 2048) : "memory");
}

static void iret_odd(void)
{
	__asm__ volatile("push $0x18; push $0; push $0x3202; push $0x10; push $0x1000; iretq" ::: "memory");
}

static void load_selectors(void)
{
	__asm__ volatile("mov $0x40, %%eax; mov %%eax, %%fs" ::: "rax");
	__asm__ volatile("ltr %%ax" ::: "rax");
}

static void ports(void)
{
	for (int i = 0; i < 3000; i++) {
		uint16_t port = (uint16_t)random_next();
		uint32_t value = (uint32_t)random_next();

		__asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
		__asm__ volatile("inb %1, %b0" : "+a"(value) : "d"(port));
		__asm__ volatile("outw %w0, %1" : : "a"(value), "d"(port));
	}
}

static void port_string(void)
{
	void *from = (void *)LV_RAM;
	uint64_t count = 100000;

	__asm__ volatile("cld; rep outsb" : "+S"(from), "+c"(count) : "d"(0x3f8) : "memory");
}

static void hypervisor_calls(void)
{
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t a = i;

		__asm__ volatile("vmmcall" : "+a"(a) : "b"(random_next()), "c"(random_next()), "d"(random_next()) : "memory");
	}
}

static void privileged(void)
{
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3; wrmsr" ::: "rax", "memory");
}

static void stop_interrupts(void)
{
	__asm__ volatile("cli");
	let_pass(200);
	__asm__ volatile("hlt");
}

static void flags_odd(void)
{
	__asm__ volatile("pushq $0x47fd5; popfq; nop; nop" ::: "memory", "cc"); /* trap flag, alignment check, direction */
	let_pass(1);
}

static void interrupts(void)
{
	__asm__ volatile("int $0x80");
	__asm__ volatile("int $0x20");
	__asm__ volatile("int $0xff");
}

static void never_end(void)
{
	for (;;)
		__builtin_ia32_pause();
}

const struct attack machine_attacks[] = {
	{"wipe-top", wipe_top, NULL}, {"wipe-window-only", wipe_window_only, NULL}, {"scribble-top", scribble_top, NULL},
	{"map-monitor-pages", map_monitor_pages, NULL}, {"wipe-descriptors", wipe_descriptors, NULL},
	{"scribble-descriptors", scribble_descriptors, NULL}, {"patch-stubs", patch_stubs, NULL}, {"spin-stubs", spin_stubs, NULL},
	{"touch-nowhere", touch_nowhere, NULL}, {"run-nowhere", run_nowhere, NULL}, {"tables-in-mmio", tables_in_mmio, NULL},
	{"bell-through-window", bell_through_window, NULL}, {"write-device-page", write_device_page, NULL},
	{"write-image-page", write_image, NULL}, {"write-behind-image", write_behind_image, NULL},
	{"write-libos-text", write_libos_text, NULL}, {"smash-libos", smash_libos, NULL}, {"smash-heap", smash_heap, NULL},
	{"call-stubs", call_stubs, NULL}, {"call-libos", call_libos, NULL}, {"overflow-first-stack", overflow_first_stack, NULL},
	{"overflow-stack", overflow_stack, NULL}, {"stack-nowhere", stack_nowhere, NULL},
	{"stack-in-monitor", stack_in_monitor, NULL}, {"iret-odd", iret_odd, NULL}, {"load-selectors", load_selectors, NULL}, {"ports", ports, NULL},
	{"port-string", port_string, NULL}, {"hypervisor-calls", hypervisor_calls, NULL}, {"privileged", privileged, NULL},
	{"stop-interrupts", stop_interrupts, NULL}, {"flags-odd", flags_odd, NULL}, {"interrupts", interrupts, NULL}, {"never-end", never_end, NULL},
	{NULL, NULL, NULL},
};
