/* SPDX-License-Identifier: Apache-2.0 */
/* Another name for a VM, whether it runs or not. */
#ifndef LV_NODE_VM_RENAME_H
#define LV_NODE_VM_RENAME_H

#include "node/vm_info.h"

/*
 * Gives the VM this name, in place of the one that it has, if it has one. Its host name stays. Of two commands that want the same name
 * one gets it; who is killed in the middle leaves a VM that has both. -EINVAL: the name is none; -EALREADY: it is its name; -EEXIST: another VM's;
 * -ENOENT: the VM was removed meanwhile. info->config has the new name afterwards. A message in each case.
 */
int vm_rename(const struct state *state, struct vm_info *info, const char *name, struct error *error);

#endif
