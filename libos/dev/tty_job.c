/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a terminal is: sessions, the foreground group, who gets signals of it (POSIX.1-2017, chapter 11). */
#include "libos/dev/dev.h"
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

static struct tty *terminals;

static int session(void)
{
	return current->process->session;
}

static bool leads_session(void)
{
	return current->process->pid == session();
}

static int session_of_group(int group) /* 0: there is no such group */
{
	const struct process *process = processes;

	while (process && process->group != group)
		process = process->next;
	return process ? process->session : 0;
}

static void tell(int group, int signo)
{
	const struct siginfo_k info = { .code = SI_KERNEL };

	(void)signal_send_group(group, signo, &info);
}

void tty_list_add(struct tty *tty)
{
	tty->next = terminals;
	terminals = tty;
}

void tty_list_remove(struct tty *tty)
{
	for (struct tty **at = &terminals; *at; at = &(*at)->next) {
		if (*at != tty)
			continue;
		*at = tty->next;
		return;
	}
}

struct tty *tty_controlling(void)
{
	struct tty *tty = terminals;

	while (tty && tty->session != session())
		tty = tty->next;
	return tty;
}

void tty_signal(struct tty *tty, int signo)
{
	if (tty->group)
		tell(tty->group, signo);
}

int tty_check_job(struct tty *tty, int signo)
{
	if (tty->session != session() || !tty->group || tty->group == current->process->group)
		return 0;
	if (signal_is_deaf(signo))
		return signo == SIGTTIN ? -EIO : 0;
	if (process_group_is_orphaned(current->process->group))
		return -EIO;
	tell(current->process->group, signo);
	return -ERESTARTSYS;
}

long tty_take(struct tty *tty, bool steal)
{
	if (tty->session == session())
		return leads_session() ? 0 : -EPERM;
	if (!leads_session() || tty_controlling())
		return -EPERM;
	if (tty->session && !(steal && capable(CAP_SYS_ADMIN)))
		return -EPERM;
	tty->session = session();
	tty->group = current->process->group;
	return 0;
}

void tty_opened(struct tty *tty, uint32_t flags)
{
	if (!(flags & O_NOCTTY) && !tty->session && (flags & O_ACCMODE) != O_WRONLY)
		(void)tty_take(tty, false);
}

/* Of the leader: nobody of its session has it any more. */
long tty_leave(struct tty *tty)
{
	if (tty->session != session())
		return -ENOTTY;
	if (!leads_session())
		return 0;
	tty_signal(tty, SIGHUP);
	tty_signal(tty, SIGCONT);
	tty->session = tty->group = 0;
	return 0;
}

long tty_set_group(struct tty *tty, int group)
{
	if (tty->session != session())
		return -ENOTTY;
	int err = tty_check_job(tty, SIGTTOU);
	if (err)
		return err;
	if (group <= 0)
		return -EINVAL;
	int owner = session_of_group(group);
	if (owner != tty->session)
		return owner ? -EPERM : -ESRCH;
	tty->group = group;
	return 0;
}

void terminal_session_ended(int session)
{
	for (struct tty *tty = terminals; tty; tty = tty->next) {
		if (tty->session != session)
			continue;
		tty_signal(tty, SIGHUP); /* alone: SIGCONT goes with it where the leader lives on, and to orphans that stand still */
		tty->session = tty->group = 0;
	}
}

void tty_hangup(struct tty *tty)
{
	if (tty->hung)
		return;
	tty->hung = true;
	if (tty->session) {
		tell(tty->session, SIGHUP);
		tell(tty->session, SIGCONT);
	}
	if (tty->group && tty->group != tty->session)
		tty_signal(tty, SIGHUP);
	tty->session = tty->group = 0;
	wake_all(&tty->waiting, EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR);
}
