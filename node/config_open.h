/* SPDX-License-Identifier: Apache-2.0 */
/* From names to descriptors: the last time that a path of a VM's configuration means anything. */
#ifndef LV_NODE_CONFIG_OPEN_H
#define LV_NODE_CONFIG_OPEN_H

#include "node/vm_config.h"

/* Opens and checks image, kernel, initial RAM disk and disks, unless they are open already. config_free closes them. */
int config_open(struct vm_config *config, struct error *error);
/* The same of all but its disks. */
int config_open_files(struct vm_config *config, struct error *error);

#endif
