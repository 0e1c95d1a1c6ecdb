/* SPDX-License-Identifier: Apache-2.0 */
/* 64 MiB touched page by page, given back and touched again; and 7 MiB of stack. */
#include <sys/mman.h>
#include <sys/resource.h>

#include "check.h"

#define SIZE (64ul << 20)

static bool fill_and_verify(uint64_t *p, uint64_t seed)
{
	for (size_t i = 0; i < SIZE / 8; i += 64)
		p[i] = i * seed;
	for (size_t i = 0; i < SIZE / 8; i += 64)
		if (p[i] != i * seed)
			return false;
	return true;
}

static unsigned long descend(int depth)
{
	volatile char frame[4096];

	frame[0] = (char)depth;
	frame[4095] = 1;
	if (depth == 0)
		return 0;
	return descend(depth - 1) + (unsigned long)frame[4095];
}

int main(void)
{
	uint64_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rlimit limit;

	CHECK(p != MAP_FAILED);
	CHECK(fill_and_verify(p, 0x9e3779b97f4a7c15));
	for (int round = 0; round < 4; round++) {
		CHECK(!madvise(p, SIZE, MADV_DONTNEED) && p[0] == 0 && p[SIZE / 16] == 0 && p[SIZE / 8 - 1] == 0);
		CHECK(fill_and_verify(p, (uint64_t)round + 3));
	}
	CHECK(!munmap(p, SIZE));
	CHECK(!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur >= 8ul << 20);
	CHECK(descend(7 * 255) == 7 * 255);
	CHECK(descend(7 * 255) == 7 * 255);
	return check_end();
}
