/* SPDX-License-Identifier: Apache-2.0 */
/* How many shells a pool should have ready: enough for what comes while one more is made, and for as many at once as have come before. */
#ifndef LV_NODE_DEMAND_H
#define LV_NODE_DEMAND_H

#include <stdint.h>

struct demand { /* all zero: nobody came yet. Times are CLOCK_MONOTONIC in ns */
	uint64_t seen_ns;   /* when the following were right */
	uint64_t per_kilos; /* arrivals in 1,000 s, if it went on like this */
	uint64_t burst;     /* most that came while the pool was not full, in thousandths: forgotten slowly */
	uint64_t since_full;
};

void demand_came(struct demand *demand, uint64_t now);
void demand_full(struct demand *demand); /* the pool has all that it wants */
/* make_ns: how long one takes to make. Never below least or above most. */
unsigned demand_wanted(struct demand *demand, uint64_t now, uint64_t make_ns, unsigned least, unsigned most);

#endif
