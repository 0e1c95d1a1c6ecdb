/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a start took is known by the monitor of a library-OS guest, and in the record only when something else is written there: a moment after the
 * vCPU's start the monitor is asked, without waiting for it. Loop thread.
 */
#ifndef LV_DAEMON_START_WAIT_H
#define LV_DAEMON_START_WAIT_H

#include "base/loop.h"
#include "node/vm_info.h"

#define START_MOMENT_MS 20 /* for the program to begin */
#define START_PATIENCE_MS 1000
#define STARTS_ASKED 64 /* at once */

struct starts;

/* vms: the open directory, which may change: *vms is read when it is needed. done: status NULL: the monitor has not answered. */
struct starts *starts_new(struct loop *loop, const int *vms, void (*done)(void *context, const char *id, const struct lv_status *status), void *context);
void starts_free(struct starts *starts);
/* done will be called with this id, unless it is cancelled. NULL: out of memory. */
struct start_wait *start_wait_add(struct starts *starts, const char *id);
void start_wait_cancel(struct start_wait *wait);

#endif
