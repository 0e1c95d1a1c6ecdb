/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a VM's configuration (abi/vm_records.h) become the monitor's structure. Opens and closes nothing. */
#ifndef LV_VMM_CONFIG_DECODE_H
#define LV_VMM_CONFIG_DECODE_H

#include <stddef.h>

#include "vmm/machine_config.h"

/*
 * config holds defaults (machine_config_init). Strings point into the bytes, which stay for as long as config is used; argv is
 * allocated. Every one of the count descriptors belongs to config afterwards. 0, or -EINVAL or -ENOMEM with *why, a static text,
 * and *number, the record that is wrong, from 1 (0: the header, or all of them together).
 */
int config_decode(struct machine_config *config, const void *bytes, size_t size, const int *fds, unsigned count, const char **why, unsigned *number);
/* What config_decode allocated, also after a failure. */
void config_decode_free(struct machine_config *config);

#endif
