/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations for tests of what writes and reads them. */
#ifndef LV_TESTS_RANDOM_CONFIG_H
#define LV_TESTS_RANDOM_CONFIG_H

#include "node/vm_config.h"

/* Any values in every field, the same for the same seed; strings of any bytes. No descriptors. */
void random_config(struct vm_config *config, unsigned seed);
/* One in which nothing is missing. */
void full_config(struct vm_config *config);
/* The first field in which two differ, or NULL. Every field is compared; descriptors are not. */
char *config_difference(const struct vm_config *a, const struct vm_config *b);

#endif
