/* SPDX-License-Identifier: Apache-2.0 */
/* Another limit for a VM's memory. */
#ifndef LV_NODE_VM_LIMIT_H
#define LV_NODE_VM_LIMIT_H

#include "node/vm_info.h"

/*
 * The most memory (bytes) that the VM may have from now on, and when it starts again. One that has ended gets any that a VM may have. One of the
 * library OS that runs: between what it has taken already and what it was made with. A Linux guest: what it was made with or less, the rest
 * being taken by its balloon, in the guest's own time. A message in each case. -ERANGE; -EBUSY: it has more already; -ENOTCONN: the guest has no
 * driver for the balloon; -EOPNOTSUPP: a monitor of a LightVM before this one.
 */
int vm_limit_memory(struct vm_info *info, uint64_t bytes, struct error *error);

#endif
