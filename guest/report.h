/* SPDX-License-Identifier: Apache-2.0 */
/* What PID 1 tells the host: marks of the boot ledger, messages, the exit status. */
#ifndef LV_GUEST_REPORT_H
#define LV_GUEST_REPORT_H

#include <stdbool.h>

#include "abi/linux_guest.h"

#define EXIT_SETUP 125 /* exit statuses as container users know them: the machine failed, */
#define EXIT_NO_EXEC 126 /* the program cannot be executed, */
#define EXIT_NOT_FOUND 127 /* it is not there */

/* One write to the ledger port; nothing where the kernel has no ioperm. For PID 1 and its first program only. */
void report_mark(enum lv_mark mark);
/* What this process is about to execute is the program, for a kernel that notes who calls its functions (tinyx/kernel/recorder.c). */
void report_evidence(void);
/* From now on this process and what it executes have no ports. */
void report_drop_ports(void);
/* "lightvm-init: STEP OBJECT: reason" on standard error; returns -err. err: an errno, positive or negative; 0: no reason. */
int report_error(const char *step, const char *object, int err);
/* What this process reports before the program starts is PID 1's. */
void report_for_first(void);
/* The wait status leaves the VM, which then restarts; returns only where that is impossible. */
void report_exit(int wait_status);

#endif
