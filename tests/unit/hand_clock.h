/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock that the test moves: what is promised of time is then true of a machine that stands still for a while, too. Tests are
 * linked with --wrap=clock_now for it.
 */
#ifndef LV_TESTS_HAND_CLOCK_H
#define LV_TESTS_HAND_CLOCK_H

#include <stdint.h>

/* From now on clock_now() stands, but for step ns that each look at it takes. */
void clock_hold(uint64_t step);
/* It is the machine's again. */
void clock_release(void);

#endif
