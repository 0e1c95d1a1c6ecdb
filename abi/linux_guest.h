/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux guest (our PID 1, our kernels) and the monitor tell each other besides virtio: two I/O ports, 32-bit
 * writes. A foreign kernel never touches them. Ports that no PC device of ours or of QEMU's microvm uses.
 */
#ifndef LV_ABI_LINUX_GUEST_H
#define LV_ABI_LINUX_GUEST_H

#include <stdint.h>

/* Where its memory lies, in a file of it as in the guest: what does not fit below the first goes on at the second. */
#define LV_LINUX_GAP 0xc0000000ull
#define LV_LINUX_HIGH 0x100000000ull

#define LV_PORT_MARK 0x5c0 /* a step of the boot ledger is reached: enum lv_mark */
#define LV_PORT_EXIT 0x5c4 /* wait status of the program, as waitpid(2) has it; the guest then ends by a reboot */

/* Of a kernel that notes which of its functions are called (tinyx/kernel/recorder.c): a write tells whose execve begins the program, a read tells all that was noted. */
#define LV_GUEST_EVIDENCE "/proc/lightvm-evidence"

enum lv_mark {
	LV_MARK_INITCALL = 1, /* the kernel's first initcall */
	LV_MARK_INIT = 2,     /* PID 1's first instruction in main() */
	LV_MARK_PROGRAM = 3,  /* just before the program's execve */
	LV_MARK_LISTEN = 4,   /* the program's first listening socket, where that can be seen */
	LV_MARK_PANIC = 5,    /* the kernel panics */
	LV_MARK_OFF = 6,      /* the kernel powers off or halts: the VM ends */
};

#endif
