/* SPDX-License-Identifier: Apache-2.0 */
/* From the first instruction to the program's: the parts in the order in which they need each other. */
#include "abi/libos_header.h"
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

static void check_device_page(void)
{
	if (device_page->magic != LV_DEVICE_MAGIC)
		panic("the device page is not one: magic %lx", device_page->magic);
	if (device_page->abi_version != LV_LIBOS_ABI || device_page->size != sizeof(struct lv_device_page))
		panic("the monitor speaks version %u of the guest ABI (a device page of %u bytes), this libos version %u", device_page->abi_version,
		      device_page->size, LV_LIBOS_ABI);
}

/* The program starts with nothing in its registers but where it is and its stack. */
static void __attribute__((noreturn)) enter_program(uint64_t entry, uint64_t stack)
{
	struct regs *regs = current->regs;
	*regs = (struct regs){ .rip = entry, .cs = LV_CS3, .rflags = 0x202, .rsp = stack, .ss = LV_SS3 };
	ledger_mark(LV_LEDGER_PROGRAM);
	__asm__ volatile("mov %0, %%rsp; jmp return_all" : : "r"(regs));
	__builtin_unreachable();
}

extern char __hot_end[], __rodata_start[]; /* of libos.ld */
#define HOT_CONSTANTS (3 * LV_PAGE) /* of those that a start looks at */

static void touch(uint64_t from, uint64_t to)
{
	for (; from < to; from += LV_PAGE)
		(void)*(const volatile char *)from;
}

/* On page-table KVM the first touch of a page, or of eight neighbours, takes 4 to 15 us: of what every start touches it need not come after the configuration. */
static void touch_ahead(void)
{
	touch((uint64_t)__text_start, (uint64_t)__hot_end);
	touch((uint64_t)__rodata_start, (uint64_t)__rodata_start + HOT_CONSTANTS);
	touch(LV_RAM, LV_RAM + LV_PAGE); /* and what the monitor has filled of the boot area behind it: the rest is not there yet */
	touch(LV_RAM + LV_BOOT_SIZE, LV_RAM + LV_BOOT_SIZE + LV_HOT_HEAP);
}

/* What no configuration changes. Nobody asks here for the image, for random numbers, or who the program's user is. */
static void boot(void)
{
	ledger_mark(LV_LEDGER_LIBOS);
	check_device_page();
	sched_init();
	mm_init();
	touch_ahead();
	ledger_mark(LV_LEDGER_BOOTED);
}

/* Stands in the monitor until the VM is known, perhaps for days; the clock goes on. */
static void await_configuration(void)
{
	if (hypercall(LV_HC_READY, 0) || !device_page->generation)
		panic("the monitor goes on without a configuration");
	clock_start();
	mm_configured();
}

void libos_main(void)
{
	boot();
	await_configuration();
	credentials_start(process_first());
	vfs_init();
	generation_look(); /* the one it starts with */
	console_init();
	block_init();
	net_init();
	mounts_freeze();
	net_early();
	ledger_mark(LV_LEDGER_READY);

	uint64_t entry, stack;
	const char *why = NULL;
	int result = exec_load(&entry, &stack, &why);
	if (result < 0) {
		char text[512];
		snprintf(text, sizeof(text), "lightvm: %s: %s (error %d)\n", device_page->program, why ? why : "cannot be loaded", -result);
		console_note(text);
		vm_exit((result == -2 ? 127 : 126) << 8);
	}
	mounts_volumes();
	enter_program(entry, stack);
}
