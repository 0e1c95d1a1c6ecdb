/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the monitor's options. Each answers 0, or -1 with a message printed that names the option and the value. */
#ifndef LV_VMM_OPTION_VALUES_H
#define LV_VMM_OPTION_VALUES_H

#include <stdint.h>

int option_number(const char *option, const char *value, uint64_t most, uint64_t *number);
int option_size(const char *option, const char *value, uint64_t *bytes);
/* A path, opened with these flags of open(2), or fd:N for a descriptor that is open already; it is the caller's. */
int option_file(const char *option, const char *value, int flags, int *fd);

#endif
