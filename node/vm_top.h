/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in a VM: the threads of its program, or the processes of a Linux guest. */
#ifndef LV_NODE_VM_TOP_H
#define LV_NODE_VM_TOP_H

#include "node/vm_info.h"

/*
 * A list with an object each: id, state ("R", "S" and others, as /proc has them), cpu_ns, name; of processes also parent, threads and
 * memory (bytes); name is the command line then. Sorted by id. *total is how many there are, which may be more than are told.
 * Asks the guest, who may say anything. NULL with a message: it does not live, is paused, has no agent, does not answer. A new reference.
 */
json_t *vm_top(const struct vm_info *info, uint32_t *total, struct error *error);

#endif
