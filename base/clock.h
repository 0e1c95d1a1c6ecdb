/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that deadlines are reckoned by. */
#ifndef LV_BASE_CLOCK_H
#define LV_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

/* CLOCK_MONOTONIC, ns. */
uint64_t clock_now(void);
/* CLOCK_REALTIME, ns since 1970. */
uint64_t clock_wall(void);

#endif
