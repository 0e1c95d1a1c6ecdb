/* SPDX-License-Identifier: Apache-2.0 */
/* Signals to oneself: handlers with their information, masks, alternate stack, restart, nesting, queues. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include "check.h"

static volatile int count, last, nested_depth, deepest;
static volatile int code, value;
static volatile uintptr_t address;
static sigjmp_buf back;
static char stack_area[65536];
static volatile int on_stack;

static void on_count(int signo)
{
	count++;
	last = signo;
}

static void on_info(int signo, siginfo_t *info, void *context)
{
	char here;

	(void)context;
	count++;
	last = signo;
	code = info->si_code;
	value = info->si_value.sival_int;
	on_stack = &here > stack_area && &here < stack_area + sizeof(stack_area);
}

static void on_jump(int signo, siginfo_t *info, void *context)
{
	on_info(signo, info, context);
	address = (uintptr_t)info->si_addr;
	siglongjmp(back, signo);
}

static void on_skip(int signo, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)info;
	last = signo;
	c->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 is two bytes */
	c->uc_mcontext.gregs[REG_RBX] = 4711;
}

static void handle(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	sigaction(signo, &action, NULL);
}

static void check_raise(void)
{
	struct sigaction old;
	union sigval v = {.sival_int = 4242};

	signal(SIGUSR1, on_count);
	CHECK(!raise(SIGUSR1) && count == 1 && last == SIGUSR1);
	handle(SIGUSR2, on_info, 0);
	CHECK(!kill(getpid(), SIGUSR2) && count == 2 && code == SI_USER);
	CHECK(!sigqueue(getpid(), SIGUSR2, v) && count == 3 && code == SI_QUEUE && value == 4242);
	CHECK(!raise(SIGUSR2) && code == SI_TKILL);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == on_count);
	signal(SIGUSR1, SIG_IGN);
	CHECK(!raise(SIGUSR1) && count == 4);
	FAILS(kill(getpid(), 99), EINVAL);
	IS(kill(getpid(), 0), 0);
	CHECK(signal(SIGKILL, on_count) == SIG_ERR && errno == EINVAL);
	handle(SIGUSR1, on_info, (int)SA_RESETHAND);
	raise(SIGUSR1);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == SIG_DFL);
}

static void check_mask(void)
{
	sigset_t set, old, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	count = 0;
	IS(sigprocmask(SIG_BLOCK, &set, &old), 0);
	raise(SIGUSR2);
	raise(SIGUSR2);
	CHECK(count == 0 && !sigpending(&pending) && sigismember(&pending, SIGUSR2) == 1);
	IS(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	IS(count, 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	sigemptyset(&old);
	FAILS(sigsuspend(&old), EINTR);
	IS(count, 2);
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &old) && sigismember(&old, SIGUSR2) == 1);
	raise(SIGUSR2);
	CHECK(sigtimedwait(&set, NULL, &(struct timespec){1, 0}) == SIGUSR2 && count == 2);
	FAILS(sigtimedwait(&set, NULL, &(struct timespec){0, 10000000}), EAGAIN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void check_queue(void)
{
	int real = SIGRTMIN + 3;
	sigset_t set;

	handle(real, on_info, 0);
	sigemptyset(&set);
	sigaddset(&set, real);
	sigprocmask(SIG_BLOCK, &set, NULL);
	count = 0;
	CHECK(!sigqueue(getpid(), real, (union sigval){.sival_int = 17}));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(count == 1 && code == SI_QUEUE && value == 17);
}

static int divide(volatile int a, volatile int b)
{
	return a / b;
}

static void check_faults(void)
{
	char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	register long rbx __asm__("rbx");
	long got;

	handle(SIGSEGV, on_jump, 0);
	handle(SIGFPE, on_jump, 0);
	if (!sigsetjmp(back, 1))
		none[123] = 1;
	CHECK(last == SIGSEGV && code == SEGV_ACCERR && address == (uintptr_t)none + 123);
	if (!sigsetjmp(back, 1))
		*(volatile char *)0x1234 = 1;
	CHECK(last == SIGSEGV && code == SEGV_MAPERR && address == 0x1234);
	if (!sigsetjmp(back, 1))
		printf("%d\n", divide(5, 0));
	CHECK(last == SIGFPE && code == FPE_INTDIV && address != 0);
	if (!sigsetjmp(back, 1))
		*(volatile char *)0x8000000000000000 = 1; /* not canonical: no address is told */
	CHECK(last == SIGSEGV && code == SI_KERNEL && address == 0);
	handle(SIGILL, on_skip, 0);
	__asm__ volatile("xor %%ebx, %%ebx; ud2" : "=r"(rbx));
	got = rbx;
	CHECK(last == SIGILL && got == 4711);
	handle(SIGTRAP, on_info, 0);
	__asm__ volatile("int3");
	CHECK(last == SIGTRAP);
	handle(SIGSEGV, on_jump, 0);
	last = 0;
	if (!sigsetjmp(back, 1))
		__asm__ volatile("hlt");
	CHECK(last == SIGSEGV && code == SI_KERNEL);
	munmap(none, 4096);
}

static int overflow(int depth)
{
	volatile char frame[4096];

	frame[0] = (char)depth;
	return depth < 0 ? frame[0] : overflow(depth + 1) + frame[0];
}

static void check_altstack(void)
{
	stack_t stack = {.ss_sp = stack_area, .ss_size = sizeof(stack_area)}, old;

	IS(sigaltstack(&stack, NULL), 0);
	CHECK(!sigaltstack(NULL, &old) && old.ss_sp == stack_area && old.ss_flags == 0);
	handle(SIGUSR1, on_info, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK(on_stack == 1);
	handle(SIGUSR1, on_info, 0);
	raise(SIGUSR1);
	CHECK(on_stack == 0);
	handle(SIGSEGV, on_jump, SA_ONSTACK);
	last = 0;
	if (!sigsetjmp(back, 1))
		overflow(0);
	CHECK(last == SIGSEGV && on_stack == 1);
	stack.ss_flags = SS_DISABLE;
	IS(sigaltstack(&stack, NULL), 0);
	stack = (stack_t){.ss_sp = stack_area, .ss_size = 100};
	FAILS(sigaltstack(&stack, NULL), ENOMEM);
}

static volatile int aligned, flag_clear, inside_flags;

/* As the psABI has it: RSP + 8 is a multiple of 16 at the entry, and the direction flag is clear. */
static void on_state(int signo, siginfo_t *info, void *context)
{
	stack_t stack;
	uint64_t flags;

	(void)signo, (void)info, (void)context;
	__asm__ volatile("pushfq; pop %0; cld" : "=r"(flags));
	aligned = ((uintptr_t)__builtin_frame_address(0) & 15) == 0;
	flag_clear = !(flags & 0x400);
	sigaltstack(NULL, &stack);
	inside_flags = stack.ss_flags;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
	errno = 77;
}

/* The interrupted code finds its vector registers, flags and (by its own care) nothing else changed. */
static void check_state(void)
{
	stack_t stack = { .ss_sp = stack_area, .ss_size = sizeof(stack_area) }, now;
	uint64_t flags = 0, low = 0, high = 0;
	long result = 62; /* kill */

	IS(sigaltstack(&stack, NULL), 0);
	handle(SIGUSR1, on_state, SA_ONSTACK);
	__asm__ volatile("movq %[value], %%xmm7\n\tmovq %[value], %%xmm15\n\tstd\n\tsyscall\n\tpushfq\n\tpop %[flags]\n\tcld\n\t"
			 "movq %%xmm7, %[low]\n\tmovq %%xmm15, %[high]"
			 : "+a"(result), [flags] "=&r"(flags), [low] "=&r"(low), [high] "=&r"(high)
			 : [value] "r"(0x1122334455667788ul), "D"((long)getpid()), "S"((long)SIGUSR1)
			 : "rcx", "r11", "xmm7", "xmm15", "memory");
	IS(result, 0);
	CHECK(aligned && flag_clear && inside_flags == SS_ONSTACK);
	CHECK(low == 0x1122334455667788ul && high == low && flags & 0x400);
	CHECK(!sigaltstack(NULL, &now) && now.ss_flags == 0);
	signal(SIGUSR1, SIG_DFL);
}

static void check_alarm(void)
{
	struct itimerval every = {{0, 10000}, {0, 10000}}, off = {0}, left;
	int64_t start = now_ms();
	volatile unsigned long work = 0;

	signal(SIGALRM, on_count);
	count = 0;
	IS(setitimer(ITIMER_REAL, &every, NULL), 0);
	while (count < 5 && now_ms() - start < 10000)
		work++;
	CHECK(count >= 5 && now_ms() - start >= 40);
	IS(setitimer(ITIMER_REAL, &off, &left), 0);
	CHECK(left.it_interval.tv_usec == 10000);
	alarm(1);
	count = 0;
	while (!count) /* no system call in here: the signal must interrupt a computing program */
		work++;
	IS(last, SIGALRM);
	CHECK(alarm(100) == 0 && alarm(0) > 90);
}

static void check_interrupt(void)
{
	struct itimerval soon = {{0, 0}, {0, 20000}};
	struct sigaction action = {.sa_handler = on_count};
	struct timespec left = {0};
	char byte;
	int p[2];

	IS(pipe(p), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	FAILS(read(p[0], &byte, 1), EINTR);
	setitimer(ITIMER_REAL, &soon, NULL);
	FAILS(nanosleep(&(struct timespec){10, 0}, &left), EINTR);
	CHECK(left.tv_sec == 9 && left.tv_nsec > 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	FAILS(pause(), EINTR);
	close(p[0]);
	close(p[1]);
}

static int restart_pipe[2];

static void on_restart(int signo)
{
	count += write(restart_pipe[1], "r", 1) == 1 && signo == SIGALRM;
}

static void check_restart(void)
{
	struct sigaction action = {.sa_handler = on_restart, .sa_flags = SA_RESTART};
	struct itimerval soon = {{0, 0}, {0, 20000}};
	char byte = 0;

	IS(pipe(restart_pipe), 0);
	sigaction(SIGALRM, &action, NULL);
	count = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	CHECK(read(restart_pipe[0], &byte, 1) == 1 && byte == 'r' && count == 1);
}

static void on_nested(int signo)
{
	nested_depth++;
	if (nested_depth > deepest)
		deepest = nested_depth;
	if (signo == SIGUSR1)
		raise(SIGUSR2);
	if (signo == SIGUSR2)
		raise(SIGURG);
	nested_depth--;
}

static void check_nested(void)
{
	struct sigaction action = {.sa_handler = on_nested};

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	sigaction(SIGURG, &action, NULL);
	raise(SIGUSR1);
	CHECK(deepest == 3 && nested_depth == 0);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, NULL);
	deepest = 0;
	raise(SIGUSR1);
	IS(deepest, 2);
}

int main(void)
{
	check_raise();
	check_mask();
	check_queue();
	check_faults();
	check_altstack();
	check_state();
	check_alarm();
	check_interrupt();
	check_restart();
	check_nested();
	return check_end();
}
