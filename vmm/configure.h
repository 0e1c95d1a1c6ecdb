/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor that is told by message what it shall run (LV_CTL_CONFIGURE), and says when that has begun. */
#ifndef LV_VMM_CONFIGURE_H
#define LV_VMM_CONFIGURE_H

#include "vmm/machine_config.h"

/*
 * Waits on config->configure_fd for the one request, then fills config. The bytes stay mapped, as config's strings point into them. 0,
 * or a negative errno with the message printed.
 */
int configure_receive(struct machine_config *config);
/* Tells who configured us that the guest runs, and lets go of it. */
void configure_started(const struct machine_config *config);

#endif
