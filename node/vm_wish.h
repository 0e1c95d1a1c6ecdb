/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a wish in JSON to a VM: what an API or a service says of it, with everything left out that has a default. The keys are those of a
 * configuration (docs/vm-config.md), "volumes", and "template" (node/template_wish.h); what "lightvm run" takes from an image's manifest or from this machine is taken here, too.
 */
#ifndef LV_NODE_VM_WISH_H
#define LV_NODE_VM_WISH_H

#include "node/vm_config.h"
#include "tinyx/plan.h"

/*
 * config is as config_init left it; becomes validated and open. Paths are absolute and opened with the caller's rights. The VM is a detached
 * one, of a new id. May pack a program, which takes long, and wants on_out_of_memory (tinyx/pack.h), and tells watch how far that is (NULL: nobody). -EINVAL, -ERANGE, -ENOENT, -EACCES, ..., with a
 * message that names key and value. Free in both cases.
 */
int wish_config(struct vm_config *config, const json_t *wish, const struct pack_watch *watch, struct error *error);
/* Only that every key is known and each value can be: opens nothing, and does not wait. -EINVAL, -ERANGE with a message. */
int wish_check(const json_t *wish, struct error *error);
/* What the network of such a VM will be, of the wish's "net" (NULL: nothing was said). -EINVAL, ... with a message. Free in both cases. */
int wish_net(struct net_spec *spec, const json_t *net, const char *id, struct error *error);
/*
 * Makes the VM of an open configuration and returns when its guest runs. start_ns: CLOCK_MONOTONIC of the request. After a failure nothing of it is left.
 */
int wish_start(const struct vm_config *config, uint64_t start_ns, struct error *error);
/* Makes it, and leaves it for vm_start, as "lightvm create" does. */
int wish_leave(const struct vm_config *config, struct error *error);

#endif
