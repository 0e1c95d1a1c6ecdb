/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of one measurement, in nanoseconds, and how they are told: one JSON object a line. */
#ifndef LV_BENCH_STATS_H
#define LV_BENCH_STATS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int stats_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static inline double stats_us(const uint64_t *sorted, int n, double share)
{
	return sorted[(int)((n - 1) * share)] / 1e3;
}

/* Sorts the samples; label must need no escaping. */
static inline void stats_print(const char *label, uint64_t *sample, int n)
{
	qsort(sample, n, sizeof(*sample), stats_order);
	printf("{\"what\": \"%s\", \"n\": %d, \"min_us\": %.1f, \"median_us\": %.1f, \"p90_us\": %.1f, \"max_us\": %.1f}\n", label, n,
	       stats_us(sample, n, 0), stats_us(sample, n, 0.5), stats_us(sample, n, 0.9), stats_us(sample, n, 1));
}

#endif
