/* SPDX-License-Identifier: Apache-2.0 */
/* What one VM of a kind takes of the host's memory: of those that run, or of some that are started for it. */
#ifndef LV_NODE_VM_PROBE_H
#define LV_NODE_VM_PROBE_H

#include "node/vm_config.h"

/*
 * Bytes that a VM takes which no other shares: the monitor's own pages, and what the kernel keeps for a VM (its own part is an idle VM's,
 * LIMIT_IDLE_MEMORY in node/machine_limits.h: the kernel does not tell it of one).
 *
 * Of the VMs that live and have this image (path): the mean, and how many there are in *count. -ENOENT without a message: none; -EACCES: this
 * user may not know.
 */
int vm_probe_running(const struct state *state, const char *image, uint64_t *memory, unsigned *count, struct error *error);
/*
 * Of count VMs that are started for it, measured when their programs wait or after patience_ms, and removed. config: validated and open, as for
 * a start; its id, name and published ports are not used. -ESRCH: the program ended before.
 */
int vm_probe_start(const struct state *state, struct vm_config *config, unsigned count, int patience_ms, uint64_t *memory, struct error *error);

#endif
