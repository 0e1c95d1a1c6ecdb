/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel is built while somebody watches. */
#ifndef LV_CLI_KERNEL_BUILDING_H
#define LV_CLI_KERNEL_BUILDING_H

#include <stdbool.h>

#include "base/error.h"
#include "tinyx/kernel.h"

#define KERNEL_JOBS_MAX 256

/* request: without progress; jobs 0: one a processor. Prints the directory that holds the kernel. 0, or a negative errno with a message. */
int kernel_building(struct kernel_request *request, bool quiet, struct error *error);

#endif
