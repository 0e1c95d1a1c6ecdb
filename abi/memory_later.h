/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM runs while its memory is still on its way into its file (LV_VM_PAGER of abi/vm_records.h): what its monitor and who brings the memory say to each other, over a socket of
 * SOCK_SEQPACKET to which the latter connects; the monitor has one at a time, and waits for another one when it has gone. Host byte order: both ends are on one machine.
 */
#ifndef LV_ABI_MEMORY_LATER_H
#define LV_ABI_MEMORY_LATER_H

#include <assert.h>
#include <stdint.h>

#define LV_PAGER_MAGIC 0x72676170u /* "pagr" */

struct lv_pager_hello { /* the monitor's first word; SCM_RIGHTS: the memory file, for who did not bring it before */
	uint32_t magic;
	uint32_t reserved;
	uint64_t size; /* of the file */
};
static_assert(sizeof(struct lv_pager_hello) == 16, "pager hello layout");

/* From the monitor: the VM waits for a page, which is not in the file yet: offset, size 4096. To it: so many bytes are there now; size 0: all are, and whatever is not in the file is zero. */
struct lv_pager_range {
	uint64_t offset, size;
};
static_assert(sizeof(struct lv_pager_range) == 16, "pager range layout");

#endif
