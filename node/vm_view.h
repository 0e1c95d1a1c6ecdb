/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a VM as JSON: a row of a list, and all that is known. The same for the command line and the API. */
#ifndef LV_NODE_VM_VIEW_H
#define LV_NODE_VM_VIEW_H

#include "node/vm_info.h"

/* The state in words, with how it ended, or what is less than usual; the caller's. NULL: out of memory. */
char *vm_view_status(const struct vm_info *info);
/* A new reference, as the following; NULL: out of memory. */
json_t *vm_view_row(const struct vm_info *info);
/* Adds configuration, record, the words of a Linux guest, crash report and last output; refreshes info. -ENOMEM. */
int vm_view_add(json_t *object, struct vm_info *info, int patience_ms);
/* The row with all of that: configuration, record, the words of a Linux guest, crash report and last output; refreshes info. */
json_t *vm_view_all(struct vm_info *info, int patience_ms);
/* The boot ledger: "steps" and "unaccounted_ns". */
json_t *vm_view_ledger(const struct vm_info *info);

#endif
