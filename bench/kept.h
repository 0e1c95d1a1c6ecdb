/* SPDX-License-Identifier: Apache-2.0 */
/* VMs by the thousand that stay: what they take of the host's memory, and whether the last ones start as the first ones did. */
#ifndef LV_BENCH_KEPT_H
#define LV_BENCH_KEPT_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/available.h"
#include "bench/stats.h"

/* What ended processes held comes back bit by bit: settled is when a quarter of a second brings less than 1 MiB. */
#define SETTLE_NS 250000000ull
#define SETTLE_KIB 1024
#define SETTLE_MOST 40
#define TOUCHED_KIB 3072 /* for each VM */

static inline void nap(uint64_t ns)
{
	nanosleep(&(struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 }, NULL);
}

static inline uint64_t settled_kib(void)
{
	uint64_t before, now = available_kib();
	int turns = 0;
	do {
		before = now;
		nap(SETTLE_NS);
		now = available_kib();
	} while (llabs((long long)(now - before)) > SETTLE_KIB && ++turns < SETTLE_MOST);
	return now;
}

/*
 * A machine that is itself virtual may get its memory page by page, when it first touches it: 11 us instead of 1.4 were seen.
 * What the VMs will need is touched before, so that the last ones do not pay for that, and the first ones not.
 */
static inline void touch_memory(uint64_t kib)
{
	uint64_t most = available_kib() / 2, size = (kib < most ? kib : most) << 10;
	volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return;
	for (uint64_t at = 0; at < size; at += sysconf(_SC_PAGESIZE))
		memory[at] = 1;
	munmap((void *)memory, size);
}

/* The median of a stretch of samples that are in their order; the stretch is sorted. */
static inline double stretch_us(uint64_t *in_order, int from, int n)
{
	qsort(in_order + from, n, sizeof(*in_order), stats_order);
	return in_order[from + n / 2] / 1e3;
}

/* What the control group of all of this is charged, which no other work on the machine changes. 0: the environment's USAGE names no file that tells. */
static inline uint64_t charged(void)
{
	const char *path = getenv("USAGE");
	return path ? sum_of(path, "%llu") : 0;
}

/* started(context) starts one more VM, which stays, and answers its time in ns. The median of twenty stands for the 10th, and for the last. */
static inline void kept_print(const char *label, int runs, uint64_t *in_order, uint64_t (*started)(void *), void *context)
{
	int n = runs < 40 ? (runs + 1) / 2 : 20;
	started(context); /* files into the page cache; it stays, uncounted */
	touch_memory((uint64_t)runs * TOUCHED_KIB);
	uint64_t before = settled_kib(), charged_before = charged();
	for (int i = 0; i < runs; i++)
		in_order[i] = started(context);
	double each = ((double)before - (double)settled_kib()) / runs, group = ((double)charged() - (double)charged_before) / 1024 / runs;
	double last = stretch_us(in_order, runs - n, n), first = stretch_us(in_order, 0, n);
	printf("{\"what\": \"%s\", \"n\": %d, \"kib_each\": %.1f, \"charged_kib_each\": %.1f, \"first_us\": %.1f, \"last_us\": %.1f}\n", label, runs, each, group,
	       first, last);
}

#endif
