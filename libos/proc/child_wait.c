/* SPDX-License-Identifier: Apache-2.0 */
/* Children that end, stop and go on: what their parents are told, and how they ask (wait(2)). */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#include <linux/sched.h>
#include <linux/wait.h>

#define NO_CHILD_WAIT 2ull /* SA_NOCLDWAIT */
#define NO_CHILD_STOP 1ull /* SA_NOCLDSTOP */
#define TICK_NS (NS_PER_S / 100)

static struct siginfo_k info_of(const struct process *child, int code, int status)
{
	return (struct siginfo_k){ .signo = SIGCHLD, .code = code, .child = { .pid = child->pid, .uid = child->credentials.uid, .status = status,
		.utime = (int64_t)((child->ended_threads_ns + child->children_ns) / TICK_NS) } };
}

static struct siginfo_k info_of_end(const struct process *child)
{
	int status = child->exit_status, signo = status & 0x7f;

	return info_of(child, signo ? CLD_KILLED : CLD_EXITED, signo ? signo : status >> 8);
}

void process_tell_parent(struct process *child, int code, int status)
{
	struct process *parent = child->parent;
	struct siginfo_k info = child->dead ? info_of_end(child) : info_of(child, code, status);
	const struct sigaction_k *action = parent ? &parent->signals.action[SIGCHLD] : NULL;

	if (!parent || child->adopted)
		return;
	if (child->dead && child->exit_signal == SIGCHLD && (action->handler == 1 || action->flags & NO_CHILD_WAIT))
		child->adopted = true; /* nobody will ask */
	if (child->dead ? child->exit_signal : !(action->flags & NO_CHILD_STOP))
		signal_send_process(parent, child->dead ? child->exit_signal : SIGCHLD, &info);
	wake_all(&parent->children_changed, 0);
}

void process_stop(int signo)
{
	struct process *process = current->process;

	if (process->signals.stopped)
		return;
	process->signals.stopped = true;
	process->stop_report = signo;
	process->continue_report = 0;
	process_tell_parent(process, CLD_STOPPED, signo);
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process && thread != current && !thread->sig_parked)
			thread_wake(thread); /* to see it */
}

void process_continue(struct process *process)
{
	process->signals.stopped = false;
	process->stop_report = 0;
	process->continue_report = SIGCONT;
	process_tell_parent(process, CLD_CONTINUED, SIGCONT);
}

bool process_group_is_orphaned(int group)
{
	for (const struct process *process = processes; process; process = process->next) {
		const struct process *parent = process->parent;

		if (process->group == group && !process->dead && parent && parent->group != group && parent->session == process->session)
			return false;
	}
	return true;
}

/* ---- wait ---- */

static bool is_meant(const struct process *child, int kind, int id, int options)
{
	if (child->parent != current->process || child->adopted)
		return false;
	if (!(options & __WALL) && (child->exit_signal != SIGCHLD) != !!(options & __WCLONE))
		return false;
	return kind == P_ALL || (kind == P_PGID ? child->group == id : child->pid == id);
}

/* Has the child something to tell? Takes it, unless it is to be left (WNOWAIT). */
static bool take_news(struct process *child, int options, struct siginfo_k *info, int *status, struct rusage *usage)
{
	bool leave = options & WNOWAIT;
	uint64_t ns = child->ended_threads_ns + child->children_ns;

	*usage = (struct rusage){ .ru_utime = { .tv_sec = (long)(ns / NS_PER_S), .tv_usec = (long)(ns % NS_PER_S / 1000) } };
	if (child->dead && options & WEXITED) {
		*info = info_of_end(child);
		*status = child->exit_status;
		if (!leave)
			process_reap(child);
		return true;
	}
	if (child->stop_report && options & WSTOPPED) {
		*info = info_of(child, CLD_STOPPED, child->stop_report);
		*status = child->stop_report << 8 | 0x7f;
		child->stop_report = leave ? child->stop_report : 0;
		return true;
	}
	if (child->continue_report && options & WCONTINUED) {
		*info = info_of(child, CLD_CONTINUED, SIGCONT);
		*status = 0xffff;
		child->continue_report = leave ? SIGCONT : 0;
		return true;
	}
	return false;
}

long wait_for_child(int kind, int id, int options, struct siginfo_k *info, int *status, struct rusage *usage)
{
	for (;;) {
		bool any = false;
		int err;

		for (struct process *child = processes, *next; child; child = next) {
			next = child->next;
			if (!is_meant(child, kind, id, options))
				continue;
			int pid = child->pid;

			any = true;
			if (take_news(child, options, info, status, usage))
				return pid;
		}
		if (!any)
			return -ECHILD;
		if (options & WNOHANG)
			return 0;
		err = wait_on(&current->process->children_changed, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
}

#define WAIT_KINDS ((long)(int)(__WNOTHREAD | __WALL | __WCLONE)) /* kinds of children */

SYSCALL(wait4)
{
	int pid = (int)a[0], status;
	int kind = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
	struct siginfo_k info;
	struct rusage usage;

	if (a[2] & ~(long)(WNOHANG | WUNTRACED | WCONTINUED | WAIT_KINDS))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	long r = wait_for_child(kind, pid > 0 ? pid : pid == 0 ? current->process->group : -pid, (int)a[2] | WEXITED, &info, &status, &usage);

	if (r <= 0)
		return r;
	if ((a[1] && user_put(a[1], status)) || (a[3] && user_put(a[3], usage)))
		return -EFAULT;
	return r;
}

/* The child's pid, 0 or -errno. */
static long wait_by_id(int kind, int id, int options, struct siginfo_k *info, struct rusage *usage)
{
	int status, hurry = 0;
	const struct process *process;

	if (options & ~(int)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WAIT_KINDS) || !(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if (kind != P_ALL && kind != P_PID && kind != P_PGID && kind != P_PIDFD)
		return -EINVAL;
	if ((kind == P_PID && id <= 0) || (kind != P_ALL && id < 0))
		return -EINVAL;
	if (kind == P_PGID && !id)
		id = current->process->group;
	if (kind == P_PIDFD) {
		process = pidfd_process(id);
		if (!process)
			return -EBADF;
		if (fd_get(id)->flags & O_NONBLOCK && !(options & WNOHANG))
			hurry = WNOHANG;
		kind = P_PID;
		id = process->pid;
	}
	long r = wait_for_child(kind, id, options | hurry, info, &status, usage);

	return !r && hurry ? -EAGAIN : r;
}

SYSCALL(waitid)
{
	struct siginfo_k info = { 0 };
	struct rusage usage;
	long r = wait_by_id((int)a[0], (int)a[1], (int)a[3], &info, &usage);

	if (r > 0 && a[4] && user_put(a[4], usage))
		return -EFAULT;
	if (r <= 0)
		info = (struct siginfo_k){ 0 };
	if (a[2] && user_put(a[2], info)) /* also where it failed */
		return -EFAULT;
	return r < 0 ? r : 0;
}
