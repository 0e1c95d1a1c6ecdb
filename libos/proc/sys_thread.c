/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: made by clone, ended by exit. */
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/sched.h>

#define THREAD_FLAGS ((uint64_t)(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD))

struct new_thread {
	uint64_t flags, stack, tls;
	uint64_t parent_tid, child_tid; /* addresses in the program */
};

static int exit_status; /* of the first thread, which is the process' if it ends thread by thread */

int process_exit_status(void)
{
	return exit_status;
}

/* Says it once; whether the program goes on without, its own words or its status tell. */
static void say_refused(const char *what)
{
	static bool said;
	char text[200];

	if (!said) {
		snprintf(text, sizeof(text), "lightvm: %s\n", what);
		console_note(text);
	}
	said = true;
}

/* EACCES is what node, jest and shells take for an answer: they try EAGAIN again, and throw for ENOSYS. */
static long refuse_process(const char *call)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: no other process can be started: the library OS runs one process a VM", call);
	say_refused(text);
	return -EACCES;
}

static long refuse_execve(void)
{
	say_refused("execve: it replaces the program by another one; the library OS cannot do that yet");
	return -ENOSYS;
}

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
	void *vectors = inherit_vectors(current);
	struct thread *child = vectors ? thread_new(&regs, fs_base) : NULL;

	if (!child) {
		if (vectors)
			page_free(vectors, 0);
		return NULL;
	}
	child->xsave = vectors;
	child->sig_blocked = current->sig_restore_mask ? current->sig_saved_mask : current->sig_blocked;
	memcpy(child->name, current->name, sizeof(child->name));
	scheduling_inherit(child, current);
	if (new->flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = new->child_tid;
	return child;
}

static long clone_thread(const struct new_thread *new)
{
	bool tell_parent = new->flags & CLONE_PARENT_SETTID, tell_child = new->flags & CLONE_CHILD_SETTID;

	if ((uint64_t)thread_count >= process_limit(RLIMIT_NPROC) && credentials()->uid && !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN))
		return -EAGAIN;
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

	/* C libraries fall back to clone, vfork or fork, which say more. */
	if ((new.flags & THREAD_FLAGS) != THREAD_FLAGS)
		return -ENOSYS;
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
	return refuse_execve();
}

SYSCALL(execveat)
{
	return refuse_execve();
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
