/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: create, join, mutexes, conditions, barriers, locks, thread-local storage, many of them, one that only computes. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "check.h"

#define MANY 100
#define WAVE 120 /* more than there is room for in one page table of stacks */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long counter;
static int turn, once_runs;
static __thread long mine = 1234;
static __thread char zeroed[100];
static atomic_int stop, started;
static pthread_barrier_t all_there;
static pthread_key_t key;
static atomic_int destroyed;

static void *add(void *amount)
{
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&lock);
		counter += (long)amount;
		pthread_mutex_unlock(&lock);
	}
	return (void *)((long)amount * 2);
}

static void check_many(void)
{
	pthread_t thread[MANY];
	void *result;
	long sum = 0;

	for (long i = 0; i < MANY; i++)
		if (pthread_create(&thread[i], NULL, add, (void *)i))
			exit(3);
	for (int i = 0; i < MANY; i++) {
		pthread_join(thread[i], &result);
		sum += (long)result;
	}
	IS(sum, MANY * (MANY - 1));
	IS(counter, 1000l * MANY * (MANY - 1) / 2);
}

static void *stay(void *level)
{
	volatile char deep[2000];

	for (unsigned i = 0; i < sizeof(deep); i++)
		deep[i] = (char)(long)level;
	pthread_barrier_wait(&all_there);
	usleep(1000 + (unsigned)(long)level); /* libos puts each aside in the middle of a call, on its own stack */
	for (unsigned i = 0; i < sizeof(deep); i++)
		if (deep[i] != (char)(long)level)
			return NULL;
	return level;
}

/* So many at once, three times: what they leave is used again, and given back. */
static void check_waves(void)
{
	static pthread_t thread[WAVE];
	long sum = 0;

	pthread_barrier_init(&all_there, NULL, WAVE);
	for (int wave = 0; wave < 3; wave++) {
		for (long i = 0; i < WAVE; i++)
			if (pthread_create(&thread[i], NULL, stay, (void *)(i + 1)))
				exit(3);
		for (int i = 0; i < WAVE; i++) {
			void *result;

			pthread_join(thread[i], &result);
			sum += (long)result;
		}
	}
	IS(sum, 3l * WAVE * (WAVE + 1) / 2);
	pthread_barrier_destroy(&all_there);
}

static void *play(void *who)
{
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&lock);
		while (turn % 3 != (int)(long)who)
			pthread_cond_wait(&changed, &lock);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void check_condition(void)
{
	struct timespec until;
	pthread_t thread[3];

	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, play, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	IS(turn, 1500);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&lock);
	IS(pthread_cond_timedwait(&changed, &lock, &until), ETIMEDOUT);
	pthread_mutex_unlock(&lock);
}

static void *meet(void *serials)
{
	for (int i = 0; i < 50; i++)
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			++*(atomic_int *)serials;
	return NULL;
}

static void check_barrier(void)
{
	atomic_int serials = 0;
	pthread_t thread[8];

	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, meet, &serials);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	IS(serials, 50);
}

static void *read_or_write(void *writer)
{
	static long a, b;
	long bad = 0;

	for (int i = 0; i < 500; i++) {
		if (writer) {
			pthread_rwlock_wrlock(&rwlock);
			a++;
			sched_yield();
			b++;
		} else {
			pthread_rwlock_rdlock(&rwlock);
			bad += a != b;
		}
		pthread_rwlock_unlock(&rwlock);
	}
	return (void *)bad;
}

static void check_rwlock(void)
{
	pthread_t thread[6];
	void *bad;
	long all = 0;

	for (long i = 0; i < 6; i++)
		pthread_create(&thread[i], NULL, read_or_write, (void *)(i % 2));
	for (int i = 0; i < 6; i++) {
		pthread_join(thread[i], &bad);
		all += (long)bad;
	}
	IS(all, 0);
}

static void *use_tls(void *number)
{
	long good = mine == 1234 && zeroed[50] == 0;

	mine = (long)number;
	zeroed[50] = 1;
	for (int i = 0; i < 20; i++) {
		sched_yield();
		good &= mine == (long)number;
	}
	return (void *)good;
}

static void on_destroy(void *p)
{
	destroyed += (int)(long)p;
}

static void *use_key(void *number)
{
	pthread_setspecific(key, number);
	return NULL;
}

static void run_once(void)
{
	once_runs++;
}

static void *call_once(void *unused)
{
	pthread_once(&once, run_once);
	return unused;
}

static long run(void *(*start)(void *), int n)
{
	pthread_t thread[16];
	void *result;
	long sum = 0;

	for (long i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, start, (void *)(i + 1));
	for (int i = 0; i < n; i++) {
		pthread_join(thread[i], &result);
		sum += (long)result;
	}
	return sum;
}

static void check_storage(void)
{
	IS(run(use_tls, 10), 10);
	CHECK(mine == 1234 && zeroed[50] == 0);
	pthread_key_create(&key, on_destroy);
	run(use_key, 4);
	IS(destroyed, 10);
	run(call_once, 5);
	IS(once_runs, 1);
}

static void *spin(void *unused)
{
	volatile unsigned long work = 0;

	started = 1;
	while (!stop)
		work++;
	return unused;
}

/* The spinner makes no system call: unless it is preempted nobody else runs again. */
static void check_preemption(void)
{
	int64_t start = now_ms();
	pthread_t thread[2];

	pthread_create(&thread[0], NULL, spin, NULL);
	pthread_create(&thread[1], NULL, spin, NULL);
	while (!started)
		sched_yield();
	for (int i = 0; i < 5; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	stop = 1;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	CHECK(now_ms() - start < 10000);
}

static atomic_int caught_by;

static void on_signal(int signo)
{
	caught_by = signo == SIGUSR1 ? (int)syscall(SYS_gettid) : -1;
}

static atomic_int target_tid;

static void *wait_for_signal(void *unused)
{
	target_tid = (int)syscall(SYS_gettid);
	while (!caught_by)
		pause();
	return unused;
}

static void check_signal(void)
{
	int64_t start = now_ms();
	pthread_t thread;

	signal(SIGUSR1, on_signal);
	pthread_create(&thread, NULL, wait_for_signal, NULL);
	while (!target_tid)
		sched_yield();
	while (!caught_by && now_ms() - start < 5000) { /* again and again: the thread may not yet be in pause() */
		pthread_kill(thread, SIGUSR1);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	pthread_join(thread, NULL);
	CHECK(caught_by == target_tid && target_tid != getpid());
}

static void *sleep_long(void *unused)
{
	sleep(100);
	return unused;
}

static void check_cancel(void)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, sleep_long, NULL);
	IS(pthread_cancel(thread), 0);
	pthread_join(thread, &result);
	CHECK(result == PTHREAD_CANCELED);
	pthread_create(&thread, NULL, sleep_long, NULL);
	pthread_detach(thread);
}

static void check_kinds(void)
{
	pthread_mutexattr_t kind;
	pthread_mutex_t m;
	sem_t semaphore;

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&m, &kind);
	IS(pthread_mutex_lock(&m), 0);
	IS(pthread_mutex_lock(&m), EDEADLK);
	IS(pthread_mutex_unlock(&m), 0);
	IS(pthread_mutex_unlock(&m), EPERM);
	pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&m, &kind);
	CHECK(!pthread_mutex_lock(&m) && !pthread_mutex_lock(&m) && !pthread_mutex_unlock(&m) && !pthread_mutex_unlock(&m));
	IS(pthread_mutex_trylock(&m), 0);
	sem_init(&semaphore, 0, 1);
	CHECK(!sem_wait(&semaphore) && sem_trywait(&semaphore) == -1 && errno == EAGAIN);
	CHECK(!sem_post(&semaphore) && !sem_wait(&semaphore));
}

static volatile int ran;

static int count_and_wait(void *unused)
{
	(void)unused;
	ran++;
	for (;;)
		pause();
	return 0;
}

/* Threads until there is no memory for one more: that is an error of clone, and those that were made run. In a small VM only. */
static int until_full(void)
{
	enum { MOST = 2048, STACK = 512, FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM };
	static char stacks[MOST][STACK] __attribute__((aligned(16)));
	int made = 0;

	memset(stacks, 1, sizeof(stacks));
	while (made < MOST && clone(count_and_wait, stacks[made] + STACK, FLAGS, NULL) > 0)
		made++;
	IS(errno, EAGAIN);
	for (int i = 0; i < 10000 && ran < made; i++)
		sched_yield();
	CHECK(made > 10 && ran == made);
	return check_end();
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "full"))
		return until_full();
	check_many();
	check_waves();
	check_condition();
	check_barrier();
	check_rwlock();
	check_storage();
	check_preemption();
	check_signal();
	check_cancel();
	check_kinds();
	return check_end(); /* while a detached thread still sleeps */
}
