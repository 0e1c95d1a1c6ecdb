/* SPDX-License-Identifier: Apache-2.0 */
/* Which library OS it is: its build id. */
#ifndef LV_NODE_LIBOS_BUILD_H
#define LV_NODE_LIBOS_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "abi/libos_header.h"
#include "base/error.h"

/* Of a file that lies in memory; -ENOEXEC: it is none. */
int libos_build_of(const void *file, size_t size, uint8_t build[LV_BUILD_ID]);
/* Of the one that VMs get (paths_libos). 0 or a negative errno with a message. */
int libos_build_here(uint8_t build[LV_BUILD_ID], struct error *error);

#endif
