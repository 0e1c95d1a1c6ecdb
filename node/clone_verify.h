/* SPDX-License-Identifier: Apache-2.0 */
/* Whether VMs of one state are told apart by all that tells VMs apart, as they themselves see it. */
#ifndef LV_NODE_CLONE_VERIFY_H
#define LV_NODE_CLONE_VERIFY_H

#include "node/vm_info.h"

/*
 * Reads from the memory of each (library-OS) VM what it was told that it is: random seed, generation, host name, hardware addresses, and addresses that are not one VM's network alone; boot id and machine-id are
 * drawn from the seed. Each stands still for as long as its state is written. 0; -ENOTUNIQ with a message that names two VMs and what they share; another negative
 * errno with a message: one could not be read.
 */
int clones_verify(const struct state *state, const char *const *ids, size_t count, struct error *error);

#endif
