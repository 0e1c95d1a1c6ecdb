/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and processes: made by clone, ended by exit. */
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/sched.h>

struct new_thread {
	uint64_t flags, stack, tls;
	int exit_signal;
	uint64_t parent_tid, child_tid, pidfd; /* addresses in the program */
};

/*
 * Where the child's vector registers are kept while it does not run: it goes on with its parent's. And where the parent's are, which needs
 * no such place as long as it is alone; so a switch between threads never asks for memory. NULL: there is none.
 */
static void *inherit_vectors(struct thread *parent)
{
	if (!parent->xsave)
		parent->xsave = page_alloc_zeroed(0);
	void *area = parent->xsave ? page_alloc_zeroed(0) : NULL;

	if (area)
		vectors_save(area);
	return area;
}

static struct thread *start_thread(struct process *process, const struct new_thread *new)
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
	void *vectors = inherit_vectors(current);
	struct thread *child = vectors ? thread_new(process, &regs, fs_base) : NULL;

	if (!child) {
		if (vectors)
			page_free(vectors, 0);
		return NULL;
	}
	child->xsave = vectors;
	__asm__ volatile("rdgsbase %0" : "=r"(child->gs_base));
	child->sig_blocked = current->sig_restore_mask ? current->sig_saved_mask : current->sig_blocked;
	memcpy(child->name, current->name, sizeof(child->name));
	scheduling_inherit(child, current);
	if (new->flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = new->child_tid;
	if (new->flags & CLONE_CHILD_SETTID)
		child->set_child_tid = new->child_tid;
	return child;
}

static bool may_have_more(void)
{
	return (uint64_t)thread_count < process_limit(RLIMIT_NPROC) || !credentials()->uid || capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN);
}

static long clone_thread(const struct new_thread *new)
{
	bool tell_parent = new->flags & CLONE_PARENT_SETTID, tell_child = new->flags & CLONE_CHILD_SETTID;

	if (!may_have_more())
		return -EAGAIN;
	/* Asked before there is a thread; what it says is not changed by that. */
	if ((tell_parent && user_touch(new->parent_tid)) || (tell_child && user_touch(new->child_tid)))
		return -EFAULT;
	struct thread *child = start_thread(current->process, new);

	if (!child)
		return -EAGAIN;
	if (tell_parent)
		user_put(new->parent_tid, child->tid);
	return child->tid;
}

/* ---- processes ---- */

#define NAMESPACES \
	((uint64_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET) | CLONE_NEWTIME)

static int check_flags(const struct new_thread *new)
{
	uint64_t flags = new->flags;

	if ((flags & CLONE_THREAD && !(flags & CLONE_SIGHAND)) || (flags & CLONE_SIGHAND && !(flags & CLONE_VM)))
		return -EINVAL;
	if (flags & CLONE_SIGHAND && flags & CLONE_CLEAR_SIGHAND)
		return -EINVAL;
	if ((flags & CLONE_FS && flags & (CLONE_NEWNS | CLONE_NEWUSER)) || (flags & CLONE_THREAD && flags & (CLONE_NEWPID | CLONE_NEWUSER)))
		return -EINVAL;
	if (flags & CLONE_PIDFD && (flags & (CLONE_THREAD | CLONE_DETACHED)))
		return -EINVAL;
	if (new->exit_signal < 0 || new->exit_signal > SIG_MAX)
		return -EINVAL;
	return flags & NAMESPACES ? -EPERM : 0;
}

/* The others stay as they are, and what is sent to this thread waits: its memory is another's for now. */
static void wait_for_child_to_leave(struct process *child)
{
	current->sig_parked = true;
	while (child->holds_parent && !thread_must_end(current))
		wait_on(&child->changed, 0);
	current->sig_parked = false;
}

static void drop_handlers(struct signals *signals)
{
	for (int signo = 1; signo <= SIG_MAX; signo++)
		if (signals->action[signo].handler > 1)
			signals->action[signo] = (struct sigaction_k){ 0 };
}

static long clone_process(const struct new_thread *new)
{
	struct process *process = may_have_more() ? process_copy(new->flags) : NULL;
	struct thread *child;
	int fd = 0;

	if (!process)
		return may_have_more() ? -ENOMEM : -EAGAIN;
	process->exit_signal = new->exit_signal;
	if (new->flags & CLONE_PARENT && current->process->parent) {
		process->parent = current->process->parent;
		process->exit_signal = current->process->exit_signal;
	}
	if (new->flags & CLONE_CLEAR_SIGHAND)
		drop_handlers(&process->signals);
	process->holds_parent = new->flags & CLONE_VFORK;
	if (new->flags & CLONE_PIDFD)
		fd = pidfd_new(process, 0);
	child = fd < 0 ? NULL : start_thread(process, new);
	if (!child) {
		if (new->flags & CLONE_PIDFD && fd >= 0)
			fd_close(fd);
		process_abandon(process);
		return fd < 0 ? fd : -EAGAIN;
	}
	if (!(new->flags & CLONE_VM) || new->flags & CLONE_VFORK) {
		child->altstack_sp = current->altstack_sp;
		child->altstack_size = current->altstack_size;
		child->altstack_flags = current->altstack_flags;
	}
	if (!(new->flags & CLONE_VM)) {
		child->rseq = current->rseq;
		child->rseq_signature = current->rseq_signature;
	}
	int pid = process->pid;

	if (new->flags & CLONE_PARENT_SETTID)
		user_put(new->parent_tid, pid);
	if (new->flags & CLONE_PIDFD)
		user_put(new->pidfd, fd);
	if (new->flags & CLONE_VFORK) {
		process_get(process);
		wait_for_child_to_leave(process);
		process_put(process);
	}
	return pid;
}

static long clone_either(const struct new_thread *new)
{
	int err = check_flags(new);

	if (err)
		return err;
	if (new->flags & CLONE_PIDFD && user_touch(new->pidfd))
		return -EFAULT;
	return new->flags & CLONE_THREAD ? clone_thread(new) : clone_process(new);
}

SYSCALL(clone)
{
	struct new_thread new = { .flags = (uint64_t)a[0] & ~(uint64_t)CSIGNAL, .exit_signal = (int)(a[0] & CSIGNAL), .stack = (uint64_t)a[1],
				  .parent_tid = (uint64_t)a[2], .pidfd = (uint64_t)a[2], .child_tid = (uint64_t)a[3], .tls = (uint64_t)a[4] };

	if (new.flags & CLONE_PIDFD && new.flags & CLONE_PARENT_SETTID) /* they would be at one place */
		return -EINVAL;
	return clone_either(&new);
}

SYSCALL(clone3)
{
	struct clone_args args = { 0 };

	if ((size_t)a[1] > LV_PAGE)
		return -E2BIG;
	if ((size_t)a[1] < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	if (user_read(&args, (const void *)a[0], MIN((size_t)a[1], sizeof(args))))
		return -EFAULT;
	for (size_t at = sizeof(args); at < (size_t)a[1]; at++) { /* of a later version: nothing may be asked for there */
		uint8_t byte;

		if (user_get(&byte, a[0] + (long)at))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	if (args.flags & ~(uint64_t)(UINT32_MAX | CLONE_CLEAR_SIGHAND) || !user_range(args.stack, args.stack_size))
		return -EINVAL;
	if (args.flags & (CSIGNAL | CLONE_DETACHED) || args.exit_signal > SIG_MAX || !args.stack != !args.stack_size || args.set_tid_size)
		return -EINVAL;
	struct new_thread new = { .flags = args.flags, .exit_signal = (int)args.exit_signal, .stack = args.stack ? args.stack + args.stack_size : 0,
				  .parent_tid = args.parent_tid, .pidfd = args.pidfd, .child_tid = args.child_tid, .tls = args.tls };

	return clone_either(&new);
}

SYSCALL(fork)
{
	return clone_process(&(struct new_thread){ .exit_signal = SIGCHLD });
}

SYSCALL(vfork)
{
	return clone_process(&(struct new_thread){ .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD });
}

/* ---- the end ---- */

SYSCALL(exit)
{
	if (current->tid == process_id())
		current->process->exit_status = (int)(a[0] & 0xff) << 8;
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
