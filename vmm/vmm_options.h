/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's command line becomes one validated structure; files are open descriptors from then on. */
#ifndef LV_VMM_VMM_OPTIONS_H
#define LV_VMM_VMM_OPTIONS_H

#include "base/error.h"
#include "vmm/machine_config.h"

/* Parses, checks and opens. 0, or -1 with the message printed: exit with 125. */
int options_parse(struct machine_config *config, int argc, char **argv);
/* What must be true of a configuration, wherever it came from, and locks its disks. 0, or a negative errno with a message. */
int options_check(struct machine_config *config, struct error *error);

#endif
