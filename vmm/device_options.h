/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's options that add a device, for the table of vmm_options.c: 0, or -1 with a message printed. */
#ifndef LV_VMM_DEVICE_OPTIONS_H
#define LV_VMM_DEVICE_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "vmm/machine_config.h"

int option_set_net(struct machine_config *config, const char *option, const char *value);
int option_set_disk(struct machine_config *config, const char *option, const char *value);
int option_set_vsock(struct machine_config *config, const char *option, const char *value);
bool option_has_vsock(const struct machine_config *config);
/* Locks the disks that are not locked yet. 0, or a negative errno with a message; those that were locked stay so. */
int option_claim_disks(struct machine_config *config, struct error *error);

#endif
