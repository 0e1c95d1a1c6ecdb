/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit_prices [WAY]: what it costs a VM of the library OS to leave the guest: a line "WAY NS" each, the best of five rounds. Where one WAY is named, a line "times N":
 * how often it was done; of "none" never. exit: a hypercall that there is not, to the monitor and back; bell: a doorbell of the first device, once it is KVM's (the
 * monitor makes it so after the first ones). The program writes to the registers itself, as libos does: both run in the same address space at the same level.
 */
#include <string.h>

#include "abi/layout.h"
#include "abi/shared.h"
#include "bench/stats.h"

#define TIMES 500
#define ROUNDS 5

static double price(unsigned long at, uint32_t value)
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = now_ns();
		for (int i = 0; i < TIMES; i++)
			*(volatile uint32_t *)at = value;
		double ns = (double)(now_ns() - start) / TIMES;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *way;
		unsigned long at;
		uint32_t value;
	} ways[] = { { "exit", LV_BELL + LV_BELL_HYPERCALL, 0 }, { "bell", LV_BELL, 1 } };
	int times = 0;

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (argc > 1 && strcmp(argv[1], ways[i].way))
			continue;
		double ns = price(ways[i].at, ways[i].value);
		times += ROUNDS * TIMES;
		if (argc == 1)
			printf("%s %.0f\n", ways[i].way, ns);
	}
	if (argc > 1)
		printf("times %d\n", times);
	return 0;
}
