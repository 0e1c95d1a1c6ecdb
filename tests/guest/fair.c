/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair KIND THREADS MS: a thread sleeps 5 ms again and again beside some that compute, for MS ms of time. KIND: free (they share
 * nothing), lock (one lock, which goes from thread to thread when somebody has waited 5 ms for it, as in interpreters that
 * have one for all), wake (the sleeper waits to be woken by another such thread), or nice (free, and the first one of
 * those who compute has nice 10). Prints the longest time, in
 * microseconds, that it came too late, and how unequal the shares of those who compute were, in percent of the mean.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "check.h"

#define MOST 8
#define PERIOD_NS 5000000

static volatile bool stop;
static bool with_lock, is_nice;
static volatile long work[MOST * 16];

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t free, taken;
	bool held, wanted;
	unsigned long turns; /* so often it went to somebody */
} lock = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void lock_get(void)
{
	pthread_mutex_lock(&lock.mutex);
	while (lock.held) {
		int64_t until = now_ns() + PERIOD_NS;
		struct timespec t = { until / 1000000000, until % 1000000000 };
		unsigned long turns = lock.turns;

		if (pthread_cond_timedwait(&lock.free, &lock.mutex, &t) == ETIMEDOUT && lock.turns == turns)
			lock.wanted = true;
	}
	lock.held = true;
	lock.wanted = false;
	lock.turns++;
	pthread_cond_broadcast(&lock.taken);
	pthread_mutex_unlock(&lock.mutex);
}

/* If it was wanted, only once somebody else has it: otherwise who gives it away would be the first to have it again. */
static void lock_put(void)
{
	pthread_mutex_lock(&lock.mutex);
	unsigned long turns = lock.turns;

	lock.held = false;
	pthread_cond_signal(&lock.free);
	while (lock.wanted && lock.turns == turns)
		pthread_cond_wait(&lock.taken, &lock.mutex);
	pthread_mutex_unlock(&lock.mutex);
}

static void *compute(void *place)
{
	volatile long *done = place;

	if (is_nice && place == work)
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
	if (with_lock)
		lock_get();
	while (!stop) {
		for (int i = 0; i < 1000; i++)
			++*done;
		if (with_lock && *(volatile bool *)&lock.wanted) {
			lock_put();
			lock_get();
		}
	}
	if (with_lock)
		lock_put();
	return NULL;
}

/* ---- kind wake ---- */

static int wakes;
static volatile int64_t woken_at;

static void *waker(void *unused)
{
	while (!stop) {
		struct timespec t = { 0, PERIOD_NS };

		nanosleep(&t, NULL);
		woken_at = now_ns();
		if (eventfd_write(wakes, 1) != 0)
			return NULL;
	}
	return unused;
}

static int64_t late(bool by_waker)
{
	struct timespec t = { 0, PERIOD_NS };
	int64_t start = now_ns(), due = start + PERIOD_NS;
	eventfd_t count;

	if (by_waker) {
		if (eventfd_read(wakes, &count) != 0)
			return -1;
		due = woken_at;
	} else {
		nanosleep(&t, NULL);
	}
	if (with_lock) {
		lock_get();
		due += 2 * PERIOD_NS; /* one until it is wanted, and one more if it has just changed hands */
	}
	int64_t got = now_ns() - due;
	if (with_lock)
		lock_put();
	return got > 0 ? got : 0;
}

int main(int argc, char **argv)
{
	pthread_t thread[MOST], wake_thread;
	pthread_condattr_t attr;
	int n = argc == 4 ? atoi(argv[2]) : 0;
	int64_t worst = 0, end;
	long most = 0, sum = 0;
	bool by_waker;

	if (n < 1 || n > MOST) {
		fprintf(stderr, "usage: fair free|lock|wake|nice THREADS MS\n");
		return 2;
	}
	with_lock = argv[1][0] == 'l';
	by_waker = argv[1][0] == 'w';
	is_nice = argv[1][0] == 'n';
	wakes = eventfd(0, 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lock.free, &attr);
	pthread_cond_init(&lock.taken, &attr);
	for (int i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, compute, (void *)(work + i * 16));
	if (by_waker)
		pthread_create(&wake_thread, NULL, waker, NULL);
	end = now_ns() + atol(argv[3]) * 1000000;
	while (now_ns() < end) {
		int64_t got = late(by_waker);

		worst = got > worst ? got : worst;
	}
	stop = true;
	if (by_waker)
		pthread_join(wake_thread, NULL);
	for (int i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		sum += work[i * 16];
		most = work[i * 16] > most ? work[i * 16] : most;
	}
	printf("%ld %ld\n", (long)worst / 1000, (most * n - sum) * 100 / (sum ? sum : 1));
	return 0;
}
