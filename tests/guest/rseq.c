/* SPDX-License-Identifier: Apache-2.0 */
/* Restartable sequences: a section that others, or a handler, have interrupted begins again, and none other. */
#include "check.h"

#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#define SIGNATURE 0x53053053
#define THREADS 4
#define ROUNDS 20000
#define LIMIT_S 100 /* of the wait for another thread's turn */

static __thread struct rseq area __attribute__((aligned(32)));
extern const char abort_of_spin[];

static long control(struct rseq *at, unsigned size, int flags, uint32_t signature)
{
	return syscall(SYS_rseq, at, size, flags, signature);
}

/* The C library has registered an area of its own; threads that are made when it is gone have none. */
static long take(void)
{
	struct rseq *library = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	if (__rseq_size && control(library, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE))
		return -1;
	return control(&area, 32, 0, SIGNATURE);
}

/* A section that never ends, unless it is left at its abort address; *turns counts. */
static void spin(volatile long *turns)
{
	__asm__ volatile(".pushsection .data.sections, \"aw\"\n"
			 ".balign 32\n"
			 "sections_spin: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, abort_of_spin\n"
			 ".popsection\n"
			 "lea sections_spin(%%rip), %%rax\n"
			 "mov %%rax, %0\n"
			 "1: incq %1\n"
			 "jmp 1b\n"
			 "2: .long 0x53053053\n"
			 ".globl abort_of_spin\n"
			 "abort_of_spin:\n"
			 : "+m"(area.rseq_cs), "+m"(*turns)
			 :
			 : "rax", "memory", "cc");
}
extern struct rseq_cs sections_spin;

/* Adds one, slowly, by a load and a store that nobody may come between: true if it was done. */
static bool add_one(volatile long *sum)
{
	bool done;

	__asm__ volatile(".pushsection .data.sections, \"aw\"\n"
			 ".balign 32\n"
			 "3: .long 0, 0\n"
			 ".quad 1f, 2f - 1f, 4f\n"
			 ".popsection\n"
			 "lea 3b(%%rip), %%rax\n"
			 "mov %%rax, %0\n"
			 "1: mov %1, %%rdx\n"
			 "mov $300, %%ecx\n"
			 "5: loop 5b\n"
			 "inc %%rdx\n"
			 "mov %%rdx, %1\n"
			 "2: mov $1, %2\n"
			 "jmp 6f\n"
			 ".long 0x53053053\n"
			 "4: mov $0, %2\n"
			 "6:\n"
			 : "+m"(area.rseq_cs), "+m"(*sum), "=q"(done)
			 :
			 : "rax", "rcx", "rdx", "memory", "cc");
	return done;
}

/* ---- registration ---- */

static void *other_thread(void *with)
{
	(void)with;
	FAILS(control(&area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL); /* the other one's is not its own */
	IS(control(&area, 32, 0, SIGNATURE), 0);
	return NULL;
}

static void registration(void)
{
	pthread_t thread;

	FAILS(control(&area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
	IS(take(), 0);
	IS(area.cpu_id_start == area.cpu_id && (int)area.cpu_id >= 0, 1);
	CHECK(!in_vm() || area.cpu_id == 0);
	FAILS(control(&area, 32, 0, SIGNATURE), EBUSY);
	FAILS(control(&area, 32, 0, SIGNATURE + 1), EPERM);
	FAILS(control(&area + 1, 32, 0, SIGNATURE), EINVAL);
	FAILS(control(&area, 32, 2, SIGNATURE), EINVAL);
	FAILS(control(&area, 32, RSEQ_FLAG_UNREGISTER | 2, SIGNATURE), EINVAL);
	FAILS(control(&area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE + 1), EPERM);
	FAILS(control(&area, 31, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
	FAILS(control(&area + 1, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
	IS(control(&area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE), 0);
	IS((int)area.cpu_id, RSEQ_CPU_ID_UNINITIALIZED);
	IS(area.cpu_id_start, 0);
	FAILS(control((struct rseq *)((char *)&area + 8), 32, 0, SIGNATURE), EINVAL);
	FAILS(control(&area, 16, 0, SIGNATURE), EINVAL);
	FAILS(control((struct rseq *)0xffff800000000000, 32, 0, SIGNATURE), EFAULT);
	IS(control(&area, 32, 0, SIGNATURE), 0);
	pthread_create(&thread, NULL, other_thread, NULL);
	IS(pthread_join(thread, NULL), 0);
}

/* ---- others run ---- */

static volatile bool over;
static volatile long sum;

static void *rival(void *with)
{
	(void)with;
	while (!over)
		;
	return NULL;
}

static void left_for_another(void)
{
	volatile long turns = 0;
	pthread_t thread;

	IS(pthread_create(&thread, NULL, rival, NULL), 0);
	alarm(LIMIT_S);
	spin(&turns);
	alarm(0);
	over = true;
	IS(turns > 0, 1);
	IS(area.rseq_cs, 0);
	pthread_join(thread, NULL);
}

static void *add_many(void *with)
{
	long failed = control(&area, 32, 0, SIGNATURE) != 0;

	(void)with;
	for (int i = 0; i < ROUNDS && !failed; i++)
		while (!add_one(&sum))
			;
	return (void *)failed;
}

static void sums(void)
{
	pthread_t thread[THREADS];
	void *failed;
	int good = 0;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, add_many, NULL);
	for (int i = 0; i < THREADS; i++)
		good += !pthread_join(thread[i], &failed) && !failed;
	IS(good, THREADS);
	IS(sum, (long)THREADS * ROUNDS);
}

/* ---- signals ---- */

static volatile uint64_t rip_seen, section_seen;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	rip_seen = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	section_seen = area.rseq_cs;
}

static void left_for_a_handler(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct itimerval soon = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 }; /* the first may come before the section */
	volatile long turns = 0;

	sigaction(SIGALRM, &action, NULL);
	section_seen = 1;
	IS(setitimer(ITIMER_REAL, &soon, NULL), 0);
	do /* that others were given the processor ends it, too */
		spin(&turns);
	while (!rip_seen);
	IS(setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL), 0);
	IS(section_seen, 0);
	IS(area.rseq_cs, 0);
	/* Who stands outside of the section goes on there, and the section is forgotten. */
	rip_seen = 0;
	section_seen = 1;
	area.rseq_cs = (uint64_t)&sections_spin;
	raise(SIGALRM);
	IS(rip_seen != 0 && rip_seen != (uint64_t)abort_of_spin, 1);
	IS(section_seen, 0);
	signal(SIGALRM, SIG_DFL);
}

/* ---- nonsense: ends the program ---- */

static void ignore(int signo)
{
	(void)signo;
}

enum nonsense { NOWHERE, HANDLED, VERSION, FLAGS, SIGNATURE_WRONG, ABORT_INSIDE, AREA_FLAGS };

static void child_of(enum nonsense what)
{
	volatile long turns = 0;

	if (what == VERSION)
		sections_spin.version = 1;
	if (what == FLAGS)
		sections_spin.flags = 1;
	if (what == SIGNATURE_WRONG)
		sections_spin.abort_ip++;
	if (what == ABORT_INSIDE)
		sections_spin.abort_ip = sections_spin.start_ip;
	if (what == AREA_FLAGS)
		area.flags = 1;
	if (what == NOWHERE || what == HANDLED) {
		area.rseq_cs = 64;
		signal(SIGSEGV, what == HANDLED ? ignore : SIG_DFL); /* which cannot be told either */
		signal(SIGALRM, ignore);
		raise(SIGALRM);
		_exit(0);
	}
	struct itimerval soon = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 }; /* the first may come before the section */

	signal(SIGALRM, ignore);
	setitimer(ITIMER_REAL, &soon, NULL);
	spin(&turns);
	_exit(0);
}

static void nonsense(void)
{
	for (enum nonsense what = NOWHERE; what <= AREA_FLAGS; what++) {
		int status = 0;
		pid_t child = fork();

		if (!child)
			child_of(what);
		IS(waitpid(child, &status, 0), child);
		IS(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSEGV);
	}
}

/* ---- who inherits it ---- */

static void inherited(void)
{
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(control(&area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE) != 0);
	IS(waitpid(child, &status, 0), child);
	IS(status, 0);
	child = vfork();
	if (!child)
		_exit(0);
	waitpid(child, &status, 0);
	FAILS(control(&area, 32, 0, SIGNATURE), EBUSY);
}

static void barrier(void)
{
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
	FAILS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), EPERM);
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0), 0);
	FAILS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
}

int main(void)
{
	cpu_set_t one;

	sched_getaffinity(0, sizeof(one), &one);
	for (int cpu = 0, kept = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &one) && kept++)
			CPU_CLR(cpu, &one);
	IS(sched_setaffinity(0, sizeof(one), &one), 0);
	registration();
	left_for_another();
	sums();
	left_for_a_handler();
	nonsense();
	inherited();
	barrier();
	return check_end();
}
