/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls from code of many shapes, often enough to be noticed: whatever is done to a call site, the call that is
 * made and what it leaves in the registers are the program's.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#include "check.h"

#define ROUNDS 32

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

/*
 * Sites by hand. Behind padded, there is room behind a ret; behind punned, none, but the bytes of a comparison; behind
 * bare, bytes that lead nowhere when they are taken for a distance, so only the number before it is left.
 */
long padded(long number), punned(long number), bare(void), two_faced(long number, void *unused, long *sum, long *term), second_byte(long eax);
__asm__(".text\n"
	".macro far\n\t.skip 160, 0x50\n\t.endm\n"
	"padded: mov %rdi, %rax\n\tsyscall\n\tret\n\t.skip 16, 0xcc\n"
	"punned: mov %rdi, %rax\n\tsyscall\n\tcmp $-4095, %rax\n\tjae 1f\n\tret\n1:\tneg %rax\n\tret\n\tfar\n"
	"bare: .byte 0x48, 0xc7, 0xc0, 39, 0, 0, 0\n\tsyscall\n\tmov $1, %edi\n\tret\n\tfar\n"
	/* as a call: add %eax,(%rdx); add (%rbx,%rax,8),%eax; from the second byte on: add $0x04030201,%eax; ret */
	"two_faced: push %rbx\n\tmov %rcx, %rbx\n\tmov %rdi, %rax\n\tcall 1f\n\tpop %rbx\n\tret\n"
	"1:\t.byte 0x0f\n2:\t.byte 0x05, 1, 2, 3, 4, 0xc3, 0xc3\n\tfar\n"
	"second_byte: mov %rdi, %rax\n\tjmp 2b\n\tfar\n");

static bool always(long (*call)(void), long want)
{
	for (int i = 0; i < ROUNDS; i++)
		if (call() != want)
			return false;
	return true;
}

/* One site, several numbers in turns, errors among them. */
static bool answers(long (*call)(long), long pid, bool negates)
{
	for (int i = 0; i < ROUNDS; i++)
		if (call(SYS_getpid) != pid || call(SYS_getppid) != getppid() || call(999) != (negates ? ENOSYS : -ENOSYS))
			return false;
	return true;
}

static bool keeps_registers(void)
{
	for (long i = 0; i < ROUNDS; i++) {
		register long r8 __asm__("r8") = i, r9 __asm__("r9") = i + 1, r10 __asm__("r10") = i + 2;
		register long r12 __asm__("r12") = i + 3, rdx __asm__("rdx") = i + 4, rsi __asm__("rsi") = i + 5;
		long result, back;

		__asm__ volatile("stc\n\tsyscall\n1:\tlea 1b(%%rip), %1\n\tsub %%rcx, %1"
				 : "=a"(result), "=&D"(back), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r12), "+r"(rdx), "+r"(rsi)
				 : "a"(SYS_getpid) : "rcx", "r11", "memory");
		if (back || r8 != i || r9 != i + 1 || r10 != i + 2 || r12 != i + 3 || rdx != i + 4 || rsi != i + 5)
			return false;
	}
	return true;
}

static bool second_byte_is_kept(long ppid)
{
	long sum = 0, term = 1000;

	for (long i = 1; i <= ROUNDS; i++)
		if (two_faced(SYS_getppid, NULL, &sum, &term - ppid) != (int)ppid + 1000 || (int)sum != (int)(i * ppid) ||
		    second_byte(5) != 0x04030201 + 5)
			return false;
	return true;
}

/* ---- signals that come on the way ---- */

extern char __executable_start, etext;
static volatile long signals, strange;
static volatile bool at_sites; /* only the program's own code runs, not the C library's or the kernel's page of clocks */
static volatile int answer_to = -1;

static void on_alarm(int signo, siginfo_t *info, void *context)
{
	uintptr_t rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	signals += at_sites;
	if (at_sites && (rip < (uintptr_t)&__executable_start || rip >= (uintptr_t)&etext))
		strange++;
	if (answer_to >= 0 && write(answer_to, "x", 1) == 1)
		answer_to = -1;
}

static bool survives_signals(long pid)
{
	struct sigaction action = { .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	int64_t end = now_ms() + 10000;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (signals < 100 && now_ms() < end) {
		at_sites = true;
		for (int i = 0; i < 1000; i++)
			if (padded(SYS_getpid) != pid || punned(SYS_getpid) != pid || bare() != pid)
				return false;
		at_sites = false;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	return signals >= 20 && strange == 0;
}

/* A read that a signal interrupts begins again at its site, which was noticed long before: the handler sends what it waits for. */
static bool restarts(void)
{
	struct itimerval soon = { { 0, 0 }, { 0, 5000 } };
	char byte = 7;
	long got;
	int end[2];

	if (pipe(end) != 0)
		return false;
	for (int i = 0; i < 2 * ROUNDS; i++) {
		if (i % 4 == 3) {
			answer_to = end[1];
			setitimer(ITIMER_REAL, &soon, NULL);
		} else if (write(end[1], &byte, 1) != 1) {
			return false;
		}
		__asm__ volatile("syscall" : "=a"(got) : "a"(SYS_read), "D"(end[0]), "S"(&byte), "d"(1L) : "rcx", "r11", "memory");
		if (got != 1)
			return false;
	}
	close(end[0]);
	close(end[1]);
	return true;
}

/* ---- code that changes ---- */

static bool copies(long pid)
{
	char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long (*call)(long) = (long (*)(long))code;
	bool good = true;

	for (int turn = 0; turn < 4; turn++) {
		/* mov %rdi,%rax; syscall; then ret, or inc %rax; ret: where padding was in the first turn */
		memcpy(code, "\x48\x89\xf8\x0f\x05\xc3\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 14);
		if (turn % 2)
			memcpy(code + 5, "\x48\xff\xc0\xc3\x48\xff\xc0\xc3\x90", 9);
		mprotect(code, 4096, PROT_READ | PROT_EXEC);
		for (int i = 0; i < ROUNDS; i++)
			good &= call(SYS_getpid) == pid + turn % 2;
		good &= memcmp(code + 6, turn % 2 ? "\xff\xc0\xc3\x48" : "\xcc\xcc\xcc\xcc", 4) == 0;
		mprotect(code, 4096, PROT_READ | PROT_WRITE);
		good &= memcmp(code, "\x48\x89\xf8\x0f\x05", 5) == 0;
	}
	munmap(code, 4096);
	return good;
}

/* The heap grows over whatever was kept behind the program. */
static bool space_is_ours(long pid)
{
	const long size = 64 << 20;
	char *from = sbrk(size);

	if (from == (char *)-1)
		return false;
	for (long at = 0; at < size; at += 65536)
		from[at] = 1;
	for (int i = 0; i < ROUNDS; i++)
		if (punned(SYS_getpid) != pid || padded(SYS_getpid) != pid || bare() != pid)
			return false;
	return sbrk(-size) == from + size;
}

int main(void)
{
	long pid = getpid();

	CHECK(always(by_r8, pid));
	CHECK(always(overwritten, pid));
	CHECK(answers(padded, pid, false));
	CHECK(answers(punned, pid, true));
	CHECK(always(bare, pid));
	CHECK(keeps_registers());
	CHECK(second_byte_is_kept(getppid()));
	CHECK(survives_signals(pid));
	CHECK(restarts());
	CHECK(copies(pid));
	CHECK(space_is_ours(pid));
	CHECK(answers(punned, pid, true));
	return check_end();
}
