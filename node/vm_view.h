/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a VM as JSON: a row of a list, and all that is known. The same for the command line and the API. */
#ifndef LV_NODE_VM_VIEW_H
#define LV_NODE_VM_VIEW_H

#include "node/vm_info.h"

/* A living monitor knows more than it has written: asks it, at most so long, and takes what it answers into info. */
void vm_view_refresh(struct vm_info *info, int patience_ms);
/* A new reference, as the following; NULL: out of memory. */
json_t *vm_view_row(const struct vm_info *info);
/* With configuration, record, the words of a Linux guest, crash report and last output; refreshes info. */
json_t *vm_view_all(struct vm_info *info, int patience_ms);
/* The boot ledger: "steps" and "unaccounted_ns". */
json_t *vm_view_ledger(const struct vm_info *info);

#endif
