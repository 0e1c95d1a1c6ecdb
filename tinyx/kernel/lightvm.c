// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * LightVM's only addition to the kernel source: one port write at the first initcall, for the boot ledger, and one at a
 * panic, so that the monitor can tell it from a reboot. The build defines the numbers from abi/linux_guest.h.
 */
#include <linux/init.h>
#include <linux/io.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>

static int lightvm_panic(struct notifier_block *self, unsigned long event, void *message)
{
	outl(LV_MARK_PANIC, LV_PORT_MARK);
	return NOTIFY_DONE;
}

static struct notifier_block lightvm_panic_block = { .notifier_call = lightvm_panic };

static int __init lightvm_mark(void)
{
	outl(LV_MARK_INITCALL, LV_PORT_MARK);
	atomic_notifier_chain_register(&panic_notifier_list, &lightvm_panic_block);
	return 0;
}
early_initcall(lightvm_mark);
