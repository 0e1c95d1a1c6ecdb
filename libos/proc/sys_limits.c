/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and use. Limits are kept for the program; those that bind are asked for with process_limit. */
#include "libos/proc/proc.h"

#define UNLIMITED RLIM64_INFINITY

static struct rlimit64 limits[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = { UNLIMITED, UNLIMITED },
	[RLIMIT_FSIZE] = { UNLIMITED, UNLIMITED },
	[RLIMIT_DATA] = { UNLIMITED, UNLIMITED },
	[RLIMIT_STACK] = { 8 << 20, UNLIMITED },
	[RLIMIT_CORE] = { 0, UNLIMITED },
	[RLIMIT_RSS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_NPROC] = { 32768, 32768 },
	[RLIMIT_NOFILE] = { 1024, 1 << 20 },
	[RLIMIT_MEMLOCK] = { UNLIMITED, UNLIMITED },
	[RLIMIT_AS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_LOCKS] = { UNLIMITED, UNLIMITED },
	[RLIMIT_SIGPENDING] = { SIG_QUEUE_MAX, SIG_QUEUE_MAX },
	[RLIMIT_MSGQUEUE] = { 819200, 819200 },
	[RLIMIT_NICE] = { 0, 0 },
	[RLIMIT_RTPRIO] = { 0, 0 },
	[RLIMIT_RTTIME] = { UNLIMITED, UNLIMITED },
};

uint64_t process_limit(int resource)
{
	return limits[resource].rlim_cur;
}

uint64_t process_limit_hard(int resource)
{
	return limits[resource].rlim_max;
}

static long set_limit(unsigned resource, const struct rlimit64 *wanted)
{
	if (wanted->rlim_cur > wanted->rlim_max)
		return -EINVAL;
	if (wanted->rlim_max > limits[resource].rlim_max && (!capable(CAP_SYS_RESOURCE) || resource == RLIMIT_NOFILE))
		return -EPERM;
	limits[resource] = *wanted;
	return 0;
}

SYSCALL(prlimit64)
{
	unsigned resource = (unsigned)a[1];
	struct rlimit64 old, new;

	if (a[0] && a[0] != process_id())
		return -ESRCH;
	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	old = limits[resource];
	if (a[2]) {
		if (user_read(&new, (const void *)a[2], sizeof(new)))
			return -EFAULT;
		long error = set_limit(resource, &new);

		if (error)
			return error;
	}
	return a[3] ? user_write((void *)a[3], &old, sizeof(old)) : 0;
}

/* struct rlimit is the same as struct rlimit64 here. */
SYSCALL(getrlimit)
{
	return sys_prlimit64((const long[]){ 0, a[0], 0, a[1] });
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
		ns = process_cpu_ns();
		break;
	case RUSAGE_CHILDREN:
		ns = 0;
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
