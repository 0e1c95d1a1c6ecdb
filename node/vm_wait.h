/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for what a VM does next. */
#ifndef LV_NODE_VM_WAIT_H
#define LV_NODE_VM_WAIT_H

#include "node/state.h"

/*
 * Returns when the program of a VM that has been started listens on a TCP port (at once if it does already): 0. -ETIMEDOUT after so many
 * milliseconds; the VM runs on. -ESRCH: it has ended before. -EOPNOTSUPP: a Linux guest, which does not tell. -EBUSY: as many others wait as may.
 * The message names the VM, and how it ended.
 */
int vm_await_listen(const struct vm_dir *vm, int wait_ms, struct error *error);

/* The same, when it waits to be copied, by reading /dev/template. */
int vm_await_template(const struct vm_dir *vm, int wait_ms, struct error *error);

/* Returns when the VM's monitor has ended. -ETIMEDOUT after so many milliseconds (-1: no limit). */
int vm_await_end(const struct vm_dir *vm, int wait_ms, struct error *error);

#endif
