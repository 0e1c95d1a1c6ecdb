/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a VM serves a port yet. */
#ifndef LV_NODE_VM_PORT_H
#define LV_NODE_VM_PORT_H

#include "node/vm_info.h"

/*
 * Returns when the VM can be connected to: one of the library OS tells when its program listens, whatever the port (node/vm_wait.h); a Linux guest is asked by its agent
 * for this port of TCP, again and again. 0; -ETIMEDOUT after so many milliseconds, -ESRCH: it has ended before, -EOPNOTSUPP: it has no agent that knows; with a message.
 */
int vm_await_port(const struct vm_info *info, uint16_t port, int wait_ms, struct error *error);

#endif
