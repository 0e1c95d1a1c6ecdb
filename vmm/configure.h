/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor that is told by message what it shall run (LV_CTL_CONFIGURE), and says when that has begun. */
#ifndef LV_VMM_CONFIGURE_H
#define LV_VMM_CONFIGURE_H

#include "vmm/machine_config.h"
#include "vmm/status.h"

/*
 * Waits on config->configure_fd for a configuration that is sound, then fills config; what is wrong is refused with the reason, and asks
 * for the status are answered meanwhile. The bytes stay mapped, as config's strings point into them. 0; or a negative errno, without a
 * message: -ECONNRESET, who made us has gone.
 */
int configure_receive(struct machine_config *config, const struct status *status);
/* Tells who configured us that the guest runs, and lets go of it unless the VM is attached to it. */
void configure_started(const struct machine_config *config);

#endif
