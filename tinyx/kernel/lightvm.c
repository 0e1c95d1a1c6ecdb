// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * LightVM's only addition to the kernel source: port writes at the first initcall, for the boot ledger, at a panic, so that the
 * monitor can tell it from a reboot, and where the machine is switched off: there is no ACPI that could do it. The build defines
 * the numbers from abi/linux_guest.h.
 */
#include <linux/init.h>
#include <linux/io.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <asm/reboot.h>
#include <asm/x86_init.h>

static int lightvm_panic(struct notifier_block *self, unsigned long event, void *message)
{
	outl(LV_MARK_PANIC, LV_PORT_MARK);
	/* "panic=0" halts for somebody who looks at the screen: there is none, and nobody would hear of the end. */
	if (!panic_timeout)
		panic_timeout = -1;
	return NOTIFY_DONE;
}

static struct notifier_block lightvm_panic_block = { .notifier_call = lightvm_panic };

/* The monitor ends the VM at the write. */
static void lightvm_halt(void)
{
	outl(LV_MARK_OFF, LV_PORT_MARK);
}

static int lightvm_off(struct sys_off_data *data)
{
	lightvm_halt();
	return NOTIFY_DONE;
}

static int __init lightvm_mark(void)
{
	outl(LV_MARK_INITCALL, LV_PORT_MARK);
	atomic_notifier_chain_register(&panic_notifier_list, &lightvm_panic_block);
	register_sys_off_handler(SYS_OFF_MODE_POWER_OFF, SYS_OFF_PRIO_PLATFORM, lightvm_off, NULL);
	machine_ops.halt = lightvm_halt;
	x86_platform.legacy.rtc = 0; /* or a device is made for a clock that is not there */
	return 0;
}
early_initcall(lightvm_mark);
