/* SPDX-License-Identifier: Apache-2.0 */
/* The trap flag across system calls: one trap after each instruction, none inside the call. */
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "check.h"

static volatile int traps, outside;
extern const char step_begin[], step_end[];

static void on_trap(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

	traps++;
	if (info->si_code != TRAP_TRACE || rip < (uint64_t)step_begin || rip > (uint64_t)step_end)
		outside++;
}

__attribute__((noinline)) static long step(long flag)
{
	long result;

	__asm__ volatile("sub $128, %%rsp\n\t"
			 "pushfq\n\t"
			 "orq %1, (%%rsp)\n\t"
			 "popfq\n"
			 "step_begin:\n\t"
			 "nop\n\t"
			 "mov $39, %%eax\n\t"
			 "syscall\n\t"
			 "mov %%rax, %%rbx\n\t"
			 "pushfq\n\t"
			 "andq $~0x100, (%%rsp)\n\t"
			 "popfq\n\t"
			 "nop\n"
			 "step_end:\n\t"
			 "add $128, %%rsp"
			 : "=b"(result) : "d"(flag) : "rax", "rcx", "r11", "memory", "cc");
	return result;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	for (int i = 0; i < 12; i++) { /* often enough that the call site is one that libos would patch */
		traps = 0;
		CHECK(step(0x100) == getpid());
		IS(traps, 6);
		IS(outside, 0);
	}
	for (int i = 0; i < 12; i++)
		CHECK(step(0) == getpid());
	traps = 0; /* by now it is replaced, and takes other steps than before; but steps they are */
	CHECK(step(0x100) == getpid());
	CHECK(traps >= 5);
	return check_end();
}
