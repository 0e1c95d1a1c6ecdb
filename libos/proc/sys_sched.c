/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduling calls. What a program asks for is checked and kept as Linux does, and told back; there is one processor,
 * and threads of every policy take turns on it.
 */
#include "libos/proc/proc.h"

#include <linux/ioprio.h>
#include <linux/membarrier.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define NICE_ZERO 20 /* the system call getpriority answers 20 - nice */
#define NICE_LEAST (-20)
#define NICE_MOST 19
#define PRIORITY_MOST 99
#define ATTR_MOST 4096
#define SLICE_NS 20000000
#define ROUND_ROBIN_NS 100000000

SYSCALL(sched_yield)
{
	sched_yield_now();
	return 0;
}

SYSCALL(getcpu)
{
	uint32_t zero = 0;

	if (a[0] && user_put(a[0], zero))
		return -EFAULT;
	return a[1] ? user_put(a[1], zero) : 0;
}

/* 0: the calling one. */
static struct thread *thread_of(int tid)
{
	return tid ? thread_find(tid) : current;
}

/* May the running process say how this thread is scheduled? */
static bool may_schedule(const struct thread *thread)
{
	const struct credentials *other = &thread->process->credentials;

	return credentials()->euid == other->euid || credentials()->euid == other->uid || capable(CAP_SYS_NICE);
}

SYSCALL(sched_getaffinity)
{
	uint64_t mask = 1;

	if ((uint32_t)a[1] % sizeof(mask) || !(uint32_t)a[1])
		return -EINVAL;
	if (!thread_of((int)a[0]))
		return -ESRCH;
	return user_put(a[2], mask) ? -EFAULT : (long)sizeof(mask);
}

SYSCALL(sched_setaffinity)
{
	const struct thread *thread;
	uint8_t mask = 0;

	if ((uint32_t)a[1] && user_get(&mask, a[2]))
		return -EFAULT;
	thread = thread_of((int)a[0]);
	if (!thread)
		return -ESRCH;
	if (!may_schedule(thread))
		return -EPERM;
	return mask & 1 ? 0 : -EINVAL;
}

/* ---- policies ---- */

static bool real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

struct wish { /* of sched_setscheduler, _setparam, _setattr */
	int policy, priority, nice;
	bool reset_on_fork;
};

static int check_wish(const struct wish *wish)
{
	if (wish->policy != SCHED_NORMAL && wish->policy != SCHED_BATCH && wish->policy != SCHED_IDLE && !real_time(wish->policy))
		return -EINVAL;
	if (wish->priority < 0 || wish->priority > PRIORITY_MOST)
		return -EINVAL;
	return real_time(wish->policy) == (wish->priority != 0) ? 0 : -EINVAL;
}

static bool may_have_nice(const struct thread *thread, int nice)
{
	return nice >= thread->scheduling.nice || (uint64_t)(NICE_ZERO - nice) <= process_limit(RLIMIT_NICE) || capable(CAP_SYS_NICE);
}

static bool may_have(const struct thread *thread, const struct wish *wish)
{
	const struct scheduling *old = &thread->scheduling;
	uint64_t most = process_limit(RLIMIT_RTPRIO);

	if (capable(CAP_SYS_NICE))
		return true;
	if (!may_schedule(thread))
		return false;
	if (real_time(wish->policy) && ((wish->policy != old->policy && !most) ||
					(wish->priority > old->priority && (uint64_t)wish->priority > most)))
		return false;
	if (!real_time(wish->policy) && !may_have_nice(thread, wish->nice))
		return false;
	return !(old->reset_on_fork && !wish->reset_on_fork);
}

static long set_scheduling(struct thread *thread, const struct wish *wish)
{
	int err = check_wish(wish);

	if (err)
		return err;
	if (!may_have(thread, wish))
		return -EPERM;
	thread->scheduling.policy = (uint8_t)wish->policy;
	thread->scheduling.priority = (uint8_t)wish->priority;
	thread->scheduling.reset_on_fork = wish->reset_on_fork;
	if (!real_time(wish->policy))
		thread->scheduling.nice = (int8_t)wish->nice;
	return 0;
}

void scheduling_inherit(struct thread *child, const struct thread *parent)
{
	child->scheduling = parent->scheduling;
	if (!parent->scheduling.reset_on_fork)
		return;
	child->scheduling.reset_on_fork = false;
	if (real_time(child->scheduling.policy)) {
		child->scheduling.policy = SCHED_NORMAL;
		child->scheduling.priority = 0;
		child->scheduling.nice = 0;
	}
	child->scheduling.nice = MAX(child->scheduling.nice, 0);
}

/* policy -1: as it is */
static long set_policy(int tid, int policy, long param)
{
	struct thread *thread;
	struct wish wish = { .policy = policy & ~SCHED_RESET_ON_FORK };

	if (!param || tid < 0)
		return -EINVAL;
	if (user_get(&wish.priority, param))
		return -EFAULT;
	thread = thread_of(tid);
	if (!thread)
		return -ESRCH;
	wish.nice = thread->scheduling.nice;
	wish.reset_on_fork = policy & SCHED_RESET_ON_FORK;
	if (policy == -1) {
		wish.policy = thread->scheduling.policy;
		wish.reset_on_fork = thread->scheduling.reset_on_fork;
	}
	return set_scheduling(thread, &wish);
}

SYSCALL(sched_setscheduler)
{
	return (int)a[1] < 0 ? -EINVAL : set_policy((int)a[0], (int)a[1], a[2]);
}

SYSCALL(sched_setparam)
{
	return set_policy((int)a[0], -1, a[1]);
}

SYSCALL(sched_getscheduler)
{
	const struct thread *thread;

	if ((int)a[0] < 0)
		return -EINVAL;
	thread = thread_of((int)a[0]);
	return thread ? thread->scheduling.policy | (thread->scheduling.reset_on_fork ? SCHED_RESET_ON_FORK : 0) : -ESRCH;
}

SYSCALL(sched_getparam)
{
	const struct thread *thread;
	int priority;

	if ((int)a[0] < 0 || !a[1])
		return -EINVAL;
	thread = thread_of((int)a[0]);
	if (!thread)
		return -ESRCH;
	priority = thread->scheduling.priority;
	return user_put(a[1], priority);
}

SYSCALL(sched_getattr)
{
	struct sched_attr attr = { .size = SCHED_ATTR_SIZE_VER0 };
	const struct thread *thread;

	if ((int)a[0] < 0 || !a[1] || (uint32_t)a[2] < SCHED_ATTR_SIZE_VER0 || (uint32_t)a[2] > ATTR_MOST || (uint32_t)a[3])
		return -EINVAL;
	thread = thread_of((int)a[0]);
	if (!thread)
		return -ESRCH;
	attr.sched_policy = thread->scheduling.policy;
	attr.sched_flags = thread->scheduling.reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
	attr.sched_priority = thread->scheduling.priority;
	if (!real_time(thread->scheduling.policy))
		attr.sched_nice = thread->scheduling.nice;
	return user_write(a[1], &attr, SCHED_ATTR_SIZE_VER0);
}

/* The attributes; what a later version of the structure may hold must not be asked for. */
static int read_attr(long user, struct sched_attr *attr)
{
	uint32_t size;

	*attr = (struct sched_attr){ 0 };
	if (user_get(&size, user))
		return -EFAULT;
	size = size ? size : SCHED_ATTR_SIZE_VER0;
	if (size < SCHED_ATTR_SIZE_VER0 || size > ATTR_MOST)
		return user_put(user, (uint32_t){ sizeof(*attr) }) ? -EFAULT : -E2BIG;
	if (user_read(attr, user, MIN(size, sizeof(*attr))))
		return -EFAULT;
	for (uint32_t at = sizeof(*attr); at < size; at++) {
		uint8_t byte;

		if (user_get(&byte, user + at))
			return -EFAULT;
		if (byte)
			return user_put(user, (uint32_t){ sizeof(*attr) }) ? -EFAULT : -E2BIG;
	}
	return 0;
}

SYSCALL(sched_setattr)
{
	const uint64_t known = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS;
	struct sched_attr attr;
	struct thread *thread;
	int err;

	if ((int)a[0] < 0 || !a[1] || (uint32_t)a[2])
		return -EINVAL;
	err = read_attr(a[1], &attr);
	if (err)
		return err;
	if ((int)attr.sched_policy < 0 || attr.sched_flags & ~known)
		return -EINVAL;
	thread = thread_of((int)a[0]);
	if (!thread)
		return -ESRCH;
	if (attr.sched_policy == SCHED_DEADLINE) /* no time of the processor can be promised */
		return capable(CAP_SYS_NICE) ? -EBUSY : -EPERM;
	struct wish wish = { .policy = (int)attr.sched_policy, .priority = (int)attr.sched_priority,
		.nice = MIN(MAX(attr.sched_nice, NICE_LEAST), NICE_MOST), .reset_on_fork = attr.sched_flags & SCHED_FLAG_RESET_ON_FORK };

	if (attr.sched_flags & SCHED_FLAG_KEEP_POLICY)
		wish.policy = thread->scheduling.policy;
	if (attr.sched_flags & SCHED_FLAG_KEEP_PARAMS) {
		wish.priority = thread->scheduling.priority;
		wish.nice = thread->scheduling.nice;
	}
	return set_scheduling(thread, &wish);
}

SYSCALL(sched_get_priority_max)
{
	return real_time((int)a[0]) ? PRIORITY_MOST : a[0] >= 0 && a[0] <= SCHED_DEADLINE && a[0] != 4 ? 0 : -EINVAL;
}

SYSCALL(sched_get_priority_min)
{
	return real_time((int)a[0]) ? 1 : a[0] >= 0 && a[0] <= SCHED_DEADLINE && a[0] != 4 ? 0 : -EINVAL;
}

SYSCALL(sched_rr_get_interval)
{
	const struct thread *thread;

	if ((int)a[0] < 0)
		return -EINVAL;
	thread = thread_of((int)a[0]);
	if (!thread)
		return -ESRCH;
	return user_write_time((void *)a[1], thread->scheduling.policy == SCHED_FIFO ? 0 :
			       thread->scheduling.policy == SCHED_RR ? ROUND_ROBIN_NS : SLICE_NS);
}

/* ---- nice ---- */

/* The next thread after this one (NULL: the first) that "which" and "who" name. */
static struct thread *next_named(struct thread *thread, int which, int who)
{
	if (which == PRIO_PROCESS)
		return thread ? NULL : thread_of(who);
	int group = who ? who : current->process->group;
	uint32_t uid = who ? (uint32_t)who : credentials()->uid;

	for (thread = thread ? thread->next : threads; thread; thread = thread->next)
		if (which == PRIO_PGRP ? thread->process->group == group : thread->process->credentials.uid == uid)
			break;
	return thread;
}

SYSCALL(getpriority)
{
	int which = (int)a[0], best = -1;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	for (struct thread *thread = NULL; (thread = next_named(thread, which, (int)a[1]));)
		best = MAX(best, NICE_ZERO - thread->scheduling.nice);
	return best < 0 ? -ESRCH : best;
}

SYSCALL(setpriority)
{
	int which = (int)a[0], nice = MIN(MAX((int)a[2], NICE_LEAST), NICE_MOST);
	long result = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	for (struct thread *thread = NULL; (thread = next_named(thread, which, (int)a[1]));) {
		if (!may_schedule(thread) || !may_have_nice(thread, nice)) {
			result = may_schedule(thread) ? -EACCES : -EPERM;
			continue;
		}
		thread->scheduling.nice = (int8_t)nice;
		result = result == -ESRCH ? 0 : result;
	}
	return result;
}

/* ---- priorities of input and output: kept, as files are memory ---- */

/* The next thread as of getpriority; the calls of ioprio count the kinds from 1. */
static struct thread *next_for_io(struct thread *thread, const long *a)
{
	return next_named(thread, (int)a[0] - IOPRIO_WHO_PROCESS + PRIO_PROCESS, (int)a[1]);
}

static int check_io_priority(int priority)
{
	int class = IOPRIO_PRIO_CLASS(priority), level = priority & 7;

	if (priority & ~(7 << IOPRIO_CLASS_SHIFT | 7))
		return -EINVAL;
	switch (class) {
	case IOPRIO_CLASS_RT:
		return capable(CAP_SYS_ADMIN) || capable(CAP_SYS_NICE) ? 0 : -EPERM;
	case IOPRIO_CLASS_BE:
	case IOPRIO_CLASS_IDLE:
		return 0;
	case IOPRIO_CLASS_NONE:
		return level ? -EINVAL : 0;
	}
	return -EINVAL;
}

SYSCALL(ioprio_set)
{
	int err = check_io_priority((int)a[2]);
	long result = -ESRCH;

	if (err)
		return err;
	if ((int)a[0] < IOPRIO_WHO_PROCESS || (int)a[0] > IOPRIO_WHO_USER)
		return -EINVAL;
	for (struct thread *thread = NULL; (thread = next_for_io(thread, a)); result = 0) {
		if (!may_schedule(thread))
			return -EPERM;
		thread->scheduling.io_priority = (uint16_t)a[2];
	}
	return result;
}

SYSCALL(ioprio_get)
{
	const struct thread *thread;

	if ((int)a[0] < IOPRIO_WHO_PROCESS || (int)a[0] > IOPRIO_WHO_USER)
		return -EINVAL;
	thread = next_for_io(NULL, a);
	return thread ? thread->scheduling.io_priority : -ESRCH;
}

/* ---- barriers: on one processor every switch of threads is one, for what is written as for what is executed ---- */

SYSCALL(membarrier)
{
	const int known = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
		MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;
	static int registered;
	int command = (int)a[0];

	if (a[1] && (command != MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ || (int)a[1] != MEMBARRIER_CMD_FLAG_CPU))
		return -EINVAL;
	switch (command) {
	case MEMBARRIER_CMD_QUERY:
		return known;
	case MEMBARRIER_CMD_GLOBAL:
	case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
		return 0;
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
		registered |= command;
		return 0;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
		return registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED ? 0 : -EPERM;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
		return registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE ? 0 : -EPERM;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ: /* the others do not run: they restart their sections when they do (rseq.c) */
		return registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ ? 0 : -EPERM;
	}
	return -EINVAL;
}
