/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and sleeping. Processor time is that between a thread's being switched to and away from; all of it is "user". */
#include "libos/proc/proc.h"

#include <linux/times.h>

#define TICK_NS (NS_PER_S / 100) /* of times(2) */

/* Clocks of one thread or process, as pthread_getcpuclockid makes them: ~id << 3, 4: thread, 2: run time. */
#define CPU_CLOCK_ID(clock) ((int)(~(unsigned)(clock) >> 3))
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND 3

uint64_t thread_cpu_ns(const struct thread *thread)
{
	return thread->cpu_ns + (thread == current ? clock_show(LV_CLOCK_RUN) - thread->last_start : 0);
}

uint64_t process_cpu_ns(const struct process *process)
{
	uint64_t sum = process->ended_threads_ns;

	for (const struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process)
			sum += thread_cpu_ns(thread);
	return sum;
}

static uint64_t ended_processes_ns;

uint64_t processes_cpu_ns(void)
{
	uint64_t sum = ended_processes_ns;

	for (const struct process *process = processes; process; process = process->next)
		sum += process_cpu_ns(process);
	return sum;
}

void cpu_time_process_ends(const struct process *process)
{
	ended_processes_ns += process->ended_threads_ns;
}

void cpu_time_thread_ends(const struct thread *thread)
{
	thread->process->ended_threads_ns += thread_cpu_ns(thread);
}

static int read_cpu_clock(int clock, uint64_t *ns)
{
	int id = CPU_CLOCK_ID(clock);
	const struct thread *thread = id ? thread_find(id) : current;

	if ((clock & CPU_CLOCK_KIND) == CPU_CLOCK_KIND)
		return -EINVAL;
	if (!(clock & CPU_CLOCK_THREAD)) {
		const struct process *process = id ? process_find(id) : current->process;

		*ns = process ? process_cpu_ns(process) : 0;
		return process ? 0 : -EINVAL;
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
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = clock_show(clock_of(clock));
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		*ns = process_cpu_ns(current->process);
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

/* The clock of this VM alone. It never shows less than CLOCK_MONOTONIC, as on Linux. */
static long set_clock(uint64_t ns)
{
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (ns < clock_monotonic())
		return -EINVAL;
	clock_set((int64_t)(ns - clock_realtime()));
	return 0;
}

SYSCALL(clock_settime)
{
	uint64_t now, ns;
	int clock = (int)a[0];

	if (clock != CLOCK_REALTIME && (clock >= 0 || clock_read(clock, &now)))
		return -EINVAL;
	int err = user_read_time((const void *)a[1], &ns);

	if (err)
		return err;
	return clock == CLOCK_REALTIME ? set_clock(ns) : -EPERM;
}

static struct timezone zone_kept; /* nobody but who asks for it uses it */
#define ZONE_FAR (15 * 60) /* minutes */

SYSCALL(settimeofday)
{
	struct timeval time;
	struct timezone zone;

	if (a[0] && user_get(&time, (uaddr_t)a[0]))
		return -EFAULT;
	if (a[0] && (time.tv_usec < 0 || time.tv_usec > 1000000))
		return -EINVAL;
	if (a[1] && user_get(&zone, (uaddr_t)a[1]))
		return -EFAULT;
	if (a[0] && (time.tv_sec < 0 || time.tv_usec == 1000000))
		return -EINVAL;
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (a[1]) {
		if (zone.tz_minuteswest > ZONE_FAR || zone.tz_minuteswest < -ZONE_FAR)
			return -EINVAL;
		zone_kept = zone;
	}
	return a[0] ? set_clock((uint64_t)MIN(time.tv_sec, INT64_MAX / 2 / (int64_t)NS_PER_S) * NS_PER_S + (uint64_t)time.tv_usec * 1000) : 0;
}

/* How fast the clock goes is the host's affair. It can be asked how it is: nobody here knows of an error, or corrects one. */
static long adjust(uaddr_t user)
{
	struct { uint32_t modes, pad; int64_t offset, frequency, most_error, estimate; int32_t status, pad2; int64_t constant, precision, tolerance, seconds, micro, tick;
		 int64_t rest[14]; } timex;

	static_assert(sizeof(timex) == 208, "struct timex");
	if (user_get(&timex, user))
		return -EFAULT;
	if (timex.modes)
		return -EPERM;
	uint64_t now = clock_realtime();

	memset(&timex, 0, sizeof(timex));
	timex.most_error = timex.estimate = 16000000;
	timex.status = 0x40; /* STA_UNSYNC */
	timex.constant = 2;
	timex.precision = 1;
	timex.tolerance = 32768000;
	timex.seconds = (int64_t)(now / NS_PER_S);
	timex.micro = (int64_t)(now % NS_PER_S / 1000);
	timex.tick = 10000;
	return user_put(user, timex) ? -EFAULT : 5; /* TIME_ERROR */
}

SYSCALL(clock_adjtime)
{
	return (int)a[0] == CLOCK_REALTIME ? adjust((uaddr_t)a[1]) : (int)a[0] == CLOCK_TAI || (int)a[0] == CLOCK_MONOTONIC ? -EOPNOTSUPP : -EINVAL;
}

SYSCALL(adjtimex)
{
	return adjust((uaddr_t)a[0]);
}

SYSCALL(gettimeofday)
{
	uint64_t now = clock_realtime();
	struct timeval time = { .tv_sec = (long)(now / NS_PER_S), .tv_usec = (long)(now % NS_PER_S / 1000) };

	if (a[0] && user_write((void *)a[0], &time, sizeof(time)))
		return -EFAULT;
	return a[1] ? user_put(a[1], zone_kept) : 0;
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
	struct tms times = { .tms_utime = (__kernel_clock_t)(process_cpu_ns(current->process) / TICK_NS),
			     .tms_cutime = (__kernel_clock_t)(current->process->children_ns / TICK_NS) };

	if (a[0] && user_write((void *)a[0], &times, sizeof(times)))
		return -EFAULT;
	return (long)(clock_monotonic() / TICK_NS);
}

/* ---- sleeping ---- */

/* Until the deadline: 0, or a restart rule if a signal came first; what is left of a relative sleep goes to *rest. */
static long sleep_until(struct deadline deadline, void *rest)
{
	int err;

	while ((err = wait_till(deadline)) == 0)
		;
	if (err == -ETIMEDOUT)
		return 0;
	uint64_t now = clock_show(deadline.clock);

	if (rest && user_write_time(rest, deadline.at > now ? deadline.at - now : 0))
		return -EFAULT;
	return -ERESTART_RESTARTBLOCK;
}

SYSCALL(nanosleep)
{
	uint64_t ns;
	int error = user_read_time((const void *)a[0], &ns);

	if (error)
		return error;
	return sleep_until(deadline_from_now(CLOCK_MONOTONIC, ns), (void *)a[1]);
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

bool clock_has_timers(int clock)
{
	switch (clock) {
	case CLOCK_MONOTONIC_RAW: case CLOCK_REALTIME_COARSE: case CLOCK_MONOTONIC_COARSE: /* are read only */
	case CLOCK_REALTIME_ALARM: case CLOCK_BOOTTIME_ALARM: /* would wake a machine that sleeps */
		return false;
	default:
		return true;
	}
}

SYSCALL(clock_nanosleep)
{
	int clock = (int)a[0];
	bool absolute = a[1] & TIMER_ABSTIME;
	uint64_t ns, now;

	if (clock_read(clock, &now))
		return -EINVAL;
	if (clock == CLOCK_THREAD_CPUTIME_ID || !clock_has_timers(clock))
		return -EOPNOTSUPP;
	int error = user_read_time((const void *)a[2], &ns);

	if (error)
		return error;
	if (clock_counts_cpu(clock))
		return sleep_cpu_clock(clock, absolute ? ns : deadline_after(now, ns), absolute ? NULL : (void *)a[3]);
	if (absolute)
		return sleep_until(deadline_at(clock, ns), NULL);
	return sleep_until(deadline_from_now(clock, ns), (void *)a[3]);
}
