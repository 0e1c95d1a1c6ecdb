/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pages cost, by the way they are come by: a line "WAY NS" each. file: first touch of a page of this program's file, read; copy: the same, written in a
 * private mapping; anonymous: of memory of a MiB, and more: of 8 MiB, from its second MiB on; cycle: 16 KiB are mapped, one page is written, and they are unmapped;
 * protect: a page loses the right to be written and gets it back, and is written;
 * crowded: a mapping more while there are up to 60,000, none of which joins another. A file's pages are touched once in a run: the second time is another price.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/stats.h"

#define PAGE 4096ul
#define FILE_PAGES 256 /* touched by each way */
#define MIB_PAGES 256
#define CYCLES 256
#define CROWD 60000

/* Each way has its own part of the file, so that no page is there from another one. */
static const __attribute__((aligned(4096))) char contents[2 * FILE_PAGES * PAGE] = { 1 };
static volatile char seen;

static volatile char *map(unsigned long pages, int prot, int fd, off_t at)
{
	void *area = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, at);
	if (area == MAP_FAILED)
		exit(1);
	return area;
}

static double each(uint64_t start, unsigned long count)
{
	return (double)(now_ns() - start) / (double)count;
}

static double file(int prot, int fd, off_t at)
{
	volatile char *area = map(FILE_PAGES, prot, fd, at);
	uint64_t start = now_ns();
	for (unsigned long i = 0; i < FILE_PAGES; i++)
		if (prot & PROT_WRITE)
			area[i * PAGE] = 1;
		else
			seen = area[i * PAGE];
	return each(start, FILE_PAGES);
}

static double anonymous(unsigned long pages, unsigned long from)
{
	volatile char *area = map(pages, PROT_READ | PROT_WRITE, -1, 0);
	uint64_t start = now_ns();
	for (unsigned long i = 0; i < pages; i++) {
		if (i == from)
			start = now_ns();
		area[i * PAGE] = 1;
	}
	return each(start, pages - from);
}

static double cycle(void)
{
	uint64_t start = now_ns();
	for (int i = 0; i < CYCLES; i++) {
		volatile char *area = map(4, PROT_READ | PROT_WRITE, -1, 0);
		area[0] = 1;
		munmap((void *)area, 4 * PAGE);
	}
	return each(start, CYCLES);
}

static double protect(void)
{
	volatile char *area = map(4, PROT_READ | PROT_WRITE, -1, 0);
	uint64_t start = now_ns();
	for (int i = 0; i < CYCLES; i++) {
		area[0] = 1;
		if (mprotect((void *)area, PAGE, PROT_READ) || mprotect((void *)area, PAGE, PROT_READ | PROT_WRITE))
			exit(1);
	}
	return each(start, CYCLES);
}

static double crowded(void)
{
	uint64_t start = now_ns();
	for (int i = 0; i < CROWD; i++)
		map(1, i % 2 ? PROT_READ : PROT_NONE, -1, 0);
	return each(start, CROWD);
}

int main(int argc, char **argv)
{
	int fd = argc == 1 ? open(argv[0], O_RDONLY) : -1;
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), half = (off_t)(FILE_PAGES * PAGE);
	seen = contents[0];
	if (size < (off_t)sizeof(contents)) {
		fprintf(stderr, "page_prices: %s cannot be read, or is shorter than what is in it\n", argv[0]);
		return 1;
	}
	printf("file %.0f\ncopy %.0f\n", file(PROT_READ, fd, 0), file(PROT_READ | PROT_WRITE, fd, half));
	printf("anonymous %.0f\nmore %.0f\n", anonymous(MIB_PAGES, 0), anonymous(8 * MIB_PAGES, MIB_PAGES));
	printf("cycle %.0f\nprotect %.0f\n", cycle(), protect());
	printf("crowded %.0f\n", crowded());
	return 0;
}
