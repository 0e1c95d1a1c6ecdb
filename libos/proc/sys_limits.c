/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and use. Limits are kept for the program; those that bind are asked for with process_limit. */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define UNLIMITED RLIM64_INFINITY
#define FILES_MOST (1u << 20) /* /proc/sys/fs/nr_open */
#define LOOK_LEAST 1000000ull /* ns */

static const struct rlimit64 first_limits[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = { UNLIMITED, UNLIMITED },
	[RLIMIT_FSIZE] = { UNLIMITED, UNLIMITED },
	[RLIMIT_DATA] = { UNLIMITED, UNLIMITED },
	[RLIMIT_STACK] = { 8 << 20, UNLIMITED },
	[RLIMIT_CORE] = { 0, UNLIMITED },
	[RLIMIT_RSS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_NPROC] = { 32768, 32768 },
	[RLIMIT_NOFILE] = { 1024, FILES_MOST },
	[RLIMIT_MEMLOCK] = { UNLIMITED, UNLIMITED },
	[RLIMIT_AS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_LOCKS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_SIGPENDING] = { SIG_QUEUE_MAX, SIG_QUEUE_MAX },
	[RLIMIT_MSGQUEUE] = { 819200, 819200 },
	[RLIMIT_NICE] = { 0, 0 },
	[RLIMIT_RTPRIO] = { 0, 0 },
	[RLIMIT_RTTIME] = { UNLIMITED, UNLIMITED },
};

void limits_start(struct process *process)
{
	memcpy(process->limits, first_limits, sizeof(first_limits));
}

uint64_t process_limit(int resource)
{
	return current->process->limits[resource].rlim_cur;
}

uint64_t process_limit_hard(int resource)
{
	return current->process->limits[resource].rlim_max;
}

/* ---- RLIMIT_CPU: looked at when it may have been reached ---- */

static void look_at_cpu_time(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, cpu_watch);
	struct rlimit64 *limit = &process->limits[RLIMIT_CPU];
	uint64_t used = process_cpu_ns(process), soft = MAX(limit->rlim_cur, 1), hard = MAX(limit->rlim_max, 1);
	struct siginfo_k info = { .code = SI_KERNEL };

	if (used / NS_PER_S >= hard)
		signal_send_process(process, SIGKILL, &info);
	if (used / NS_PER_S >= soft) {
		signal_send_process(process, SIGXCPU, &info);
		limit->rlim_cur = soft = soft + 1; /* and every second from now on */
	}
	uint64_t next = MIN(soft, hard);

	if (next < UNLIMITED / NS_PER_S)
		timer_set(timer, clock_monotonic() + MAX(next * NS_PER_S - MIN(used, next * NS_PER_S), LOOK_LEAST));
}

static void watch_cpu_time(struct process *process)
{
	struct timer *timer = &process->cpu_watch;

	timer->fire = look_at_cpu_time;
	timer_cancel(timer);
	if (process->limits[RLIMIT_CPU].rlim_cur != UNLIMITED || process->limits[RLIMIT_CPU].rlim_max != UNLIMITED)
		look_at_cpu_time(timer);
}

static long set_limit(struct process *process, unsigned resource, const struct rlimit64 *wanted)
{
	if (wanted->rlim_cur > wanted->rlim_max)
		return -EINVAL;
	if (wanted->rlim_max > process->limits[resource].rlim_max && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (resource == RLIMIT_NOFILE && wanted->rlim_max > FILES_MOST)
		return -EPERM;
	process->limits[resource] = *wanted;
	if (resource == RLIMIT_CPU)
		watch_cpu_time(process);
	return 0;
}

SYSCALL(prlimit64)
{
	unsigned resource = (unsigned)a[1];
	struct rlimit64 old, new;

	if (a[2] && user_get(&new, a[2]))
		return -EFAULT;
	struct process *process = (int)a[0] ? process_find((int)a[0]) : current->process;

	if (!process)
		return -ESRCH;
	if (process != current->process && !has_user_of(process) && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	old = process->limits[resource];
	if (a[2]) {
		long error = set_limit(process, resource, &new);

		if (error)
			return error;
	}
	return a[3] ? user_write((void *)a[3], &old, sizeof(old)) : 0;
}

/* struct rlimit is the same as struct rlimit64 here. */
SYSCALL(getrlimit)
{
	return (unsigned)a[0] >= RLIM_NLIMITS ? -EINVAL : !a[1] ? -EFAULT : sys_prlimit64((const long[]){ 0, a[0], 0, a[1] });
}

SYSCALL(setrlimit)
{
	if (!a[1])
		return -EFAULT;
	return sys_prlimit64((const long[]){ 0, a[0], a[1], 0 });
}

SYSCALL(getrusage)
{
	struct rusage usage = { 0 };
	uint64_t ns;

	switch ((int)a[0]) {
	case RUSAGE_SELF:
		ns = process_cpu_ns(current->process);
		break;
	case RUSAGE_CHILDREN:
		ns = current->process->children_ns;
		break;
	case RUSAGE_THREAD:
		ns = thread_cpu_ns(current);
		break;
	default:
		return -EINVAL;
	}
	usage.ru_utime.tv_sec = (long)(ns / NS_PER_S);
	usage.ru_utime.tv_usec = (long)(ns % NS_PER_S / 1000);
	usage.ru_maxrss = (long)((page_total_bytes() - page_free_bytes()) / 1024);
	return user_write((void *)a[1], &usage, sizeof(usage));
}
