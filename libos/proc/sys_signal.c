/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about signals. */
#include "libos/proc/proc.h"

static bool valid(int signo)
{
	return signo >= 1 && signo <= SIG_MAX;
}

SYSCALL(rt_sigaction)
{
	int signo = (int)a[0];
	struct sigaction_k action, old;

	if (a[3] != sizeof(uint64_t) || !valid(signo))
		return -EINVAL;
	old = signal_action_get(signo);
	if (a[1]) {
		if (signo == SIGKILL || signo == SIGSTOP)
			return -EINVAL;
		if (user_read(&action, (const void *)a[1], sizeof(action)))
			return -EFAULT;
	}
	if (a[2] && user_write((void *)a[2], &old, sizeof(old)))
		return -EFAULT;
	if (a[1])
		signal_action_set(signo, &action);
	return 0;
}

static int change_mask(int how, uint64_t set)
{
	uint64_t old = current->sig_blocked;

	switch (how) {
	case SIG_BLOCK:
		signal_block(old | set);
		return 0;
	case SIG_UNBLOCK:
		signal_block(old & ~set);
		return 0;
	case SIG_SETMASK:
		signal_block(set);
		return 0;
	}
	return -EINVAL;
}

SYSCALL(rt_sigprocmask)
{
	uint64_t set, old = current->sig_blocked;

	if (a[3] != sizeof(set))
		return -EINVAL;
	if (a[1]) {
		if (user_read(&set, (const void *)a[1], sizeof(set)))
			return -EFAULT;
		int error = change_mask((int)a[0], set);

		if (error)
			return error;
	}
	return a[2] ? user_write((void *)a[2], &old, sizeof(old)) : 0;
}

SYSCALL(rt_sigpending)
{
	uint64_t set = signal_pending_set() & current->sig_blocked;

	if ((size_t)a[1] > sizeof(set))
		return -EINVAL;
	return user_write((void *)a[0], &set, (size_t)a[1]);
}

static long wait_for_handler(void)
{
	while (wait_here(0) != -EINTR)
		;
	return -ERESTARTNOHAND;
}

SYSCALL(pause)
{
	return wait_for_handler();
}

SYSCALL(rt_sigsuspend)
{
	uint64_t mask;

	if (a[1] != sizeof(mask))
		return -EINVAL;
	if (user_read(&mask, (const void *)a[0], sizeof(mask)))
		return -EFAULT;
	signal_mask_temporarily(mask);
	return wait_for_handler();
}

SYSCALL(rt_sigtimedwait)
{
	struct siginfo_k info;
	uint64_t set, ns, deadline = 0;
	int err = 0, signo;

	if (a[3] != sizeof(set))
		return -EINVAL;
	if (user_read(&set, (const void *)a[0], sizeof(set)))
		return -EFAULT;
	set &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	if (a[2]) {
		err = user_read_time((const void *)a[2], &ns);
		if (err)
			return err;
		deadline = deadline_after(clock_monotonic(), ns);
	}
	while (!(signo = signal_take(set, &info))) {
		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : err;
		err = wait_on(&signal_queue, deadline);
	}
	if (a[1] && user_write((void *)a[1], &info, sizeof(info)))
		return -EFAULT;
	return signo;
}

SYSCALL(sigaltstack)
{
	stack_t stack, old = altstack_get(current->regs->rsp);
	int err = 0;

	if (a[0]) {
		if (user_read(&stack, (const void *)a[0], sizeof(stack)))
			return -EFAULT;
		err = altstack_set(&stack);
	}
	if (!err && a[1])
		err = user_write((void *)a[1], &old, sizeof(old));
	return err;
}

/* ---- sending ---- */

/* By the id of any of its threads, as on Linux. */
static struct process *process_of(int pid)
{
	struct process *process = process_find(pid);
	struct thread *thread = process ? NULL : thread_find(pid);

	return thread ? thread->process : process;
}

static int send_checked(struct process *process, int signo, const struct siginfo_k *info)
{
	/* Everybody may wake those of his own session. */
	if (!signal_can_act(process) && !(signo == SIGCONT && process->session == current->process->session))
		return -EPERM;
	return signo ? signal_post(process, NULL, signo, info) : 0;
}

/* group -1: all processes but the caller and the first. 0 if one could be sent to. */
static long send_to_many(int group, int signo, const struct siginfo_k *info)
{
	struct process *own = NULL;
	long result = -ESRCH;

	for (struct process *process = processes, *next; process; process = next) {
		next = process->next;
		if (group == -1 ? process == current->process || process == process_first() : process->group != group)
			continue;
		if (process == current->process && signo == SIGKILL) { /* last: it might be the end of all */
			own = process;
			result = 0;
			continue;
		}
		long err = send_checked(process, signo, info);

		if (!err || result == -ESRCH)
			result = err;
	}
	if (own)
		send_checked(own, signo, info);
	return result;
}

SYSCALL(kill)
{
	int pid = (int)a[0], signo = (int)a[1];
	struct siginfo_k info = { .code = SI_USER, .kill = { .pid = process_id(), .uid = credentials()->uid } };

	if (signo && !valid(signo))
		return -EINVAL;
	if (pid <= 0)
		return pid == INT32_MIN ? -ESRCH : send_to_many(pid == 0 ? current->process->group : pid == -1 ? -1 : -pid, signo, &info);
	struct process *process = process_of(pid);

	return process ? send_checked(process, signo, &info) : -ESRCH;
}

SYSCALL(pidfd_send_signal)
{
	struct process *process = NULL;
	struct siginfo_k info = { .code = SI_USER, .kill = { .pid = process_id(), .uid = credentials()->uid } };
	int signo = (int)a[1];

	int err = a[3] ? -EINVAL : pidfd_or_directory((int)a[0], &process);

	if (err)
		return err;
	if (signo && !valid(signo))
		return -EINVAL;
	if (a[2] && user_read(&info, (const void *)a[2], sizeof(info)))
		return -EFAULT;
	if (a[2] && info.signo != signo)
		return -EINVAL;
	if (a[2] && process != current->process && (info.code >= 0 || info.code == SI_TKILL))
		return -EPERM;
	return process->dead ? -ESRCH : send_checked(process, signo, &info);
}

static long send_to_thread(int pid, int tid, int signo, const struct siginfo_k *info)
{
	struct thread *thread = tid > 0 ? thread_find(tid) : NULL;

	if (tid <= 0 || (signo && !valid(signo)))
		return -EINVAL;
	if (!thread || (pid && pid != thread->process->pid))
		return -ESRCH;
	if (!signal_can_act(thread->process))
		return -EPERM;
	return signo ? signal_post(thread->process, thread, signo, info) : 0;
}

static long kill_thread(int pid, int tid, int signo)
{
	struct siginfo_k info = { .code = SI_TKILL, .kill = { .pid = process_id(), .uid = credentials()->uid } };

	return send_to_thread(pid, tid, signo, &info);
}

SYSCALL(tkill)
{
	return kill_thread(0, (int)a[0], (int)a[1]);
}

SYSCALL(tgkill)
{
	return (int)a[0] > 0 ? kill_thread((int)a[0], (int)a[1], (int)a[2]) : -EINVAL;
}

/* Nobody speaks for the kernel, or as kill(2) does, but to himself. */
static bool poses(const struct siginfo_k *info, int to)
{
	return (info->code >= 0 || info->code == SI_TKILL) && to != process_id();
}

SYSCALL(rt_sigqueueinfo)
{
	int signo = (int)a[1];
	struct siginfo_k info;

	if (user_read(&info, (const void *)a[2], sizeof(info)))
		return -EFAULT;
	if (poses(&info, (int)a[0]))
		return -EPERM;
	if (signo && !valid(signo))
		return -EINVAL;
	struct process *process = (int)a[0] > 0 ? process_of((int)a[0]) : NULL;

	return !process ? -ESRCH : send_checked(process, signo, &info);
}

SYSCALL(rt_tgsigqueueinfo)
{
	struct siginfo_k info;

	if (user_read(&info, (const void *)a[3], sizeof(info)))
		return -EFAULT;
	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	return poses(&info, (int)a[0]) ? -EPERM : send_to_thread((int)a[0], (int)a[1], (int)a[2], &info);
}
