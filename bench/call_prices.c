/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a system call costs, by the way it is made: a line "WAY NS" each, the best of five rounds. getppid: by its own function; syscall: by
 * syscall(2), one instruction for every number; pipe: a byte is written and read; trap: from code that can be written, which libos leaves as it is.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/stats.h"

#define CALLS 20000
#define ROUNDS 5

static int end[2];

static void by_function(void)
{
	getppid();
}

static void by_syscall(void)
{
	syscall(SYS_getppid);
}

static void by_pipe(void)
{
	char byte = 0;
	if (write(end[1], &byte, 1) != 1 || read(end[0], &byte, 1) != 1)
		exit(1);
}

/* In a page of its own. */
static __attribute__((noinline, aligned(4096))) void by_trap(void)
{
	long nr = SYS_getppid;
	__asm__ volatile("syscall" : "+a"(nr) : : "rcx", "r11", "memory");
}

static __attribute__((aligned(4096))) double price(void (*call)(void))
{
	double best = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = now_ns();
		for (int i = 0; i < CALLS; i++)
			call();
		double ns = (double)(now_ns() - start) / CALLS;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	if (pipe(end))
		return 1;
	if (mprotect((void *)((uintptr_t)by_trap & -4096ul), 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 1;
	printf("getppid %.1f\nsyscall %.1f\npipe %.1f\ntrap %.1f\n", price(by_function), price(by_syscall), price(by_pipe), price(by_trap));
	return 0;
}
