/* SPDX-License-Identifier: Apache-2.0 */
/* Who the program is: its ids, names, limits, and what it may use of them. */
#include "libos/proc/proc.h"

#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sysinfo.h>

/*
 * The program is process 1 without a parent, exactly as in a container: programs know that. (A parent with the id 1
 * would tell those that watch for their parent's death that it has died.)
 */
#define PROCESS_ID 1

static struct {
	bool ready;
	struct credentials ids;
	char hostname[__NEW_UTS_LEN + 1];
	char domain[__NEW_UTS_LEN + 1];
	uint32_t personality;
	int death_signal, keep_caps, no_new_privs, subreaper;
	bool undumpable;
} state;

int process_id(void)
{
	return PROCESS_ID;
}

static void prepare(void)
{
	uint32_t uid = device_page->uid, gid = device_page->gid;

	if (state.ready)
		return;
	state.ready = true;
	state.ids = (struct credentials){ uid, uid, uid, uid, gid, gid, gid, gid };
	memcpy(state.hostname, (const char *)device_page->hostname, sizeof(state.hostname) - 1);
	if (!state.hostname[0])
		memcpy(state.hostname, "lightvm", sizeof("lightvm"));
	memcpy(state.domain, "(none)", sizeof("(none)"));
}

const struct credentials *credentials(void)
{
	prepare();
	return &state.ids;
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
	if (state.ids.euid)
		return -EPERM;
	if (n < 0 || n > __NEW_UTS_LEN)
		return -EINVAL;
	if (!user_ok(from, (size_t)n, false))
		return -EFAULT;
	memset(name, 0, __NEW_UTS_LEN + 1);
	memcpy(name, from, (size_t)n);
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

/* ---- ids ---- */

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

SYSCALL(getuid)
{
	return credentials()->uid;
}

SYSCALL(geteuid)
{
	return credentials()->euid;
}

SYSCALL(getgid)
{
	return credentials()->gid;
}

SYSCALL(getegid)
{
	return credentials()->egid;
}

SYSCALL(getresuid)
{
	const struct credentials *ids = credentials();

	return user_write((void *)a[0], &ids->uid, 4) || user_write((void *)a[1], &ids->euid, 4) ||
		user_write((void *)a[2], &ids->suid, 4) ? -EFAULT : 0;
}

SYSCALL(getresgid)
{
	const struct credentials *ids = credentials();

	return user_write((void *)a[0], &ids->gid, 4) || user_write((void *)a[1], &ids->egid, 4) ||
		user_write((void *)a[2], &ids->sgid, 4) ? -EFAULT : 0;
}

/* May the program take this id (-1: leave it)? The superuser any, others one that they hold. */
static bool may_take(long id, uint32_t real, uint32_t effective, uint32_t saved)
{
	uint32_t wanted = (uint32_t)id;

	return wanted == UINT32_MAX || !state.ids.euid || wanted == real || wanted == effective || wanted == saved;
}

static void take(uint32_t *id, long wanted)
{
	if ((uint32_t)wanted != UINT32_MAX)
		*id = (uint32_t)wanted;
}

static long set_uids(long real, long effective, long saved)
{
	struct credentials *ids = &state.ids;

	prepare();
	if (!may_take(real, ids->uid, ids->euid, ids->suid) || !may_take(effective, ids->uid, ids->euid, ids->suid) ||
	    !may_take(saved, ids->uid, ids->euid, ids->suid))
		return -EPERM;
	take(&ids->uid, real);
	take(&ids->euid, effective);
	take(&ids->suid, saved);
	ids->fsuid = ids->euid;
	return 0;
}

static long set_gids(long real, long effective, long saved)
{
	struct credentials *ids = &state.ids;

	prepare();
	if (!may_take(real, ids->gid, ids->egid, ids->sgid) || !may_take(effective, ids->gid, ids->egid, ids->sgid) ||
	    !may_take(saved, ids->gid, ids->egid, ids->sgid))
		return -EPERM;
	take(&ids->gid, real);
	take(&ids->egid, effective);
	take(&ids->sgid, saved);
	ids->fsgid = ids->egid;
	return 0;
}

SYSCALL(setresuid)
{
	return set_uids(a[0], a[1], a[2]);
}

SYSCALL(setresgid)
{
	return set_gids(a[0], a[1], a[2]);
}

SYSCALL(setuid)
{
	return credentials()->euid ? set_uids(-1, a[0], -1) : set_uids(a[0], a[0], a[0]);
}

SYSCALL(setgid)
{
	return credentials()->euid ? set_gids(-1, a[0], -1) : set_gids(a[0], a[0], a[0]);
}

SYSCALL(setreuid)
{
	bool follows = (uint32_t)a[0] != UINT32_MAX || ((uint32_t)a[1] != UINT32_MAX && (uint32_t)a[1] != credentials()->uid);

	return set_uids(a[0], a[1], !follows ? -1 : (uint32_t)a[1] != UINT32_MAX ? a[1] : (long)credentials()->euid);
}

SYSCALL(setregid)
{
	bool follows = (uint32_t)a[0] != UINT32_MAX || ((uint32_t)a[1] != UINT32_MAX && (uint32_t)a[1] != credentials()->gid);

	return set_gids(a[0], a[1], !follows ? -1 : (uint32_t)a[1] != UINT32_MAX ? a[1] : (long)credentials()->egid);
}

SYSCALL(setfsuid)
{
	uint32_t old = credentials()->fsuid;

	if (may_take(a[0], state.ids.uid, state.ids.euid, state.ids.suid))
		take(&state.ids.fsuid, a[0]);
	return old;
}

SYSCALL(setfsgid)
{
	uint32_t old = credentials()->fsgid;

	if (may_take(a[0], state.ids.gid, state.ids.egid, state.ids.sgid))
		take(&state.ids.fsgid, a[0]);
	return old;
}

SYSCALL(getgroups)
{
	return 0;
}

SYSCALL(setgroups)
{
	if (credentials()->euid)
		return -EPERM;
	return (uint64_t)a[0] > 65536 ? -EINVAL : 0;
}

/* ---- capabilities: the superuser has all, others none; nothing in here asks for them ---- */

static uint64_t capability_set(void)
{
	return credentials()->euid ? 0 : (1ull << (CAP_LAST_CAP + 1)) - 1;
}

/* Checks the header; *sets is how many data records follow it. */
static long read_capability_header(const void *user, struct __user_cap_header_struct *header, int *sets)
{
	if (user_read(header, user, sizeof(*header)))
		return -EFAULT;
	switch (header->version) {
	case _LINUX_CAPABILITY_VERSION_1:
		*sets = _LINUX_CAPABILITY_U32S_1;
		return 0;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		*sets = _LINUX_CAPABILITY_U32S_3;
		return 0;
	}
	header->version = _LINUX_CAPABILITY_VERSION_3;
	return user_write((void *)user, header, sizeof(*header)) ? -EFAULT : -EINVAL;
}

SYSCALL(capget)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2] = { 0 };
	uint64_t set = capability_set();
	int sets;
	long result = read_capability_header((const void *)a[0], &header, &sets);

	if (result) /* no data: the program asked for the version */
		return result == -EINVAL && !a[1] ? 0 : result;
	data[0].effective = data[0].permitted = (uint32_t)set;
	data[1].effective = data[1].permitted = (uint32_t)(set >> 32);
	return a[1] ? user_write((void *)a[1], data, (size_t)sets * sizeof(data[0])) : 0;
}

SYSCALL(capset)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2] = { 0 };
	int sets;
	long result = read_capability_header((const void *)a[0], &header, &sets);

	if (result)
		return result;
	if (user_read(data, (const void *)a[1], (size_t)sets * sizeof(data[0])))
		return -EFAULT;
	uint64_t wanted = data[0].permitted | data[0].effective | (uint64_t)(data[1].permitted | data[1].effective) << 32;

	return wanted & ~capability_set() ? -EPERM : 0;
}

/* ---- prctl ---- */

static long get_int(long user, int value)
{
	return user_write((void *)user, &value, sizeof(value));
}

static long set_thread_name(const char *user)
{
	int64_t n = user_strlen(user, sizeof(current->name));

	if (n == -EFAULT)
		return n;
	memset(current->name, 0, sizeof(current->name));
	memcpy(current->name, user, n < 0 ? sizeof(current->name) - 1 : (size_t)n);
	return 0;
}

static long set_flag(int *flag, long value)
{
	if (value != 0 && value != 1)
		return -EINVAL;
	*flag = (int)value;
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
		state.death_signal = (int)a[1];
		return a[1] < 0 || a[1] > SIG_MAX ? -EINVAL : 0;
	case PR_GET_PDEATHSIG:
		return get_int(a[1], state.death_signal);
	case PR_GET_DUMPABLE:
		return !state.undumpable;
	case PR_SET_DUMPABLE:
		state.undumpable = !a[1];
		return a[1] != 0 && a[1] != 1 ? -EINVAL : 0;
	case PR_GET_KEEPCAPS:
		return state.keep_caps;
	case PR_SET_KEEPCAPS:
		return set_flag(&state.keep_caps, a[1]);
	case PR_SET_NO_NEW_PRIVS:
		state.no_new_privs |= a[1] == 1;
		return a[1] == 1 && !a[2] && !a[3] && !a[4] ? 0 : -EINVAL;
	case PR_GET_NO_NEW_PRIVS:
		return state.no_new_privs;
	case PR_SET_CHILD_SUBREAPER:
		state.subreaper = a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return get_int(a[1], state.subreaper);
	case PR_CAPBSET_READ:
		return a[1] < 0 || a[1] > CAP_LAST_CAP ? -EINVAL : 1;
	case PR_CAPBSET_DROP:
		return credentials()->euid ? -EPERM : a[1] < 0 || a[1] > CAP_LAST_CAP ? -EINVAL : 0;
	case PR_SET_TIMERSLACK:
	case PR_SET_THP_DISABLE:
		return 0;
	case PR_GET_TIMERSLACK:
		return 50000;
	case PR_GET_THP_DISABLE:
	case PR_GET_SECCOMP:
	case PR_GET_SECUREBITS:
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
	if (!user_ok((void *)a[0], n, true))
		return -EFAULT;
	random_bytes((void *)a[0], n);
	return (long)n;
}
