/* SPDX-License-Identifier: Apache-2.0 */
/* Who the program is: its names, its process, its switches (prctl). Its user is in credentials.c. */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <asm/prctl.h>
#include <linux/utsname.h> /* struct new_utsname */
#include <linux/prctl.h>
#include <linux/sysinfo.h>

/*
 * The program is process 1 without a parent, exactly as in a container: programs know that. (A parent with the id 1
 * would tell those that watch for their parent's death that it has died.)
 */
#define PROCESS_ID 1
#define TIMER_SLACK 50000 /* ns, Linux' default */

static struct {
	bool ready;
	char hostname[__NEW_UTS_LEN + 1];
	char domain[__NEW_UTS_LEN + 1];
	uint32_t personality;
	int death_signal, subreaper;
	bool undumpable, no_huge_pages, no_new_privs;
	uint64_t timer_slack;
} state = { .timer_slack = TIMER_SLACK };

int process_oom_score_adj;

int process_id(void)
{
	return PROCESS_ID;
}

static void prepare(void)
{
	if (state.ready)
		return;
	state.ready = true;
	memcpy(state.hostname, (const char *)device_page->hostname, sizeof(state.hostname) - 1);
	if (!state.hostname[0])
		memcpy(state.hostname, "lightvm", sizeof("lightvm"));
	memcpy(state.domain, "(none)", sizeof("(none)"));
}

/* ---- names ---- */

SYSCALL(uname)
{
	struct new_utsname names = { .sysname = "Linux", .release = LV_UNAME_RELEASE, .version = LV_UNAME_VERSION,
				     .machine = "x86_64" };

	prepare();
	memcpy(names.nodename, state.hostname, sizeof(state.hostname));
	memcpy(names.domainname, state.domain, sizeof(state.domain));
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
		.uptime = (__kernel_long_t)((clock_monotonic() - device_page->monotonic_base_ns) / NS_PER_S),
		.totalram = page_total_bytes(), .freeram = page_free_bytes(), .procs = (uint16_t)thread_count, .mem_unit = 1,
	};

	return user_write((void *)a[0], &info, sizeof(info));
}

/* ---- process, group, session ---- */

SYSCALL(getpid)
{
	return PROCESS_ID;
}

SYSCALL(getppid)
{
	return 0;
}

static long own_group(int pid)
{
	return pid == 0 || pid == PROCESS_ID ? PROCESS_ID : -ESRCH;
}

SYSCALL(getpgrp)
{
	return PROCESS_ID;
}

SYSCALL(getpgid)
{
	return own_group((int)a[0]);
}

SYSCALL(getsid)
{
	return own_group((int)a[0]);
}

/* The program leads its session: what Linux says then. */
SYSCALL(setpgid)
{
	return own_group((int)a[0]) < 0 ? -ESRCH : -EPERM;
}

SYSCALL(setsid)
{
	return -EPERM;
}

/* ---- prctl ---- */

bool process_no_new_privs(void)
{
	return state.no_new_privs;
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
		state.death_signal = (int)a[1]; /* there is no parent whose death could be told */
		return 0;
	case PR_GET_PDEATHSIG:
		return get_int(a[1], state.death_signal);
	case PR_GET_DUMPABLE:
		return !state.undumpable;
	case PR_SET_DUMPABLE:
		if (a[1] != 0 && a[1] != 1)
			return -EINVAL;
		state.undumpable = !a[1];
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
		state.no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return a[1] || a[2] || a[3] || a[4] ? -EINVAL : state.no_new_privs;
	case PR_SET_CHILD_SUBREAPER:
		state.subreaper = a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return get_int(a[1], state.subreaper);
	case PR_SET_TIMERSLACK: /* wake-ups are never put off: any slack is kept to */
		state.timer_slack = a[1] > 0 ? (uint64_t)a[1] : TIMER_SLACK;
		return 0;
	case PR_GET_TIMERSLACK:
		return (long)state.timer_slack;
	case PR_SET_THP_DISABLE: /* there are no huge pages of the kernel's own choice */
		if (a[2] || a[3] || a[4])
			return -EINVAL;
		state.no_huge_pages = a[1] != 0;
		return 0;
	case PR_GET_THP_DISABLE:
		return a[1] || a[2] || a[3] || a[4] ? -EINVAL : state.no_huge_pages;
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
	uint32_t old = state.personality;

	if ((uint32_t)a[0] != UINT32_MAX)
		state.personality = (uint32_t)a[0];
	return old;
}

SYSCALL(getrandom)
{
	size_t n = MIN((size_t)a[1], 0x1ffffffu);

	if (a[2] & ~7)
		return -EINVAL;
	if (!user_range((uaddr_t)a[0], n))
		return -EFAULT;
	size_t done = random_put((uaddr_t)a[0], n);

	return done || !n ? (long)done : -EFAULT;
}
