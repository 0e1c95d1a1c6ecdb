/* SPDX-License-Identifier: Apache-2.0 */
/* Who the program is: its names, its process, its switches (prctl). Its user is in credentials.c. */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <asm/prctl.h>
#include <linux/utsname.h> /* struct new_utsname */
#include <linux/personality.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/sysinfo.h>


static struct {
	bool ready;
	char hostname[__NEW_UTS_LEN + 1];
	char given[sizeof(((struct lv_device_page *)0)->hostname)]; /* by the configuration */
	char domain[__NEW_UTS_LEN + 1];
} state;

static void take_hostname(void)
{
	memcpy(state.given, (const char *)device_page->hostname, sizeof(state.given));
	memcpy(state.hostname, state.given, sizeof(state.hostname) - 1);
	if (!state.hostname[0])
		memcpy(state.hostname, "lightvm", sizeof("lightvm"));
}

/* Another name than before is the name of another machine, whatever the program called that; the same one leaves the program its own. */
static void become_another(void)
{
	if (memcmp(state.given, (const char *)device_page->hostname, sizeof(state.given)))
		take_hostname();
}

static void prepare(void)
{
	static struct generation_hook generation = { .changed = become_another };

	if (state.ready)
		return;
	state.ready = true;
	take_hostname();
	memcpy(state.domain, "(none)", sizeof("(none)"));
	generation_add(&generation);
}

/* ---- names ---- */

SYSCALL(uname)
{
	struct new_utsname names = { .sysname = "Linux", .release = LV_UNAME_RELEASE, .version = LV_UNAME_VERSION,
				     .machine = "x86_64" };

	prepare();
	memcpy(names.nodename, state.hostname, sizeof(state.hostname));
	memcpy(names.domainname, state.domain, sizeof(state.domain));
	if ((current->process->personality & PER_MASK) == PER_LINUX32)
		memcpy(names.machine, "i686", sizeof("i686"));
	if (current->process->personality & UNAME26) /* as Linux counts on from 2.6.40 for programs that know no other */
		memcpy(names.release, "2.6.61-lightvm", sizeof("2.6.61-lightvm"));
	return user_write((void *)a[0], &names, sizeof(names));
}

const char *process_hostname(void)
{
	prepare();
	return state.hostname;
}

static long set_name(char *name, const void *from, long n)
{
	prepare();
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (n < 0 || n > __NEW_UTS_LEN)
		return -EINVAL;
	char new[__NEW_UTS_LEN + 1] = { 0 };

	if (user_read(new, from, (size_t)n))
		return -EFAULT;
	memcpy(name, new, sizeof(new));
	return 0;
}

SYSCALL(sethostname)
{
	return set_name(state.hostname, (const void *)a[0], a[1]);
}

SYSCALL(setdomainname)
{
	return set_name(state.domain, (const void *)a[0], a[1]);
}

SYSCALL(sysinfo)
{
	struct sysinfo info = {
		.uptime = (__kernel_long_t)(clock_uptime() / NS_PER_S),
		.totalram = page_total_bytes(), .freeram = page_free_bytes(), .procs = (uint16_t)thread_count, .mem_unit = 1,
	};

	return user_write((void *)a[0], &info, sizeof(info));
}

/* ---- process, group, session ---- */

SYSCALL(getpid)
{
	return process_id();
}

SYSCALL(getppid)
{
	return current->process->parent ? current->process->parent->pid : 0;
}

/* 0: the running one. */
static struct process *process_of(int pid)
{
	return pid ? process_find(pid) : current->process;
}

SYSCALL(getpgrp)
{
	return current->process->group;
}

SYSCALL(getpgid)
{
	const struct process *process = process_of((int)a[0]);

	return process ? process->group : -ESRCH;
}

SYSCALL(getsid)
{
	const struct process *process = process_of((int)a[0]);

	return process ? process->session : -ESRCH;
}

static bool group_in_session(int group, int session)
{
	for (const struct process *process = processes; process; process = process->next)
		if (process->group == group && process->session == session)
			return true;
	return false;
}

SYSCALL(setpgid)
{
	struct process *own = current->process, *process = process_of((int)a[0]);
	int group = (int)a[1];

	if (group < 0)
		return -EINVAL;
	if (!process || (process != own && process->parent != own))
		return -ESRCH;
	if (process != own && process->session != own->session)
		return -EPERM;
	if (process != own && process->executed)
		return -EACCES;
	if (process->session == process->pid)
		return -EPERM;
	if (!group)
		group = process->pid;
	if (group != process->pid && !group_in_session(group, own->session))
		return -EPERM;
	process->group = group;
	return 0;
}

SYSCALL(setsid)
{
	struct process *own = current->process;

	if (own->group == own->pid || process_group_exists(own->pid))
		return -EPERM;
	own->group = own->session = own->pid;
	return own->pid;
}

/* ---- prctl ---- */

bool process_no_new_privs(void)
{
	return current->process->no_new_privs;
}

static long get_int(long user, int value)
{
	return user_write((void *)user, &value, sizeof(value));
}

static long set_thread_name(const char *user)
{
	char name[sizeof(current->name)] = { 0 };

	if (user_string(name, user, sizeof(name)) == -EFAULT)
		return -EFAULT;
	name[sizeof(name) - 1] = 0; /* a longer one is cut */
	memcpy(current->name, name, sizeof(name));
	return 0;
}

SYSCALL(prctl)
{
	switch (a[0]) {
	case PR_SET_NAME:
		return set_thread_name((const char *)a[1]);
	case PR_GET_NAME:
		return user_write((void *)a[1], current->name, sizeof(current->name));
	case PR_SET_PDEATHSIG:
		if (a[1] < 0 || a[1] > SIG_MAX)
			return -EINVAL;
		current->process->death_signal = (int)a[1];
		return 0;
	case PR_GET_PDEATHSIG:
		return get_int(a[1], current->process->death_signal);
	case PR_GET_DUMPABLE:
		return !current->process->undumpable;
	case PR_SET_DUMPABLE:
		if (a[1] != 0 && a[1] != 1)
			return -EINVAL;
		current->process->undumpable = !a[1];
		return 0;
	case PR_GET_KEEPCAPS:
	case PR_SET_KEEPCAPS:
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
	case PR_CAP_AMBIENT:
	case PR_GET_SECUREBITS:
	case PR_SET_SECUREBITS:
		return capability_prctl(a);
	case PR_SET_NO_NEW_PRIVS:
		if (a[1] != 1 || a[2] || a[3] || a[4])
			return -EINVAL;
		current->process->no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return a[1] || a[2] || a[3] || a[4] ? -EINVAL : current->process->no_new_privs;
	case PR_SET_CHILD_SUBREAPER:
		current->process->subreaper = a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return get_int(a[1], current->process->subreaper);
	case PR_SET_TIMERSLACK: /* wake-ups are never put off: any slack is kept to */
		current->process->timer_slack = a[1] > 0 ? (uint64_t)a[1] : DEFAULT_TIMER_SLACK;
		return 0;
	case PR_GET_TIMERSLACK:
		return (long)current->process->timer_slack;
	case PR_SET_THP_DISABLE: /* there are no huge pages of the kernel's own choice */
		if (a[2] || a[3] || a[4])
			return -EINVAL;
		current->process->no_huge_pages = a[1] != 0;
		return 0;
	case PR_GET_THP_DISABLE:
		return a[1] || a[2] || a[3] || a[4] ? -EINVAL : current->process->no_huge_pages;
	case PR_GET_SECCOMP:
		return 0;
	case PR_GET_TID_ADDRESS:
		return user_write((void *)a[1], &current->clear_child_tid, sizeof(current->clear_child_tid));
	case PR_SET_MM:
		return -EPERM;
	}
	return -EINVAL;
}

/* ---- segment bases ---- */

static bool lower_half(long addr)
{
	return (uint64_t)addr < 1ull << 47;
}

SYSCALL(arch_prctl)
{
	uint64_t base;

	switch (a[0]) {
	case ARCH_SET_FS:
		if (!lower_half(a[1]))
			return -EPERM;
		__asm__ volatile("wrfsbase %0" : : "r"(a[1]));
		return 0;
	case ARCH_SET_GS:
		if (!lower_half(a[1]))
			return -EPERM;
		__asm__ volatile("wrgsbase %0" : : "r"(a[1]));
		return 0;
	case ARCH_GET_FS:
		__asm__ volatile("rdfsbase %0" : "=r"(base));
		return user_write((void *)a[1], &base, sizeof(base));
	case ARCH_GET_GS:
		__asm__ volatile("rdgsbase %0" : "=r"(base));
		return user_write((void *)a[1], &base, sizeof(base));
	}
	return -EINVAL; /* shadow stacks among others */
}

SYSCALL(personality)
{
	uint32_t old = current->process->personality;

	if ((uint32_t)a[0] != UINT32_MAX)
		current->process->personality = (uint32_t)a[0];
	return old;
}

SYSCALL(getrandom)
{
	size_t n = MIN((size_t)a[1], 0x1ffffffu);

	if (a[2] & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) || (a[2] & GRND_RANDOM && a[2] & GRND_INSECURE))
		return -EINVAL;
	if (!user_range((uaddr_t)a[0], n))
		return -EFAULT;
	size_t done = random_put((uaddr_t)a[0], n);

	return done || !n ? (long)done : -EFAULT;
}
