/* SPDX-License-Identifier: Apache-2.0 */
/* Times the smallest system call: getppid [ROUNDS] prints nanoseconds a call, the best of five runs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 200000;
	uint64_t best = UINT64_MAX;
	if (rounds < 1) {
		fprintf(stderr, "getppid: '%s' is not a number of rounds\n", argv[1]);
		return 2;
	}
	for (int run = 0; run < 5; run++) {
		uint64_t start = now_ns();
		for (long i = 0; i < rounds; i++)
			getppid(); /* a real call each time: the C library does not cache it */
		uint64_t took = now_ns() - start;
		best = took < best ? took : best;
	}
	printf("%.1f\n", (double)best / rounds);
	return 0;
}
