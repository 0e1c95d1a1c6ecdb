/* SPDX-License-Identifier: Apache-2.0 */
/* One point in time at which a whole exchange must be over, however many reads and writes it takes. */
#ifndef LV_BASE_DEADLINE_H
#define LV_BASE_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER 0 /* a deadline of CLOCK_MONOTONIC, ns; this one never comes */

uint64_t deadline_in(int64_t milliseconds);
/* Milliseconds until it, at least 0, as poll wants them; -1: it never comes. */
int deadline_left(uint64_t deadline);
/* Waits until fd can be read: 0, -ETIMEDOUT or another negative errno. Only what comes after it can block. */
int deadline_readable(int fd, uint64_t deadline);

#endif
