/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM is ended from outside. */
#ifndef LV_NODE_VM_END_H
#define LV_NODE_VM_END_H

#include "node/vm_info.h"

/*
 * Asks the program to end with SIGTERM and gives it so many milliseconds (0: does not ask), then ends the VM, and returns when its
 * monitor has ended. 0 too when it had ended before. -ETIMEDOUT, or why it cannot be killed.
 */
int vm_end(const struct vm_info *info, int wait_ms, struct error *error);

/* A descriptor that becomes readable when its monitor ends; the caller's. -ESRCH: it has ended, or is so new that its record names no process. */
int vm_monitor_open(const struct vm_info *info);

#endif
