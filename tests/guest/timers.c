/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that send signals, in all their kinds; sleeping on every clock; time limits that are met. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "check.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile int count, last_code, last_value, most_overrun;
static volatile pid_t taken_by;
static volatile int thread_calls;

static void on_timer(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	count++;
	last_code = info->si_code;
	last_value = info->si_value.sival_int;
	if (info->si_overrun > most_overrun)
		most_overrun = info->si_overrun; /* a second one may follow at once on a busy machine */
	taken_by = (pid_t)syscall(SYS_gettid);
}

static void handle(int signo)
{
	struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigaction(signo, &action, NULL);
}

/* Without a system call: only an interruption of the computing program can end it. */
static bool compute_until(volatile int *counter, int wanted)
{
	for (volatile unsigned long i = 0; *counter < wanted; i++)
		if (i > 20000000000ul)
			return false;
	return true;
}

static void check_kinds(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 5};
	struct itimerspec spec = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}}, old;
	timer_t timer, second;

	handle(SIGRTMIN + 1);
	IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK(!timer_gettime(timer, &old) && old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);
	IS(timer_settime(timer, 0, &spec, NULL), 0);
	CHECK(compute_until(&count, 3) && last_code == SI_TIMER && last_value == 5);
	CHECK(!timer_gettime(timer, &old) && old.it_interval.tv_nsec == 5000000 && old.it_value.tv_nsec <= 5000000);
	spec.it_value.tv_nsec = 0;
	CHECK(!timer_settime(timer, 0, &spec, &old) && old.it_interval.tv_nsec == 5000000);
	CHECK(!timer_gettime(timer, &old) && old.it_value.tv_nsec == 0);
	event.sigev_notify = SIGEV_NONE;
	IS(timer_create(CLOCK_REALTIME, &event, &second), 0);
	spec = (struct itimerspec){.it_value = {100, 0}};
	CHECK(!timer_settime(second, 0, &spec, NULL) && !timer_gettime(second, &old) && old.it_value.tv_sec >= 99);
	IS(timer_delete(second), 0);
	IS(timer_delete(timer), 0);
	FAILS(timer_gettime(timer, &old), EINVAL);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = 100;
	FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

static void check_overrun(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec spec = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}};
	sigset_t set;
	timer_t timer;

	handle(SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &spec, NULL);
	nanosleep(&(struct timespec){0, 50000000}, NULL);
	count = most_overrun = 0;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(count >= 1 && most_overrun >= 20 && timer_getoverrun(timer) >= 0);
	timer_delete(timer);
}

static void check_absolute(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec spec = {0};
	int64_t start = now_ms();
	timer_t timer;

	timer_create(CLOCK_REALTIME, &event, &timer);
	clock_gettime(CLOCK_REALTIME, &spec.it_value);
	spec.it_value.tv_nsec += 30000000;
	spec.it_value.tv_sec += spec.it_value.tv_nsec / 1000000000;
	spec.it_value.tv_nsec %= 1000000000;
	count = 0;
	IS(timer_settime(timer, TIMER_ABSTIME, &spec, NULL), 0);
	CHECK(compute_until(&count, 1) && now_ms() - start >= 29 && now_ms() - start < 5000);
	spec.it_value.tv_sec -= 10; /* has passed: at once */
	timer_settime(timer, TIMER_ABSTIME, &spec, NULL);
	CHECK(compute_until(&count, 2));
	timer_delete(timer);
}

static void on_thread(union sigval value)
{
	thread_calls += value.sival_int;
}

static pid_t waiting_tid;

static void *wait_in_thread(void *unused)
{
	waiting_tid = (pid_t)syscall(SYS_gettid);
	while (!taken_by)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	return unused;
}

static void check_threads(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread, .sigev_value.sival_int = 1};
	struct itimerspec spec = {.it_value = {0, 5000000}};
	int64_t start = now_ms();
	pthread_t thread;
	timer_t timer;

	IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &spec, NULL);
	while (thread_calls < 1 && now_ms() - start < 10000)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	IS(thread_calls, 1);
	timer_delete(timer);
	taken_by = 0;
	pthread_create(&thread, NULL, wait_in_thread, NULL);
	while (!waiting_tid)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	event = (struct sigevent){.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_notify_thread_id = waiting_tid};
	IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &spec, NULL);
	pthread_join(thread, NULL);
	CHECK(taken_by == waiting_tid);
	timer_delete(timer);
	event.sigev_notify_thread_id = 99999;
	FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

static int64_t cpu_ms(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void check_processor_time(void)
{
	struct itimerval prof = {{0, 10000}, {0, 10000}}, off = {0};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec spec = {.it_value = {0, 20000000}};
	int64_t before = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
	clockid_t clock;
	timer_t timer;

	nanosleep(&(struct timespec){0, 100000000}, NULL);
	CHECK(cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - before < 50); /* sleeping costs nothing */
	handle(SIGPROF);
	handle(SIGVTALRM);
	count = 0;
	setitimer(ITIMER_PROF, &prof, NULL);
	CHECK(compute_until(&count, 3));
	setitimer(ITIMER_PROF, &off, NULL);
	count = 0;
	setitimer(ITIMER_VIRTUAL, &prof, NULL);
	CHECK(compute_until(&count, 3));
	setitimer(ITIMER_VIRTUAL, &off, NULL);
	count = 0;
	IS(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer), 0);
	timer_settime(timer, 0, &spec, NULL);
	CHECK(compute_until(&count, 1));
	timer_delete(timer);
	CHECK(!pthread_getcpuclockid(pthread_self(), &clock) && cpu_ms(clock) > 0);
	CHECK(!clock_getcpuclockid(0, &clock) && cpu_ms(clock) >= cpu_ms(CLOCK_THREAD_CPUTIME_ID));
}

struct sleeper {
	int64_t deadline, end; /* ns */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void *sleep_and_tell(void *argument)
{
	struct sleeper *sleeper = argument;
	struct timespec until = {sleeper->deadline / 1000000000, sleeper->deadline % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	sleeper->end = now_ns();
	return NULL;
}

/* Whether five sleepers ended in the order of their deadlines, whatever order they began in; counts who ended too early. */
static bool sleep_in_order(int *early)
{
	static const int length[] = {60, 20, 40, 80, 1}, order[] = {4, 1, 2, 0, 3};
	struct sleeper sleeper[5];
	pthread_t thread[5];
	bool good = true;
	int64_t start = now_ns() + 10000000;

	for (int i = 0; i < 5; i++) {
		sleeper[i].deadline = start + length[i] * 1000000ll;
		pthread_create(&thread[i], NULL, sleep_and_tell, &sleeper[i]);
	}
	for (int i = 0; i < 5; i++) {
		pthread_join(thread[i], NULL);
		*early += sleeper[i].end < sleeper[i].deadline;
	}
	for (int i = 1; i < 5; i++)
		good &= sleeper[order[i - 1]].end <= sleeper[order[i]].end;
	return good;
}

static void check_sleepers(void)
{
	bool in_order = false;
	int early = 0;

	/* A busy machine may let a process wait for longer than its sleepers are apart; but not each time. */
	for (int tries = 0; !in_order && tries < 10; tries++)
		in_order = sleep_in_order(&early);
	CHECK(in_order);
	IS(early, 0);
	FAILS(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL) ? (errno = EINVAL, -1) : 0, EINVAL);
}

static void check_time_limits(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	struct timespec until, zero = {0};
	int64_t start = now_ms();
	sigset_t set;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&lock);
	IS(pthread_mutex_timedlock(&lock, &until), ETIMEDOUT);
	CHECK(now_ms() - start >= 19);
	IS(pthread_cond_timedwait(&never, &lock, &zero), ETIMEDOUT);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	FAILS(sigtimedwait(&set, NULL, &zero), EAGAIN);
	IS(nanosleep(&zero, NULL), 0);
}

int main(void)
{
	check_kinds();
	check_overrun();
	check_absolute();
	check_threads();
	check_processor_time();
	check_sleepers();
	check_time_limits();
	return check_end();
}
