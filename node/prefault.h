/* SPDX-License-Identifier: Apache-2.0 */
/* The list of the pages that starts of an image touch, and whether a VM gets these before it touches them (docs/prefault.md). */
#ifndef LV_NODE_PREFAULT_H
#define LV_NODE_PREFAULT_H

#include "node/vm_config.h"

/*
 * The list, for the VM's monitor, as LV_VM_PREFAULT wants it; the caller's. -1: the VM shall have none. What cannot be opened is none: that costs speed
 * only.
 */
int prefault_open(const struct vm_config *config);

#endif
