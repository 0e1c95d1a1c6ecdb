/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a wish in JSON to a VM: what an API or a service says of it, with everything left out that has a default. The keys are those of a
 * configuration (docs/vm-config.md), and "volumes"; what "lightvm run" takes from an image's manifest or from this machine is taken here, too.
 */
#ifndef LV_NODE_VM_WISH_H
#define LV_NODE_VM_WISH_H

#include "node/vm_config.h"

/*
 * config is as config_init left it; becomes validated and open. Paths are absolute and opened with the caller's rights. The VM is a detached
 * one, of a new id. May pack a program, which takes long, and wants on_out_of_memory (tinyx/pack.h). -EINVAL, -ERANGE, -ENOENT, -EACCES, ..., with a
 * message that names key and value. Free in both cases.
 */
int wish_config(struct vm_config *config, const json_t *wish, struct error *error);
/*
 * Makes the VM of an open configuration and returns when its guest runs. start_ns: CLOCK_MONOTONIC of the request. After a failure nothing of it is left.
 */
int wish_start(const struct vm_config *config, uint64_t start_ns, struct error *error);

#endif
