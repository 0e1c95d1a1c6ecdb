/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file with O_ASYNC sits in its own wait queue; whenever that is woken, its owner gets SIGIO, or the signal of F_SETSIG
 * with what happened and the descriptor in its information.
 */
#include "libos/fs/async.h"
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define SIGNALLED (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLERR | EPOLLHUP)
/* si_code of the signal: what is ready */
enum { IN_READY = 1, OUT_READY = 2, MESSAGE = 3, FAILED = 4, URGENT = 5, HUNG_UP = 6 };

struct async {
	struct waiter waiter;
	struct file *file;
	struct f_owner_ex owner; /* pid 0: nobody */
	int signo;               /* 0: SIGIO, without information */
	int fd;
};

static struct async *async_of(struct file *file)
{
	if (!file->async && (file->async = kzalloc(sizeof(*file->async))))
		file->async->file = file;
	return file->async;
}

/* A signal with codes of its own would be taken for what they tell of. */
static int code_of(int signo, uint32_t events)
{
	if (SIG_BIT(signo) & (SIG_OF_FAULTS | SIG_BIT(SIGCHLD)))
		return SI_SIGIO;
	if (events & EPOLLHUP)
		return HUNG_UP;
	if (events & EPOLLERR)
		return FAILED;
	if (events & EPOLLMSG)
		return MESSAGE;
	return events & EPOLLIN ? IN_READY : events & EPOLLOUT ? OUT_READY : URGENT;
}

/* 0, or as signal_post; nobody is there to be told any more: 0. */
static int signal_owner(const struct async *async, int signo, const struct siginfo_k *info)
{
	struct thread *thread = async->owner.type == F_OWNER_TID ? thread_find(async->owner.pid) : NULL;
	struct process *process = async->owner.type == F_OWNER_PID ? process_find(async->owner.pid) : NULL;

	if (async->owner.type == F_OWNER_PGRP)
		return signal_send_group(async->owner.pid, signo, info);
	return thread ? signal_post(thread->process, thread, signo, info) : process ? signal_post(process, NULL, signo, info) : 0;
}

static void tell_owner(const struct async *async, uint32_t events)
{
	struct siginfo_k info = { .code = code_of(async->signo ? async->signo : SIGIO, events), .poll = { .band = events, .fd = async->fd } };

	if (!async->owner.pid)
		return;
	if (async->signo && signal_owner(async, async->signo, &info) == 0)
		return;
	info = (struct siginfo_k){ .code = SI_KERNEL }; /* also when no more of the other can be queued */
	(void)signal_owner(async, SIGIO, &info);
}

static bool on_wake(struct waiter *waiter, uint32_t events)
{
	struct async *async = container_of(waiter, struct async, waiter);
	struct waitq *ignored;

	if (!events)
		events = async->file->ops->poll(async->file, &ignored);
	if (events & SIGNALLED)
		tell_owner(async, events & SIGNALLED);
	return false;
}

void file_urgent(struct file *file)
{
	const struct async *async = file->async;
	struct siginfo_k info = { .code = SI_KERNEL };

	if (async && async->owner.pid)
		(void)signal_owner(async, SIGURG, &info);
}

bool async_possible(const struct file *file)
{
	const char *kind = file->ops->kind ? file->ops->kind : "";

	return file->ops->poll && (!strcmp(kind, "pipe") || !strcmp(kind, "socket") || !strcmp(kind, "console") || !strcmp(kind, "tty"));
}

int async_switch(struct file *file, int fd, bool on)
{
	struct async *async = on ? async_of(file) : file->async;
	struct waitq *queue = NULL;

	if (!async)
		return on ? -ENOMEM : 0;
	waitq_remove(&async->waiter);
	if (!on)
		return 0;
	async->fd = fd;
	async->waiter.wake = on_wake;
	file->ops->poll(file, &queue);
	if (queue)
		waitq_add(queue, &async->waiter);
	return 0;
}

int async_own(struct file *file, int fd)
{
	struct async *async = async_of(file);

	if (!async)
		return -ENOMEM;
	async->fd = fd;
	if (!async->owner.pid)
		async->owner = (struct f_owner_ex){ .type = F_OWNER_PID, .pid = process_id() };
	return 0;
}

void async_lease_breaks(const struct file *file)
{
	tell_owner(file->async, EPOLLMSG);
}

void async_forget(struct file *file)
{
	waitq_remove(&file->async->waiter);
	kfree(file->async);
	file->async = NULL;
}

static bool exists(const struct f_owner_ex *owner)
{
	switch (owner->type) {
	case F_OWNER_TID:
		return !owner->pid || thread_find(owner->pid);
	case F_OWNER_PID:
		return !owner->pid || process_find(owner->pid);
	}
	return !owner->pid || process_group_exists(owner->pid);
}

static long set_owner(struct file *file, const struct f_owner_ex *owner)
{
	struct async *async;

	if (!exists(owner))
		return -ESRCH;
	async = async_of(file);
	if (!async)
		return -ENOMEM;
	async->owner = *owner;
	return 0;
}

static long set_owner_ex(struct file *file, long user)
{
	struct f_owner_ex owner;

	if (user_get(&owner, user))
		return -EFAULT;
	if (owner.type != F_OWNER_TID && owner.type != F_OWNER_PID && owner.type != F_OWNER_PGRP)
		return -EINVAL;
	return set_owner(file, &owner);
}

static long set_signal(struct file *file, long signo)
{
	struct async *async;

	if (signo < 0 || signo > SIG_MAX)
		return -EINVAL;
	async = async_of(file);
	if (!async)
		return -ENOMEM;
	async->signo = (int)signo;
	return 0;
}

long async_fcntl(struct file *file, int command, long arg)
{
	const struct f_owner_ex none = { .type = F_OWNER_PID }, *owner = file->async ? &file->async->owner : &none;
	int pid = (int)arg;

	switch (command) {
	case F_SETOWN:
		if (pid == INT32_MIN)
			return -EINVAL;
		return set_owner(file, &(struct f_owner_ex){ .type = pid < 0 ? F_OWNER_PGRP : F_OWNER_PID, .pid = pid < 0 ? -pid : pid });
	case F_GETOWN:
		return owner->type == F_OWNER_PGRP ? -owner->pid : owner->pid;
	case F_SETOWN_EX:
		return set_owner_ex(file, arg);
	case F_GETOWN_EX:
		return user_put(arg, *owner);
	case F_SETSIG:
		return set_signal(file, arg);
	case F_GETSIG:
		return file->async ? file->async->signo : 0;
	}
	return -EINVAL;
}
