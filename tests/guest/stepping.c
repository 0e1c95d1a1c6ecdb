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

/*
 * Sites of the three kinds that libos knows (callsites.c): with room for a jump near; with bytes behind it that lead a jump
 * somewhere; with neither, so that the instruction before it is displaced.
 */
long padded(long number), punned(long number), bare(long unused);
__asm__(".text\n"
	".macro far\n\t.skip 160, 0x50\n\t.endm\n"
	"padded: mov %rdi, %rax\n\tsyscall\n\tret\n\t.skip 16, 0xcc\n"
	"punned: mov %rdi, %rax\n\tsyscall\n\tcmp $-4095, %rax\n\tjae 1f\n\tret\n1:\tneg %rax\n\tret\n\tfar\n"
	"bare: .byte 0x48, 0xc7, 0xc0, 39, 0, 0, 0\n\tsyscall\n\tmov $1, %edi\n\tret\n\tfar\n");

extern const char __executable_start, etext;
static uint64_t seen[64];

static void on_each(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	seen[traps++ % 64] = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	kill(getpid(), SIGUSR1); /* comes at each instruction, too */
}

static void on_other(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

	if (rip < (uint64_t)&__executable_start || rip >= (uint64_t)&etext)
		outside++;
}

__attribute__((noinline)) static long stepped(long (*call)(long))
{
	long result;

	__asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
			 "call *%%rbx\n\t"
			 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp"
			 : "=a"(result) : "b"(call), "D"((long)SYS_getpid) : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
	return result;
}

/* RCX is the return address, whichever way out of the call is taken. */
__attribute__((noinline)) static long return_address_missed(void)
{
	long result;

	__asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
			 "mov $39, %%eax\n\tsyscall\n"
			 "1:\tlea 1b(%%rip), %%rdx\n\tsub %%rcx, %%rdx\n\t"
			 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp"
			 : "=d"(result) : : "rax", "rcx", "r11", "memory", "cc");
	return result;
}

/* What a program sees that steps over a call is the same before and after it is patched. */
static bool steps_alike(long (*call)(long))
{
	uint64_t first[64];
	int count;

	traps = outside = 0;
	if (stepped(call) != getpid())
		return false;
	count = traps;
	memcpy(first, seen, sizeof(first));
	for (int i = 0; i < 24; i++)
		if (call(SYS_getpid) != getpid())
			return false;
	for (int i = 0; i < 3; i++) {
		traps = 0;
		if (stepped(call) != getpid() || traps != count || memcmp(first, seen, sizeof(first)) != 0)
			return false;
	}
	return count >= 6 && count < 64 && outside == 0;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	for (int i = 0; i < 24; i++) { /* often enough that the call site is one that libos would patch */
		traps = 0;
		CHECK(step(0x100) == getpid());
		IS(traps, 6);
		IS(outside, 0);
	}
	for (int i = 0; i < 24; i++)
		CHECK(step(0) == getpid());
	for (int i = 0; i < 3; i++) { /* by now it is replaced: that takes steps, but none that is seen */
		traps = outside = 0;
		CHECK(step(0x100) == getpid());
		IS(traps, 6);
		IS(outside, 0);
	}
	IS(return_address_missed(), 0);
	action.sa_sigaction = on_each;
	sigaction(SIGTRAP, &action, NULL);
	action.sa_sigaction = on_other;
	sigaction(SIGUSR1, &action, NULL);
	CHECK(steps_alike(padded));
	CHECK(steps_alike(punned));
	CHECK(steps_alike(bare));
	return check_end();
}
