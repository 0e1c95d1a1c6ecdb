/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a memory and says so: a line "NONCE COUNT" for each turn, in which a part of the memory is checked and changed. The nonce is made once, at
 * the start, so that a program that was started again cannot pass for one that goes on. Memory that it gives back and gets again has to be zero. keeper [MIB [MICROSECONDS BETWEEN TURNS]]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t expected(uint64_t seed, size_t i, uint64_t round)
{
	return (seed ^ (i * 0x9e3779b97f4a7c15ull)) + round * 0xbf58476d1ce4e5b9ull;
}

/* Gets memory, which nobody has used, uses it, and gives it back. */
static int borrow(size_t size)
{
	unsigned char *lent = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i = 0;

	while (lent != MAP_FAILED && i < size && !lent[i])
		i++;
	if (lent == MAP_FAILED || i < size)
		return printf("fresh memory is not zero at %zu\n", i), -1;
	memset(lent, 0xa5, size);
	return munmap(lent, size);
}

int main(int argc, char **argv)
{
	const size_t words = (argc > 1 ? strtoul(argv[1], NULL, 0) : 1) << 17, pieces = 64;
	const unsigned pause = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	uint64_t nonce, *memory = malloc(words * sizeof(*memory));

	if (!memory || getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < words; i++)
		memory[i] = expected(nonce, i, 0);
	for (uint64_t turn = 0;; turn++) {
		const uint64_t round = turn / pieces, piece = turn % pieces;

		for (size_t i = words / pieces * piece; i < words / pieces * (piece + 1); i++) {
			if (memory[i] != expected(nonce, i, round)) {
				printf("word %zu is wrong in round %llu\n", i, (unsigned long long)round);
				return 1;
			}
			memory[i] = expected(nonce, i, round + 1);
		}
		if (piece == 0 && borrow(words))
			return 1;
		printf("%016llx %llu\n", (unsigned long long)nonce, (unsigned long long)turn);
		if (pause)
			usleep(pause);
	}
}
