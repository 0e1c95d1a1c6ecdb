/* SPDX-License-Identifier: Apache-2.0 */
/* The futex call itself, and the clocks it counts time-outs by. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>

#include "check.h"

static atomic_int word, other, woken;

static long futex(atomic_int *at, int op, int value, const struct timespec *timeout, void *second, int third)
{
	return syscall(SYS_futex, at, op, value, timeout, second, third);
}

static void check_errors(void)
{
	struct timespec short_time = {0, 15000000}, until;
	int64_t start = now_ms();

	word = 5;
	FAILS(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
	FAILS(futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 5, &short_time, NULL, 0), ETIMEDOUT);
	CHECK(now_ms() - start >= 14);
	clock_gettime(CLOCK_MONOTONIC, &until);
	start = now_ms();
	until.tv_sec -= 1;
	FAILS(futex(&word, FUTEX_WAIT_BITSET, 5, &until, NULL, -1), ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 15000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	FAILS(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &until, NULL, -1), ETIMEDOUT);
	CHECK(now_ms() - start >= 14);
	FAILS(futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0), EINVAL);
	FAILS(futex((void *)((char *)&word + 1), FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
	FAILS(futex((void *)4096, FUTEX_WAIT, 5, NULL, NULL, 0), EFAULT);
	IS(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	short_time.tv_nsec = 2000000000;
	FAILS(futex(&word, FUTEX_WAIT, 5, &short_time, NULL, 0), EINVAL);
}

static void *wait_for_word(void *unused)
{
	while (futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0))
		;
	woken++;
	return unused;
}

/* One at a time, until it was done to count of the waiters, each of which comes into the queue some time; bounded. */
static int wake_or_move(int op, int count, void *second)
{
	int64_t start = now_ms();
	int total = 0;

	while (total < count && now_ms() - start < 20000) {
		long n = op == FUTEX_REQUEUE ? futex(&word, op, 0, (void *)1l, second, 0) : futex(&word, op, 1, NULL, NULL, 0);

		total += n > 0 ? (int)n : 0;
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	return total;
}

static void check_wake(void)
{
	pthread_t thread[5];

	word = 0;
	for (int i = 0; i < 5; i++)
		pthread_create(&thread[i], NULL, wait_for_word, NULL);
	IS(wake_or_move(FUTEX_WAKE, 2, NULL), 2);
	IS(wake_or_move(FUTEX_REQUEUE, 3, &other), 3);
	IS(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	IS(futex(&other, FUTEX_WAKE, 10, NULL, NULL, 0), 3);
	for (int i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);
	IS(woken, 5);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	if (clock_gettime(clock, &t))
		return -1;
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static bool monotone(clockid_t clock)
{
	int64_t before = clock_ns(clock), t;

	for (int i = 0; i < 10000; i++, before = t)
		if ((t = clock_ns(clock)) < before)
			return false;
	return before > 0;
}

/* How far the clock of the day is from the steady one: of many tries the one that was interrupted least. */
static int64_t wall_offset(void)
{
	int64_t least = INT64_MAX, offset = 0;

	for (int i = 0; i < 100; i++) {
		int64_t before = clock_ns(CLOCK_MONOTONIC), wall = clock_ns(CLOCK_REALTIME), after = clock_ns(CLOCK_MONOTONIC);

		if (after - before < least) {
			least = after - before;
			offset = wall - before;
		}
	}
	return offset;
}

/* Computes until the clocks of processor time say so; bounded. */
static void check_processor_time(void)
{
	struct rusage usage = {0};
	int64_t wall = clock_ns(CLOCK_MONOTONIC), start = clock_ns(CLOCK_PROCESS_CPUTIME_ID), used = 0, user = 0;
	volatile long work = 0;

	while ((used < 5000000 || user < 1000) && clock_ns(CLOCK_MONOTONIC) - wall < 20000000000ll) {
		for (int i = 0; i < 1000000; i++)
			work++;
		used = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
		getrusage(RUSAGE_SELF, &usage);
		user = usage.ru_utime.tv_sec * 1000000ll + usage.ru_utime.tv_usec;
	}
	CHECK(used >= 5000000 && user >= 1000);
	CHECK(used <= clock_ns(CLOCK_MONOTONIC) - wall + 2000000);
}

static void check_clocks(void)
{
	struct timespec resolution, half = {0, 30000000}, until;
	struct tms ticks;
	struct timeval tv;
	int64_t start, offset;

	CHECK(monotone(CLOCK_MONOTONIC) && monotone(CLOCK_MONOTONIC_RAW) && monotone(CLOCK_BOOTTIME));
	CHECK(monotone(CLOCK_MONOTONIC_COARSE) && monotone(CLOCK_PROCESS_CPUTIME_ID) && monotone(CLOCK_THREAD_CPUTIME_ID));
	CHECK(clock_ns(CLOCK_REALTIME) > 1600000000ll * 1000000000 && clock_ns(CLOCK_REALTIME_COARSE) > 0);
	CHECK(!gettimeofday(&tv, NULL) && llabs(tv.tv_sec - time(NULL)) <= 1);
	CHECK(!clock_getres(CLOCK_MONOTONIC, &resolution) && resolution.tv_sec == 0 && resolution.tv_nsec > 0);
	FAILS(clock_gettime(999, &until), EINVAL);
	start = clock_ns(CLOCK_MONOTONIC);
	offset = wall_offset();
	IS(nanosleep(&half, NULL), 0);
	CHECK(clock_ns(CLOCK_MONOTONIC) - start >= 30000000);
	CHECK(llabs(wall_offset() - offset) < 5000000);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec -= 5;
	IS(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
	FAILS(nanosleep(&(struct timespec){0, 1000000000}, NULL), EINVAL);
	check_processor_time();
	CHECK(times(&ticks) != (clock_t)-1);
}

static atomic_int pi_word;

static void *take_pi(void *result)
{
	*(long *)result = futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	return NULL;
}

/* Who waits for a lock that is handed over is woken by nothing else; what waits for something else is made no owner. */
static void check_pi(void)
{
	struct timespec soon = {5, 0};
	pthread_t thread;
	long result = -1;

	IS(futex(&pi_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
	IS(pi_word & FUTEX_TID_MASK, syscall(SYS_gettid));
	pthread_create(&thread, NULL, take_pi, &result);
	while (!((uint32_t)pi_word & FUTEX_WAITERS))
		sched_yield();
	for (int64_t end = now_ms() + 5000; futex(&pi_word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0 && now_ms() < end;)
		sched_yield(); /* the kernel sets the bit a little before it queues */
	FAILS(futex(&pi_word, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
	FAILS(futex(&pi_word, FUTEX_REQUEUE, 0, (void *)1, &word, 0), EINVAL);
	IS(result, -1);
	IS(futex(&pi_word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
	IS(pthread_clockjoin_np(thread, NULL, CLOCK_REALTIME, &(struct timespec){time(NULL) + soon.tv_sec, 0}), 0);
	IS(result, 0);
}

static void check_timers(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 33};
	struct itimerspec spec = {.it_value = {0, 10000000}};
	siginfo_t info = {0};
	timer_t timer;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	IS(timer_settime(timer, 0, &spec, NULL), 0);
	CHECK(sigtimedwait(&set, &info, &(struct timespec){5, 0}) == SIGRTMIN);
	CHECK(info.si_code == SI_TIMER && info.si_value.sival_int == 33);
	IS(timer_delete(timer), 0);
}

/* ---- several at once ---- */

static atomic_int many[FUTEX_WAITV_MAX + 1];

static long wait_any(struct futex_waitv *of, unsigned count, unsigned flags, const struct timespec *until, int clock)
{
	return syscall(SYS_futex_waitv, of, count, flags, until, clock);
}

static void *wake_last(void *to)
{
	const struct timespec moment = { 0, 1000000 };

	while (!futex(to, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0))
		nanosleep(&moment, NULL);
	return NULL;
}

static void check_several(void)
{
	struct futex_waitv of[FUTEX_WAITV_MAX + 1];
	struct timespec past = { 1, 0 }, bad = { 0, -1 };
	pthread_t thread;

	for (int i = 0; i <= FUTEX_WAITV_MAX; i++)
		of[i] = (struct futex_waitv){ .uaddr = (uintptr_t)&many[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };
	FAILS(wait_any(of, 1, 1, NULL, 0), EINVAL);
	FAILS(wait_any(of, 0, 0, NULL, 0), EINVAL);
	FAILS(wait_any(of, FUTEX_WAITV_MAX + 1, 0, NULL, 0), EINVAL);
	FAILS(wait_any(NULL, 1, 0, NULL, 0), EINVAL);
	FAILS(wait_any((void *)16, 1, 0, NULL, 0), EFAULT);
	FAILS(wait_any(of, 2, 0, &past, CLOCK_BOOTTIME), EINVAL);
	FAILS(wait_any(of, 2, 0, &bad, CLOCK_MONOTONIC), EINVAL);
	FAILS(wait_any(of, 2, 0, (void *)16, CLOCK_MONOTONIC), EFAULT);
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
	FAILS(wait_any(of, FUTEX_WAITV_MAX, 0, &past, CLOCK_REALTIME), ETIMEDOUT);
	of[1].val = 1;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EAGAIN);
	of[1].val = 0;
	of[1].flags = FUTEX_PRIVATE_FLAG;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
	of[1].flags = FUTEX_32 | 1;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
	of[1].flags = FUTEX_32;
	of[1].__reserved = 1;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
	of[1].__reserved = 0;
	of[1].uaddr += 2;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
	of[1].uaddr = 16;
	FAILS(wait_any(of, 2, 0, &past, CLOCK_MONOTONIC), EFAULT);
	of[1].uaddr = (uintptr_t)&many[1];
	IS(futex(&many[0], FUTEX_WAKE, 9, NULL, NULL, 0), 0); /* none of those that failed is left */
	IS(pthread_create(&thread, NULL, wake_last, &many[FUTEX_WAITV_MAX - 1]), 0);
	of[1].flags |= FUTEX_PRIVATE_FLAG;
	IS(wait_any(of, FUTEX_WAITV_MAX, 0, NULL, 0), FUTEX_WAITV_MAX - 1);
	IS(pthread_join(thread, NULL), 0);
	IS(futex(&many[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 9, NULL, NULL, 0), 0);
}

int main(void)
{
	check_errors();
	check_wake();
	check_clocks();
	check_pi();
	check_timers();
	check_several();
	return check_end();
}
