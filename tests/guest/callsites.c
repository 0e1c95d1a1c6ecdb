/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls from code of many shapes, often enough to be noticed: whatever is done to a call site, the call that is
 * made and what it leaves in the registers are the program's.
 */
#include <sys/syscall.h>

#include "check.h"

#define ROUNDS 20

/* The number goes through R8, as GCC compiles musl's futex calls; what R8 had before would be another call. */
static __attribute__((noinline)) long by_r8(void)
{
	long result;

	__asm__ volatile("mov %1, %%r8d\n\tnop\n\tmov %2, %%r8d\n\tmov $1, %%edx\n\tmov %%r8, %%rax\n\tsyscall"
			 : "=&a"(result) : "i"(SYS_getppid), "i"(SYS_getpid) : "rcx", "r11", "r8", "rdx", "memory");
	return result;
}

/* The number is overwritten after it was loaded. */
static __attribute__((noinline)) long overwritten(void)
{
	long result;

	__asm__ volatile("mov %2, %%edi\n\tmov %1, %%eax\n\tmov %%rdi, %%rax\n\tsyscall"
			 : "=&a"(result) : "i"(SYS_getppid), "i"(SYS_getpid) : "rcx", "r11", "rdi", "memory");
	return result;
}

static bool always(long (*call)(void), long want)
{
	for (int i = 0; i < ROUNDS; i++)
		if (call() != want)
			return false;
	return true;
}

int main(void)
{
	long pid = getpid();

	CHECK(always(by_r8, pid));
	CHECK(always(overwritten, pid));
	return check_end();
}
