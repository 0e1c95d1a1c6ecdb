/* SPDX-License-Identifier: Apache-2.0 */
/* A small file of a plan, as text. */
#ifndef LV_TINYX_READ_H
#define LV_TINYX_READ_H

#include <stddef.h>

#include "tinyx/plan.h"

/* What guest leads to in the plan; the caller's, terminated by a zero byte. NULL: it is no file of archives or the host, or longer than limit. */
char *planned_read(const struct plan *plan, const char *guest, size_t limit);

#endif
