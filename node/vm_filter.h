/* SPDX-License-Identifier: Apache-2.0 */
/* KEY=VALUE, of what chooses among VMs. */
#ifndef LV_NODE_VM_FILTER_H
#define LV_NODE_VM_FILTER_H

#include "node/vm_info.h"
#include "node/vm_row.h"

#define VM_FILTER_KEYS "state, status, name, id, label, program, image, ancestor, kernel, network, exited"

/* Whether all of them are ones; what: where they come from, for the message; *deep: some ask for what only the configuration has. -EINVAL with a message. */
int vm_filter_check(const struct strings *filter, const char *what, bool *deep, struct error *error);
/* Whether the VM passes all of them. info->config may be NULL unless deep. */
bool vm_filter_passes(const struct strings *filter, const struct vm_info *info, const struct vm_row *row);

#endif
