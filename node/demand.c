/* SPDX-License-Identifier: Apache-2.0 */
#include "node/demand.h"

#define NS_PER_S 1000000000ull
#define HALF_NS (8 * NS_PER_S) /* in which what was is worth half */
#define AHEAD 2                /* as many as come on the average would be too few half of the time */
#define BURST_HALVES 8         /* a burst is remembered so much longer than a rate */

/* By whole halves, and between them by the parabola 1 - 0.693 r + 0.193 r^2, which has the slope of 2^-r at its beginning, and ends at a half. */
static uint64_t decayed(uint64_t value, uint64_t passed, uint64_t half)
{
	uint64_t halves = passed / half;
	if (halves >= 63)
		return 0;
	value >>= halves;
	uint64_t r = (uint64_t)((unsigned __int128)(passed % half) * 1000000 / half);
	return (uint64_t)((unsigned __int128)value * (1000000 - 693147 * r / 1000000 + 193147 * r / 1000000 * r / 1000000) / 1000000);
}

static void catch_up(struct demand *demand, uint64_t now)
{
	uint64_t passed = now > demand->seen_ns ? now - demand->seen_ns : 0;
	if (demand->seen_ns) {
		demand->per_kilos = decayed(demand->per_kilos, passed, HALF_NS);
		demand->burst = decayed(demand->burst, passed, BURST_HALVES * HALF_NS);
	}
	demand->seen_ns = now;
}

/* One arrival adds what, decaying, has the sum one: ln 2 / half. */
void demand_came(struct demand *demand, uint64_t now)
{
	catch_up(demand, now);
	demand->per_kilos += 693 * NS_PER_S / HALF_NS;
	demand->since_full++;
	if (demand->since_full * 1000 > demand->burst)
		demand->burst = demand->since_full * 1000;
}

void demand_full(struct demand *demand)
{
	demand->since_full = 0;
}

unsigned demand_wanted(struct demand *demand, uint64_t now, uint64_t make_ns, unsigned least, unsigned most)
{
	catch_up(demand, now);
	uint64_t meanwhile = (uint64_t)((unsigned __int128)AHEAD * demand->per_kilos * make_ns / (1000 * NS_PER_S)), burst = (demand->burst + 500) / 1000;
	uint64_t wanted = meanwhile > burst ? meanwhile : burst;
	if (wanted < least)
		wanted = least;
	return wanted > most ? most : (unsigned)wanted;
}
