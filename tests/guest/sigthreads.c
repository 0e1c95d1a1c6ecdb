/* SPDX-License-Identifier: Apache-2.0 */
/* Signals among threads: who takes them, what they interrupt, what a handler finds in its context; locks whose holder ended. */
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#include "check.h"

static atomic_int caught, ready, stop;
static _Thread_local volatile int caught_here;
static atomic_long taker;

static void on_signal(int signo)
{
	(void)signo;
	caught++;
	caught_here++;
	taker = syscall(SYS_gettid);
}

static void handle(int signo, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(signo, &action, NULL);
}

static void block(int how, int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(how, &set, NULL);
}

static void *take_one(void *unused)
{
	block(SIG_UNBLOCK, SIGUSR1);
	ready = (int)syscall(SYS_gettid);
	while (!caught_here)
		nanosleep(&(struct timespec){1, 0}, NULL);
	return unused;
}

/* Blocked by the first thread: the other one must take it, out of its sleep. */
static void check_choice(void)
{
	pthread_t thread;

	handle(SIGUSR1, on_signal, 0);
	block(SIG_BLOCK, SIGUSR1);
	pthread_create(&thread, NULL, take_one, NULL);
	while (!ready)
		sched_yield();
	kill(getpid(), SIGUSR1);
	pthread_join(thread, NULL);
	CHECK(caught == 1 && taker == ready);
	block(SIG_UNBLOCK, SIGUSR1);
}

static void *sigwait_all(void *sum)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	for (;;) {
		if (sigwait(&set, &signo))
			return (void *)-1l;
		if (signo == SIGTERM)
			return sum;
		++*(atomic_int *)sum;
	}
}

static void check_sigwait(void)
{
	atomic_int sum = 0;
	pthread_t thread;

	block(SIG_BLOCK, SIGUSR2);
	block(SIG_BLOCK, SIGTERM);
	pthread_create(&thread, NULL, sigwait_all, &sum);
	for (int i = 1; i <= 5; i++) {
		kill(getpid(), SIGUSR2);
		while (sum < i)
			nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	kill(getpid(), SIGTERM);
	pthread_join(thread, NULL);
	IS(sum, 5);
	block(SIG_UNBLOCK, SIGUSR2);
	block(SIG_UNBLOCK, SIGTERM);
}

static void *lock_it(void *lock)
{
	ready = 1;
	return (void *)(long)pthread_mutex_lock(lock);
}

/* A handler runs in the middle of a wait for a lock, which then goes on. */
static void check_restart(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;
	void *result;

	ready = caught = 0;
	pthread_mutex_lock(&lock);
	pthread_create(&thread, NULL, lock_it, &lock);
	while (!ready)
		sched_yield();
	for (int i = 1; i <= 3; i++) {
		pthread_kill(thread, SIGUSR1);
		while (caught < i)
			nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	pthread_mutex_unlock(&lock);
	pthread_join(thread, &result);
	CHECK(result == NULL && caught == 3);
}

/* ---- vector registers survive handlers and other threads ---- */

static void on_clobber(int signo)
{
	__asm__ volatile("pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15" : : : "xmm7", "xmm15");
	fesetround(FE_UPWARD);
	on_signal(signo);
}

static void *compute(void *number)
{
	double sum = 0, good = 0;
	long i, bad = 0;

	for (i = 0; i < 300000; i++)
		good += 1.0 / (double)(i + (long)number);
	while (!stop) {
		for (sum = 0, i = 0; i < 300000; i++)
			sum += 1.0 / (double)(i + (long)number);
		bad += sum != good;
	}
	return (void *)bad;
}

static void check_vectors(void)
{
	struct itimerval every = {{0, 3000}, {0, 3000}}, off = {0};
	pthread_t thread[3];
	void *bad;
	long all = 0;

	caught = 0;
	handle(SIGALRM, on_clobber, SA_RESTART);
	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, compute, (void *)(i + 1));
	setitimer(ITIMER_REAL, &every, NULL);
	for (volatile long i = 0; caught < 20 && i < 20000000000; i++)
		;
	setitimer(ITIMER_REAL, &off, NULL);
	stop = 1;
	for (int i = 0; i < 3; i++) {
		pthread_join(thread[i], &bad);
		all += (long)bad;
	}
	CHECK(all == 0 && caught >= 20);
	IS(fegetround(), FE_TONEAREST);
}

static void *round_of_parent(void *unused)
{
	return (void *)(long)(fegetround() == FE_DOWNWARD ? (long)unused : -1);
}

static void check_inherit(void)
{
	pthread_t thread;
	void *result;

	fesetround(FE_DOWNWARD);
	pthread_create(&thread, NULL, round_of_parent, NULL);
	pthread_join(thread, &result);
	fesetround(FE_TONEAREST);
	CHECK(result == NULL);
}

/* ---- what a handler sees and may change ---- */

static volatile long seen_rip, seen_flags;

static void on_context(int signo, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	uint32_t *magic = (uint32_t *)((char *)c->uc_mcontext.fpregs + 464);

	(void)signo, (void)info;
	seen_rip = c->uc_mcontext.gregs[REG_RIP];
	seen_flags = c->uc_mcontext.gregs[REG_EFL];
	CHECK(magic[0] == 0x46505853 && *(uint32_t *)((char *)c->uc_mcontext.fpregs + magic[4]) == 0x46505845);
	CHECK((c->uc_mcontext.gregs[REG_CSGSFS] & 3) == 3);
	c->uc_mcontext.gregs[REG_R12] = 1234;
	c->uc_mcontext.fpregs->_xmm[9].element[0] = 77;
	sigaddset(&c->uc_sigmask, SIGUSR2);
}

static void check_context(void)
{
	struct sigaction action = {.sa_sigaction = on_context, .sa_flags = SA_SIGINFO};
	register long r12 __asm__("r12") = 0;
	long rax = SYS_tgkill;
	uint32_t xmm = 0;
	sigset_t now;

	sigaction(SIGUSR1, &action, NULL);
	__asm__ volatile("xorl %%r12d, %%r12d; pxor %%xmm9, %%xmm9; syscall; movd %%xmm9, %2" : "+a"(rax), "=r"(r12), "=r"(xmm) :
		"D"((long)getpid()), "S"(syscall(SYS_gettid)), "d"((long)SIGUSR1) : "rcx", "r11", "memory", "xmm9");
	CHECK(r12 == 1234 && xmm == 77 && rax == 0 && seen_rip != 0 && (seen_flags & 0x200));
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGUSR1) == 0);
	block(SIG_UNBLOCK, SIGUSR2);
}

static sigjmp_buf out;
static int jumps;

static void on_fault(int signo)
{
	(void)signo;
	siglongjmp(out, 1);
}

static void check_many_faults(void)
{
	handle(SIGSEGV, on_fault, 0);
	for (volatile int i = 0; i < 500; i++)
		if (!sigsetjmp(out, 1))
			*(volatile int *)8 = i;
		else
			jumps++;
	IS(jumps, 500);
	handle(SIGSEGV, SIG_DFL, 0);
}

static void *spin_until_stop(void *unused)
{
	while (!stop)
		;
	return unused;
}

/* Faults while another thread wants the processor: what interrupts the program may find it on its way into a trap. */
static void check_faults_preempted(void)
{
	pthread_t thread;

	jumps = 0;
	stop = 0;
	handle(SIGSEGV, on_fault, 0);
	pthread_create(&thread, NULL, spin_until_stop, NULL);
	for (int64_t end = now_ms() + 1000; now_ms() < end;)
		if (!sigsetjmp(out, 1))
			*(volatile int *)8 = 1;
		else
			jumps++;
	stop = 1;
	pthread_join(thread, NULL);
	CHECK(jumps > 100);
	handle(SIGSEGV, SIG_DFL, 0);
}

/* ---- locks ---- */

static void *die_holding(void *lock)
{
	pthread_mutex_lock(lock);
	return NULL;
}

static void check_robust(int protocol, const char *text)
{
	pthread_mutexattr_t kind;
	pthread_mutex_t lock;
	pthread_t thread;

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setprotocol(&kind, protocol);
	pthread_mutex_init(&lock, &kind);
	pthread_create(&thread, NULL, die_holding, &lock);
	pthread_join(thread, NULL);
	check_say(pthread_mutex_lock(&lock) == EOWNERDEAD && !pthread_mutex_consistent(&lock) && !pthread_mutex_unlock(&lock) &&
		!pthread_mutex_lock(&lock) && !pthread_mutex_unlock(&lock), text, __LINE__);
}

static pthread_mutex_t pi_lock;
static long pi_counter;

static void *pi_add(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&pi_lock);
		pi_counter++;
		if (i % 100 == 0)
			sched_yield();
		pthread_mutex_unlock(&pi_lock);
	}
	return unused;
}

static void check_pi(void)
{
	pthread_mutexattr_t kind;
	pthread_t thread[4];

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
	IS(pthread_mutex_init(&pi_lock, &kind), 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, pi_add, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	IS(pi_counter, 8000);
}

static void *spin(void *unused)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	ready = 1;
	for (;;)
		__asm__ volatile("");
	return unused;
}

static void check_cancel(void)
{
	pthread_t thread;
	void *result;

	ready = 0;
	pthread_create(&thread, NULL, spin, NULL);
	while (!ready)
		sched_yield();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	CHECK(result == PTHREAD_CANCELED);
	FAILS(syscall(SYS_tgkill, getpid(), 99999, SIGUSR1), ESRCH);
}

int main(void)
{
	check_choice();
	check_sigwait();
	check_restart();
	check_vectors();
	check_inherit();
	check_context();
	check_many_faults();
	check_faults_preempted();
	check_robust(PTHREAD_PRIO_NONE, "robust mutex");
	check_robust(PTHREAD_PRIO_INHERIT, "robust mutex with priority inheritance");
	check_pi();
	check_cancel();
	return check_end();
}
