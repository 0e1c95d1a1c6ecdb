/* SPDX-License-Identifier: Apache-2.0 */
/* What VMs that have ended, and starts that were killed, left on disk. */
#ifndef LV_NODE_VM_PRUNE_H
#define LV_NODE_VM_PRUNE_H

#include "node/vm_info.h"

struct vm_pruned {
	unsigned vms;     /* removed, or that would be */
	unsigned names;   /* that led to no VM */
	uint64_t bytes;   /* that all of them took on disk */
};

/*
 * Removes VMs that do not live (ended, or created and not started; not those that were saved) and pass (NULL: all do), and names that lead nowhere. (What killed starts
 * left goes with each listing.) dry: only counts. removed (NULL: nobody) hears of each VM. What cannot be removed is left and passed over;
 * the first such error is what is answered. A VM that starts at the same time stays.
 */
int vm_prune(const struct state *state, bool dry, bool (*passes)(void *context, const struct vm_info *info),
	     void (*removed)(void *context, const struct vm_info *info), void *context, struct vm_pruned *pruned, struct error *error);

#endif
