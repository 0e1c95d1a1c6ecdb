/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints how fast the time-stamp counter of this machine counts, in kHz. The rig's machine has the same counter, and is told: on a busy
 * host its kernel cannot measure it.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define SPAN_NS 100000000
#define TRIES 1000

struct moment {
	uint64_t ns, ticks, doubt;
};

/* Both clocks at one time: the closest of some readings, since this process may lose its processor between any two instructions. */
static struct moment look(void)
{
	struct moment best = { .doubt = UINT64_MAX };

	for (unsigned i = 0; i < TRIES; i++) {
		struct timespec now;
		const uint64_t before = __rdtsc();

		clock_gettime(CLOCK_MONOTONIC_RAW, &now);
		const uint64_t after = __rdtsc();

		if (after - before < best.doubt)
			best = (struct moment){ now.tv_sec * 1000000000ull + now.tv_nsec, before + (after - before) / 2, after - before };
	}
	return best;
}

int main(void)
{
	const struct moment from = look();

	nanosleep(&(struct timespec){ .tv_nsec = SPAN_NS }, NULL);
	const struct moment to = look();

	printf("%llu\n", (unsigned long long)((to.ticks - from.ticks) * 1000000 / (to.ns - from.ns)));
	return 0;
}
