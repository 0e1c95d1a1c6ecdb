/* SPDX-License-Identifier: Apache-2.0 */
/* What a Linux guest is told: the configuration of PID 1 (abi/guest_config.h), and the initial RAM disk that carries it. */
#ifndef LV_NODE_GUEST_INITRD_H
#define LV_NODE_GUEST_INITRD_H

#include "base/text.h"
#include "node/vm_config.h"

/* The configuration of a VM. Looks at descriptors 1 and 2 of this process, which become the program's. */
void guest_config_make(const struct vm_config *config, struct text *out);
/* PID 1's archive and the configuration: a sealed memory file for the monitor's --initrd, the caller's. A negative errno with message. */
int guest_initrd(const struct vm_config *config, struct error *error);

#endif
