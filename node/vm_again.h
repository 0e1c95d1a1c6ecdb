/* SPDX-License-Identifier: Apache-2.0 */
/* VMs that have ended, once more, and VMs that run, anew. */
#ifndef LV_NODE_VM_AGAIN_H
#define LV_NODE_VM_AGAIN_H

#include "node/vm_config.h"
#include "node/vm_info.h"

/*
 * Starts a VM that has ended from the configuration that it left, in the background; returns when the guest runs. start_ns:
 * CLOCK_MONOTONIC of the request, for the boot ledger. If it fails, record and report of the end before are put back. -EBUSY: it runs, or was saved and is to be restored; -ENOENT: it was
 * started with --rm; and what config_open and launch_start say. info->dir.status holds the VM's lock afterwards, together with the monitor:
 * vm_info_close soon. info's record and state are those of before.
 */
int vm_start(struct vm_info *info, uint64_t start_ns, struct error *error);
/*
 * The same in other ways. attached: the configuration says so. run starts what vm and config say, and answers an exit status or a negative
 * errno, with *failed where the program never ran. *status is what it answered, where it came to that.
 */
int vm_start_by(struct vm_info *info, bool attached, uint64_t start_ns,
		int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), int *status,
		struct error *error);
/*
 * Ends the VM as vm_end does, if it runs, and then starts it by run, in the background; NULL: as vm_start. One in the background with --rm is not removed at
 * this end, but at its next one; -EPERM: one in the foreground with --rm, which runs on.
 */
int vm_restart(struct vm_info *info, int wait_ms, uint64_t start_ns,
	       int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), struct error *error);

/*
 * What forwarded the ports of a VM ends by itself after its monitor, or is made to: who starts it again right after its end waits for that. before: the record of that
 * end. A port that is somebody else's is told by the start.
 */
void vm_await_ports(const struct lv_status *before, const struct net_spec *net);

#endif
