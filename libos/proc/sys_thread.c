/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: made by clone, ended by exit; and the scheduling calls, which have one processor to speak of. */
#include "libos/proc/proc.h"

#include <linux/membarrier.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define THREAD_FLAGS ((uint64_t)(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD))
#define NICE_ZERO 20 /* what the system call getpriority answers for nice 0 */

struct new_thread {
	uint64_t flags, stack, tls;
	uint64_t parent_tid, child_tid; /* addresses in the program */
};

static int exit_status; /* of the first thread, which is the process' if it ends thread by thread */

int process_exit_status(void)
{
	return exit_status;
}

static long refuse_process(const char *call)
{
	static bool said;
	char text[200];

	if (!said)
		snprintf(text, sizeof(text), "lightvm: %s: this program starts other processes; the library OS runs one process a VM; "
			"use --kernel linux\n", call);
	if (!said)
		console_note(text);
	said = true;
	return -ENOSYS;
}

/* The child goes on with its parent's rounding modes and, where it has them, vector registers. */
static void inherit_vectors(struct thread *child)
{
	child->xsave = page_alloc_zeroed(0);
	if (child->xsave)
		__asm__ volatile("xsave64 (%0)" : : "r"(child->xsave), "a"(-1), "d"(-1) : "memory");
}

static struct thread *start_thread(const struct new_thread *new)
{
	struct regs regs = *current->regs;
	uint64_t fs_base;

	regs.rax = 0;
	regs.orig_rax = (uint64_t)-1;
	if (new->stack)
		regs.rsp = new->stack;
	if (new->flags & CLONE_SETTLS)
		fs_base = new->tls;
	else
		__asm__ volatile("rdfsbase %0" : "=r"(fs_base));
	struct thread *child = thread_new(&regs, fs_base);

	if (!child)
		return NULL;
	inherit_vectors(child);
	child->sig_blocked = current->sig_restore_mask ? current->sig_saved_mask : current->sig_blocked;
	memcpy(child->name, current->name, sizeof(child->name));
	if (new->flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = new->child_tid;
	return child;
}

static long clone_thread(const struct new_thread *new)
{
	bool tell_parent = new->flags & CLONE_PARENT_SETTID, tell_child = new->flags & CLONE_CHILD_SETTID;

	/* Asked before there is a thread; what it says is not changed by that. */
	if ((tell_parent && user_touch(new->parent_tid)) || (tell_child && user_touch(new->child_tid)))
		return -EFAULT;
	struct thread *child = start_thread(new);

	if (!child)
		return -EAGAIN;
	if (tell_parent)
		user_put(new->parent_tid, child->tid);
	if (tell_child)
		user_put(new->child_tid, child->tid);
	return child->tid;
}

SYSCALL(clone)
{
	struct new_thread new = { .flags = (uint64_t)a[0], .stack = (uint64_t)a[1], .parent_tid = (uint64_t)a[2],
				  .child_tid = (uint64_t)a[3], .tls = (uint64_t)a[4] };

	if ((new.flags & THREAD_FLAGS) != THREAD_FLAGS)
		return refuse_process(new.flags & CLONE_VFORK ? "vfork" : "fork");
	return clone_thread(&new);
}

SYSCALL(clone3)
{
	struct clone_args args = { 0 };

	if ((size_t)a[1] < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	if (user_read(&args, (const void *)a[0], MIN((size_t)a[1], sizeof(args))))
		return -EFAULT;
	struct new_thread new = { .flags = args.flags, .stack = args.stack ? args.stack + args.stack_size : 0,
				  .parent_tid = args.parent_tid, .child_tid = args.child_tid, .tls = args.tls };

	if ((new.flags & THREAD_FLAGS) != THREAD_FLAGS)
		return refuse_process(new.flags & CLONE_VFORK ? "vfork" : "fork");
	return clone_thread(&new);
}

SYSCALL(fork)
{
	return refuse_process("fork");
}

SYSCALL(vfork)
{
	return refuse_process("vfork");
}

SYSCALL(execve)
{
	return refuse_process("execve");
}

SYSCALL(execveat)
{
	return refuse_process("execve");
}

SYSCALL(wait4)
{
	return -ECHILD;
}

SYSCALL(waitid)
{
	return -ECHILD;
}

SYSCALL(exit)
{
	if (current->tid == process_id())
		exit_status = (int)(a[0] & 0xff) << 8;
	thread_exit();
}

SYSCALL(exit_group)
{
	process_exit((int)(a[0] & 0xff) << 8);
}

SYSCALL(gettid)
{
	return current->tid;
}

SYSCALL(set_tid_address)
{
	current->clear_child_tid = (uint64_t)a[0];
	return current->tid;
}

/* ---- scheduling: round robin on one processor, whatever is asked for ---- */

SYSCALL(sched_yield)
{
	sched_yield_now();
	return 0;
}

SYSCALL(getcpu)
{
	uint32_t zero = 0;

	if (a[0] && user_write((void *)a[0], &zero, sizeof(zero)))
		return -EFAULT;
	return a[1] ? user_write((void *)a[1], &zero, sizeof(zero)) : 0;
}

static bool is_thread(int tid)
{
	return tid == 0 || thread_find(tid);
}

SYSCALL(sched_getaffinity)
{
	uint64_t mask = 1;

	if (!is_thread((int)a[0]))
		return -ESRCH;
	if ((size_t)a[1] < sizeof(mask) || (size_t)a[1] % sizeof(mask))
		return -EINVAL;
	return user_write((void *)a[2], &mask, sizeof(mask)) ? -EFAULT : (long)sizeof(mask);
}

SYSCALL(sched_setaffinity)
{
	uint8_t mask;

	if (!is_thread((int)a[0]))
		return -ESRCH;
	if (!a[1] || user_read(&mask, (const void *)a[2], sizeof(mask)))
		return a[1] ? -EFAULT : -EINVAL;
	return mask & 1 ? 0 : -EINVAL;
}

SYSCALL(sched_getscheduler)
{
	return is_thread((int)a[0]) ? SCHED_NORMAL : -ESRCH;
}

/* Real-time classes need a right that nobody has; the others are all the same here. */
SYSCALL(sched_setscheduler)
{
	int policy = (int)a[1] & ~SCHED_RESET_ON_FORK;

	if (!is_thread((int)a[0]))
		return -ESRCH;
	if (policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE)
		return -EPERM;
	return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ? 0 : -EINVAL;
}

SYSCALL(sched_getparam)
{
	int priority = 0;

	if (!is_thread((int)a[0]))
		return -ESRCH;
	return user_write((void *)a[1], &priority, sizeof(priority));
}

SYSCALL(sched_setparam)
{
	int priority;

	if (!is_thread((int)a[0]))
		return -ESRCH;
	if (user_read(&priority, (const void *)a[1], sizeof(priority)))
		return -EFAULT;
	return priority ? -EINVAL : 0;
}

SYSCALL(sched_getattr)
{
	struct sched_attr attr = { .size = SCHED_ATTR_SIZE_VER0, .sched_policy = SCHED_NORMAL };

	if (!is_thread((int)a[0]))
		return -ESRCH;
	return (size_t)a[2] < SCHED_ATTR_SIZE_VER0 ? -EINVAL : user_write((void *)a[1], &attr, SCHED_ATTR_SIZE_VER0);
}

SYSCALL(sched_setattr)
{
	return is_thread((int)a[0]) ? -EPERM : -ESRCH;
}

static bool real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

SYSCALL(sched_get_priority_max)
{
	return real_time((int)a[0]) ? 99 : a[0] >= 0 && a[0] <= SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL(sched_get_priority_min)
{
	return real_time((int)a[0]) ? 1 : a[0] >= 0 && a[0] <= SCHED_DEADLINE ? 0 : -EINVAL;
}

SYSCALL(sched_rr_get_interval)
{
	return is_thread((int)a[0]) ? user_write_time((void *)a[1], 20000000) : -ESRCH;
}

SYSCALL(getpriority)
{
	return NICE_ZERO;
}

SYSCALL(setpriority)
{
	return 0;
}

SYSCALL(ioprio_get)
{
	return 0;
}

SYSCALL(ioprio_set)
{
	return 0;
}

/* On one processor every switch of threads is a barrier. */
SYSCALL(membarrier)
{
	const int known = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
		MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

	if (a[0] == MEMBARRIER_CMD_QUERY)
		return known;
	return a[0] & ~known ? -EINVAL : 0;
}
