/* SPDX-License-Identifier: Apache-2.0 */
/* What was unmapped, protected, dropped or replaced is seen so at once, at every page of ranges of every length: an entry that a processor still had would show what was there. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MOST 9ul	      /* pages that are changed at once */
#define AROUND 2ul	      /* beside them, which stay */
#define ALL (MOST + 2 * AROUND)
#define LARGE (2ul << 20)

static sigjmp_buf back;
static unsigned wrong;

static void caught(int number)
{
	siglongjmp(back, number);
}

#define EXPECT(cond) ((cond) ? 0 : (printf("%s: %u: %s\n", __func__, __LINE__, #cond), wrong++))

/* -1: it cannot be read. */
static int seen(const volatile char *at)
{
	return sigsetjmp(back, 1) ? -1 : *at;
}

static int writable(volatile char *at)
{
	if (sigsetjmp(back, 1))
		return 0;
	*at = 7;
	return 1;
}

/* All of its pages are there, and were written. */
static char *map_at(char *at, unsigned long pages)
{
	char *area = mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if (area == MAP_FAILED)
		exit(1);
	for (unsigned long i = 0; i < pages; i++)
		area[i * PAGE] = 1;
	return area;
}

static void others_stay(const char *area, unsigned long first, unsigned long count)
{
	for (unsigned long i = 0; i < ALL; i++)
		if (i < first || i >= first + count)
			EXPECT(seen(area + i * PAGE) == 1);
}

static void ranges(void (*change)(char *at, unsigned long pages), int reads, int writes)
{
	for (unsigned long count = 1; count <= MOST; count++) {
		char *area = map_at(NULL, ALL);

		change(area + AROUND * PAGE, count);
		for (unsigned long i = AROUND; i < AROUND + count; i++) {
			EXPECT(seen(area + i * PAGE) == reads);
			EXPECT(writable(area + i * PAGE) == writes);
		}
		others_stay(area, AROUND, count);
		munmap(area, ALL * PAGE);
	}
}

static void unmap(char *at, unsigned long pages) { munmap(at, pages * PAGE); }
static void drop(char *at, unsigned long pages) { madvise(at, pages * PAGE, MADV_DONTNEED); }
static void freeze(char *at, unsigned long pages) { mprotect(at, pages * PAGE, PROT_READ); }
static void hide(char *at, unsigned long pages) { mprotect(at, pages * PAGE, PROT_NONE); }
static void replace(char *at, unsigned long pages) { mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }
static void again(char *at, unsigned long pages)
{
	munmap(at, pages * PAGE);
	for (unsigned long i = 0; i < pages; i++)
		if (mmap(at + i * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			exit(1);
}

/* Pages that go to somebody else are not written by who had them. */
static void reused(void)
{
	for (unsigned long count = 1; count <= MOST; count++) {
		char *first = map_at(NULL, count);
		munmap(first, count * PAGE);
		char *second = map_at(NULL, count);

		if (second != first)
			EXPECT(!writable(first));
		for (unsigned long i = 0; i < count; i++)
			EXPECT(second[i * PAGE] == 1 && second[i * PAGE + 1] == 0);
		munmap(second, count * PAGE);
	}
}

/* Parts of what comes in large pages. */
static void large(void)
{
	char *area = mmap(NULL, 4 * LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *in = (char *)(((uintptr_t)area + 2 * LARGE) & -LARGE);

	memset(area, 1, 4 * LARGE);
	EXPECT(!mprotect(in + 5 * PAGE, PAGE, PROT_READ));
	EXPECT(!writable(in + 5 * PAGE) && seen(in + 5 * PAGE) == 1);
	EXPECT(writable(in + 4 * PAGE) && writable(in + 6 * PAGE));
	EXPECT(!munmap(in + 100 * PAGE, 2 * PAGE));
	EXPECT(seen(in + 100 * PAGE) == -1 && seen(in + 101 * PAGE) == -1 && seen(in + 99 * PAGE) == 1 && seen(in + 102 * PAGE) == 1);
	EXPECT(!madvise(in + 200 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT(seen(in + 200 * PAGE) == 0 && seen(in + 201 * PAGE) == 1);
	munmap(area, 4 * LARGE);
}

/* A page is changed by one process, and another one has what it had. */
static void processes(void)
{
	char *area = map_at(NULL, ALL);
	int status = 0;
	pid_t child = fork();

	if (!child) {
		area[0] = 2;
		munmap(area + PAGE, PAGE);
		mprotect(area + 2 * PAGE, PAGE, PROT_READ);
		_exit(seen(area) != 2 || seen(area + PAGE) != -1 || writable(area + 2 * PAGE));
	}
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
	EXPECT(seen(area) == 1 && seen(area + PAGE) == 1 && writable(area + 2 * PAGE));
	munmap(area, ALL * PAGE);
}

int main(void)
{
	struct sigaction action = { .sa_handler = caught };

	sigaction(SIGSEGV, &action, NULL);
	ranges(unmap, -1, 0);
	ranges(drop, 0, 1);
	ranges(freeze, 1, 0);
	ranges(hide, -1, 0);
	ranges(replace, 0, 1);
	ranges(again, 0, 0);
	reused();
	large();
	processes();
	puts(wrong ? "some were seen" : "nothing stale is seen");
	return wrong != 0;
}
