/* SPDX-License-Identifier: Apache-2.0 */
/* What a compiler of C starts and reads, which its package does not hold: assembler and linker, the C library's headers and start files. */
#ifndef LV_TINYX_COMPILER_H
#define LV_TINYX_COMPILER_H

#include "tinyx/plan.h"

/* Adds them if host, a program that is packed, is one; what the host lacks is left out. */
void compiler_add(struct plan *plan, const char *host);

#endif
