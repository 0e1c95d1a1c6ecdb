/* SPDX-License-Identifier: Apache-2.0 */
/* Host-side stand-ins for the parts of libos that the network stack uses. */
#ifndef LV_TEST_NET_SERVICES_H
#define LV_TEST_NET_SERVICES_H

#include <stdint.h>

extern int test_sigpipes;          /* SIGPIPEs sent so far */
extern uint64_t test_clock_offset; /* ns, added to the clock */
void test_pump(void);              /* runs timers and pollers until nothing is left to do */
int test_timers_armed(void);

#endif
