/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM that lives uses now: one reading; what it used in between is the difference of two. */
#ifndef LV_NODE_VM_STATS_H
#define LV_NODE_VM_STATS_H

#include "node/vm_info.h"

#define VM_STATS_UNKNOWN UINT64_MAX /* this user may not ask, or whoever could does not tell */

struct vm_stats {
	uint64_t at_ns;  /* CLOCK_MONOTONIC of the reading */
	uint64_t cpu_ns; /* processor time of the monitor so far: the guest's, and what it took to serve it; UNKNOWN */
	uint64_t memory_used, memory_limit;     /* bytes; by the library OS's books, or what a Linux guest has touched */
	uint64_t memory_shared, memory_private; /* bytes of the monitor's process that others have mapped too (image, library OS), and that it has alone; UNKNOWN */
	uint64_t net_received, net_sent;        /* bytes, as the VM sees it */
	uint64_t block_bytes;                   /* read and written */
	uint64_t exits, exits_mmio, exits_signal, waits; /* as of struct lv_status */
	uint64_t calls, calls_trapped; /* system calls of a program on the library OS, as of struct lv_calls; UNKNOWN */
};

/* Asks the monitor, for at most patience_ms, and the kernel. info->status is refreshed. -ESRCH, with a message: it does not live. */
int vm_stats_read(struct vm_info *info, int patience_ms, struct vm_stats *stats, struct error *error);
/* Of a processor (100: one of them all the time) between two readings of one VM; -1: not known. before NULL: since its start. */
double vm_stats_cpu(const struct vm_stats *before, const struct vm_stats *now, const struct vm_info *info);
/* As an object with the fields above, what is not known as null, id, name and state. before: as above. A new reference. */
json_t *vm_stats_json(const struct vm_stats *before, const struct vm_stats *now, const struct vm_info *info);

#endif
