/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs a VM of the library OS to leave the guest: a line "WAY NS" each, the best of five rounds. exit: a hypercall that there is not, to the monitor and
 * back; bell: a doorbell of the first device, once it is KVM's (the monitor makes it so after the first ones). The program writes to the registers itself, as libos
 * does: both run in the same address space at the same level.
 */
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

int main(void)
{
	printf("exit %.0f\n", price(LV_BELL + LV_BELL_HYPERCALL, 0));
	printf("bell %.0f\n", price(LV_BELL, 1));
	return 0;
}
