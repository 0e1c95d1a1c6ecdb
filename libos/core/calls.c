/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls trap, how often and where: what a program pays for call sites that could not become jumps is seen. */
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/proc/proc.h"

#define OFTEN 64 /* traps of a site between two looks at what file it is in, which takes longer than to count */

static SELDOM_USED uint64_t second; /* of the monotonic clock, in which */
static SELDOM_USED uint32_t in_second; /* so many trapped */

static void count_second(volatile struct lv_calls *calls)
{
	uint64_t now = clock_monotonic() / NS_PER_S;

	in_second = now == second ? in_second + 1 : 1;
	second = now;
	calls->most = MAX(calls->most, in_second);
}

static volatile struct lv_call_site *site_of(volatile struct lv_calls *calls, uint64_t rip, uint32_t nr)
{
	volatile struct lv_call_site *least = &calls->site[0];

	for (unsigned i = 0; i < LV_CALL_SITES; i++) {
		volatile struct lv_call_site *site = &calls->site[i];

		if (site->count && site->rip == rip && site->nr == nr)
			return site;
		if (site->count < least->count)
			least = site;
	}
	least->rip = rip;
	least->nr = nr;
	return least;
}

void calls_trapped(uint64_t rip, uint64_t nr)
{
	volatile struct lv_calls *calls = &shared_page->calls;
	volatile struct lv_call_site *site = site_of(calls, rip, MIN(nr, UINT32_MAX));

	calls->trapped++;
	count_second(calls);
	site->count += site->count < UINT32_MAX;
	if (site->count % OFTEN == 0)
		crash_name_site(rip);
}
