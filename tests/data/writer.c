/* SPDX-License-Identifier: Apache-2.0 */
/* writer [MIB [US]]: pages that are written, that become zero, and that are given back and come again; each turn all of them are looked at. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define STATES 4

int main(int argc, char **argv)
{
	size_t pages = (argc > 1 ? strtoul(argv[1], NULL, 0) : 8) * 256;
	unsigned pause_us = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1000;
	uint64_t *word = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *is = calloc(pages, sizeof(*is)), seed = 88172645463325252u;
	for (unsigned turn = 0;; turn++) {
		for (size_t i = 0; i < pages; i++) {
			uint64_t *at = word + i * PAGE / 8;
			if (at[0] != is[i] || at[i % 512] != is[i]) {
				printf("wrong: page %zu has %llx in place of %llx\n", i, (unsigned long long)at[0], (unsigned long long)is[i]);
				return 1;
			}
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			if (seed % STATES == 0)
				continue;
			is[i] = seed % STATES == 1 ? seed : 0;
			if (seed % STATES == 3)
				madvise(at, PAGE, MADV_DONTNEED);
			else
				at[0] = at[i % 512] = is[i];
		}
		printf("turn %u\n", turn);
		fflush(stdout);
		usleep(pause_us);
	}
}
