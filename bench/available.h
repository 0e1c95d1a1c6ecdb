/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory the host has left, for what VMs cost. */
#ifndef LV_BENCH_AVAILABLE_H
#define LV_BENCH_AVAILABLE_H

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* The sum of the numbers in the lines of a file that have this format. */
static inline uint64_t sum_of(const char *path, const char *format)
{
	char line[128];
	unsigned long long sum = 0, number;
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &number) == 1)
			sum += number;
	if (file)
		fclose(file);
	return sum;
}

/* With the free pages that each processor keeps for itself: hundreds of MiB, which MemAvailable leaves out. */
static inline uint64_t available_kib(void)
{
	return sum_of("/proc/meminfo", "MemAvailable: %llu") + sum_of("/proc/zoneinfo", " count: %llu") * (sysconf(_SC_PAGESIZE) / 1024);
}

#endif
