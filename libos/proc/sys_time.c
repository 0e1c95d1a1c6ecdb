/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and sleeping. Processor time is that between a thread's being switched to and away from; all of it is "user". */
#include "libos/proc/proc.h"

#include <linux/times.h>

#define TICK_NS (NS_PER_S / 100) /* of times(2) */

/* Clocks of one thread or process, as pthread_getcpuclockid makes them: ~id << 3, 4: thread, 2: run time. */
#define CPU_CLOCK_ID(clock) ((int)(~(unsigned)(clock) >> 3))
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND 3

static uint64_t ended_threads_ns;

uint64_t thread_cpu_ns(const struct thread *thread)
{
	return thread->cpu_ns + (thread == current ? clock_monotonic() - thread->last_start : 0);
}

uint64_t process_cpu_ns(void)
{
	uint64_t sum = ended_threads_ns;

	for (const struct thread *thread = threads; thread; thread = thread->next)
		sum += thread_cpu_ns(thread);
	return sum;
}

void cpu_time_thread_ends(const struct thread *thread)
{
	ended_threads_ns += thread_cpu_ns(thread);
}

static int read_cpu_clock(int clock, uint64_t *ns)
{
	int id = CPU_CLOCK_ID(clock);
	const struct thread *thread = id ? thread_find(id) : current;

	if ((clock & CPU_CLOCK_KIND) == CPU_CLOCK_KIND)
		return -EINVAL;
	if (!(clock & CPU_CLOCK_THREAD)) {
		*ns = process_cpu_ns();
		return id && id != process_id() ? -EINVAL : 0;
	}
	if (!thread)
		return -EINVAL;
	*ns = thread_cpu_ns(thread);
	return 0;
}

bool clock_counts_cpu(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

int clock_read(int clock, uint64_t *ns)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		*ns = clock_realtime();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = clock_monotonic();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		*ns = process_cpu_ns();
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		*ns = thread_cpu_ns(current);
		return 0;
	}
	return clock < 0 ? read_cpu_clock(clock, ns) : -EINVAL;
}

SYSCALL(clock_gettime)
{
	uint64_t ns;
	int err = clock_read((int)a[0], &ns);

	return err ? err : user_write_time((void *)a[1], ns);
}

SYSCALL(clock_getres)
{
	uint64_t ns;
	int clock = (int)a[0], err = clock_read(clock, &ns);

	if (err || !a[1])
		return err;
	return user_write_time((void *)a[1], clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ? 4000000 : 1);
}

SYSCALL(clock_settime)
{
	return -EPERM;
}

SYSCALL(settimeofday)
{
	return -EPERM;
}

SYSCALL(clock_adjtime)
{
	return -EPERM;
}

SYSCALL(adjtimex)
{
	return -EPERM;
}

SYSCALL(gettimeofday)
{
	uint64_t now = clock_realtime();
	struct timeval time = { .tv_sec = (long)(now / NS_PER_S), .tv_usec = (long)(now % NS_PER_S / 1000) };
	struct timezone zone = { 0 };

	if (a[0] && user_write((void *)a[0], &time, sizeof(time)))
		return -EFAULT;
	return a[1] ? user_write((void *)a[1], &zone, sizeof(zone)) : 0;
}

SYSCALL(time)
{
	long now = (long)(clock_realtime() / NS_PER_S);

	if (a[0] && user_write((void *)a[0], &now, sizeof(now)))
		return -EFAULT;
	return now;
}

SYSCALL(times)
{
	struct tms times = { .tms_utime = (__kernel_clock_t)(process_cpu_ns() / TICK_NS) };

	if (a[0] && user_write((void *)a[0], &times, sizeof(times)))
		return -EFAULT;
	return (long)(clock_monotonic() / TICK_NS);
}

/* ---- sleeping ---- */

/* Until the deadline: 0, or a restart rule if a signal came first; what is left of a relative sleep goes to *rest. */
static long sleep_until(uint64_t deadline, void *rest)
{
	int err;

	while ((err = wait_here(deadline)) == 0)
		;
	if (err == -ETIMEDOUT)
		return 0;
	uint64_t now = clock_monotonic();

	if (rest && user_write_time(rest, deadline > now ? deadline - now : 0))
		return -EFAULT;
	return -ERESTART_RESTARTBLOCK;
}

SYSCALL(nanosleep)
{
	uint64_t ns;
	int error = user_read_time((const void *)a[0], &ns);

	if (error)
		return error;
	return sleep_until(deadline_after(clock_monotonic(), ns), (void *)a[1]);
}

/* A clock of processor time stands still while the only thread sleeps on it; others may make it go on. */
static long sleep_cpu_clock(int clock, uint64_t until, void *rest)
{
	uint64_t now;

	for (;;) {
		if (clock_read(clock, &now))
			return -EINVAL;
		if (now >= until)
			return 0;
		if (wait_here(deadline_after(clock_monotonic(), until - now)) != -EINTR)
			continue;
		if (rest && user_write_time(rest, until - now))
			return -EFAULT;
		return -ERESTART_RESTARTBLOCK;
	}
}

SYSCALL(clock_nanosleep)
{
	int clock = (int)a[0];
	bool absolute = a[1] & TIMER_ABSTIME;
	uint64_t ns, now;

	if (clock_read(clock, &now) || clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	int error = user_read_time((const void *)a[2], &ns);

	if (error)
		return error;
	if (clock_counts_cpu(clock))
		return sleep_cpu_clock(clock, absolute ? ns : deadline_after(now, ns), absolute ? NULL : (void *)a[3]);
	if (absolute)
		return sleep_until(deadline_at(clock, ns), NULL);
	return sleep_until(deadline_after(clock_monotonic(), ns), (void *)a[3]);
}
