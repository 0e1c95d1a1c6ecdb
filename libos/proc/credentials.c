/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user, the groups and the capabilities of the process (credentials(7), capabilities(7)). On Linux each thread has
 * its own; C libraries change those of all threads alike, so here they are the process'.
 */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/prctl.h>
#include <linux/securebits.h>

#define ALL_CAPABILITIES ((1ull << (CAP_LAST_CAP + 1)) - 1)
#define BIT(capability) (1ull << (capability))
#define NGROUPS_MOST 65536
#define NOBODY_ASKED UINT32_MAX /* -1: leave this id as it is */
/* What a user id of files takes along when it changes from or to 0. */
#define FILE_CAPABILITIES                                                                                                                   \
	(BIT(CAP_CHOWN) | BIT(CAP_MKNOD) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | \
	 BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MAC_OVERRIDE))

void credentials_start(struct process *process)
{
	uint32_t uid = device_page->uid, gid = device_page->gid;
	uint64_t all = uid ? 0 : ALL_CAPABILITIES;

	process->credentials = (struct credentials){ uid, uid, uid, uid, gid, gid, gid, gid, .permitted = all, .effective = all, .bounding = ALL_CAPABILITIES };
}

void credentials_root(struct process *process)
{
	process->credentials = (struct credentials){ .permitted = ALL_CAPABILITIES, .effective = ALL_CAPABILITIES, .bounding = ALL_CAPABILITIES };
}

static struct credentials *own(void)
{
	return &current->process->credentials;
}

/* Files have no capabilities. */
void credentials_execute(uint32_t euid, uint32_t egid)
{
	struct process *process = current->process;
	struct credentials *c = own();

	process->keep_capabilities = false;
	if (c->euid != euid || c->egid != egid)
		c->ambient = 0;
	c->suid = c->fsuid = c->euid = euid;
	c->sgid = c->fsgid = c->egid = egid;
	process->undumpable = c->uid != euid || c->gid != egid;
	if (process->undumpable)
		process->death_signal = 0;
	c->permitted = !c->uid || !c->euid ? c->inheritable | c->bounding : c->ambient;
	c->effective = !c->euid ? c->permitted : c->ambient;
}

struct credentials credentials_of_libos(void)
{
	struct credentials had = *own();

	credentials_root(current->process);
	return had;
}

void credentials_put_back(const struct credentials *had)
{
	*own() = *had;
}

const struct credentials *credentials(void)
{
	return own();
}

static bool has_ids(const struct credentials *c, uint32_t uid, uint32_t gid)
{
	return uid == c->uid && uid == c->euid && uid == c->suid && gid == c->gid && gid == c->egid && gid == c->sgid;
}

bool has_user_of(const struct process *process)
{
	return has_ids(&process->credentials, own()->uid, own()->gid);
}

static bool lets_look(const struct process *process, uint32_t uid, uint32_t gid, uint64_t capabilities)
{
	if (process == current->process || capable(CAP_SYS_PTRACE))
		return true;
	return has_ids(&process->credentials, uid, gid) && !process->undumpable && !(process->credentials.permitted & ~capabilities);
}

bool process_lets_look(const struct process *process)
{
	return lets_look(process, own()->uid, own()->gid, own()->permitted);
}

bool process_lets_read(const struct process *process)
{
	return lets_look(process, own()->fsuid, own()->fsgid, own()->effective);
}

bool capable(int capability)
{
	return own()->effective & BIT(capability);
}

bool in_group(uint32_t gid)
{
	const struct credentials *c = own();
	uint32_t i = 0;

	while (i < c->group_count && c->groups[i] != gid)
		i++;
	return gid == c->fsgid || i < c->group_count;
}

SYSCALL(getuid)
{
	return own()->uid;
}

SYSCALL(geteuid)
{
	return own()->euid;
}

SYSCALL(getgid)
{
	return own()->gid;
}

SYSCALL(getegid)
{
	return own()->egid;
}

SYSCALL(getresuid)
{
	const struct credentials *c = own();

	return user_write((void *)a[0], &c->uid, 4) || user_write((void *)a[1], &c->euid, 4) || user_write((void *)a[2], &c->suid, 4) ? -EFAULT : 0;
}

SYSCALL(getresgid)
{
	const struct credentials *c = own();

	return user_write((void *)a[0], &c->gid, 4) || user_write((void *)a[1], &c->egid, 4) || user_write((void *)a[2], &c->sgid, 4) ? -EFAULT : 0;
}

/* ---- users ---- */

/* What becomes of the capabilities when user ids change from or to 0. */
static void adapt_capabilities(const struct credentials *old, struct credentials *new)
{
	bool was_root = !old->uid || !old->euid || !old->suid, is_root = !new->uid || !new->euid || !new->suid;

	if (was_root && !is_root) {
		if (!current->process->keep_capabilities)
			new->permitted = new->effective = 0;
		new->ambient = 0;
	}
	if (!old->euid && new->euid)
		new->effective = 0;
	if (old->euid && !new->euid)
		new->effective = new->permitted;
}

static bool may_be(uint32_t wanted, uint32_t first, uint32_t second, uint32_t third)
{
	return wanted == NOBODY_ASKED || wanted == first || wanted == second || wanted == third;
}

static void change(uint32_t *id, uint32_t wanted)
{
	if (wanted != NOBODY_ASKED)
		*id = wanted;
}

static long set_uids(uint32_t real, uint32_t effective, uint32_t saved)
{
	struct credentials *c = own(), old = *c;

	change(&c->uid, real);
	change(&c->euid, effective);
	change(&c->suid, saved);
	c->fsuid = c->euid;
	adapt_capabilities(&old, c);
	return 0;
}

SYSCALL(setresuid)
{
	const struct credentials *c = own();
	uint32_t real = (uint32_t)a[0], effective = (uint32_t)a[1], saved = (uint32_t)a[2];

	if (!capable(CAP_SETUID) && (!may_be(real, c->uid, c->euid, c->suid) || !may_be(effective, c->uid, c->euid, c->suid) ||
				     !may_be(saved, c->uid, c->euid, c->suid)))
		return -EPERM;
	return set_uids(real, effective, saved);
}

SYSCALL(setuid)
{
	const struct credentials *c = own();
	uint32_t uid = (uint32_t)a[0];

	if (uid == NOBODY_ASKED)
		return -EINVAL;
	if (capable(CAP_SETUID))
		return set_uids(uid, uid, uid);
	return uid == c->uid || uid == c->suid ? set_uids(NOBODY_ASKED, uid, NOBODY_ASKED) : -EPERM;
}

SYSCALL(setreuid)
{
	const struct credentials *c = own();
	uint32_t real = (uint32_t)a[0], effective = (uint32_t)a[1];

	if (!capable(CAP_SETUID) && (!may_be(real, c->uid, c->euid, c->euid) || !may_be(effective, c->uid, c->euid, c->suid)))
		return -EPERM;
	bool follows = real != NOBODY_ASKED || (effective != NOBODY_ASKED && effective != c->uid);

	return set_uids(real, effective, !follows ? NOBODY_ASKED : effective != NOBODY_ASKED ? effective : c->euid);
}

SYSCALL(setfsuid)
{
	struct credentials *c = own();
	uint32_t old = c->fsuid, new = (uint32_t)a[0];

	if (new == NOBODY_ASKED || (!capable(CAP_SETUID) && new != old && !may_be(new, c->uid, c->euid, c->suid)))
		return old;
	c->fsuid = new;
	if (!old && new)
		c->effective &= ~FILE_CAPABILITIES;
	if (old && !new)
		c->effective |= c->permitted & FILE_CAPABILITIES;
	return old;
}

/* ---- groups ---- */

static long set_gids(uint32_t real, uint32_t effective, uint32_t saved)
{
	struct credentials *c = own();

	change(&c->gid, real);
	change(&c->egid, effective);
	change(&c->sgid, saved);
	c->fsgid = c->egid;
	return 0;
}

SYSCALL(setresgid)
{
	const struct credentials *c = own();
	uint32_t real = (uint32_t)a[0], effective = (uint32_t)a[1], saved = (uint32_t)a[2];

	if (!capable(CAP_SETGID) && (!may_be(real, c->gid, c->egid, c->sgid) || !may_be(effective, c->gid, c->egid, c->sgid) ||
				     !may_be(saved, c->gid, c->egid, c->sgid)))
		return -EPERM;
	return set_gids(real, effective, saved);
}

SYSCALL(setgid)
{
	const struct credentials *c = own();
	uint32_t gid = (uint32_t)a[0];

	if (gid == NOBODY_ASKED)
		return -EINVAL;
	if (capable(CAP_SETGID))
		return set_gids(gid, gid, gid);
	return gid == c->gid || gid == c->sgid ? set_gids(NOBODY_ASKED, gid, NOBODY_ASKED) : -EPERM;
}

SYSCALL(setregid)
{
	const struct credentials *c = own();
	uint32_t real = (uint32_t)a[0], effective = (uint32_t)a[1];

	if (!capable(CAP_SETGID) && (!may_be(real, c->gid, c->egid, c->egid) || !may_be(effective, c->gid, c->egid, c->sgid)))
		return -EPERM;
	bool follows = real != NOBODY_ASKED || (effective != NOBODY_ASKED && effective != c->gid);

	return set_gids(real, effective, !follows ? NOBODY_ASKED : effective != NOBODY_ASKED ? effective : c->egid);
}

SYSCALL(setfsgid)
{
	struct credentials *c = own();
	uint32_t old = c->fsgid, new = (uint32_t)a[0];

	if (new != NOBODY_ASKED && (capable(CAP_SETGID) || may_be(new, c->gid, c->egid, c->sgid)))
		c->fsgid = new;
	return old;
}

SYSCALL(getgroups)
{
	const struct credentials *c = own();
	int room = (int)a[0];

	if (room < 0 || (room && (uint32_t)room < c->group_count))
		return -EINVAL;
	if (room && c->group_count && user_write((void *)a[1], c->groups, c->group_count * sizeof(*c->groups)))
		return -EFAULT;
	return c->group_count;
}

static void sort(uint32_t *list, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint32_t value = list[i], at = i;

		for (; at && list[at - 1] > value; at--)
			list[at] = list[at - 1];
		list[at] = value;
	}
}

SYSCALL(setgroups)
{
	struct credentials *c = own();
	uint32_t n = (uint32_t)a[0], *list = NULL;

	if (!capable(CAP_SETGID))
		return -EPERM;
	if (n > NGROUPS_MOST)
		return -EINVAL;
	if (n && !(list = kmalloc(n * sizeof(*list))))
		return -ENOMEM;
	if (n && user_read(list, (const void *)a[1], n * sizeof(*list))) {
		kfree(list);
		return -EFAULT;
	}
	sort(list, n);
	kfree(c->groups);
	c->groups = list;
	c->group_count = n;
	return 0;
}

/* ---- capabilities ---- */

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
	const struct credentials *c;
	int sets;
	long result = read_capability_header((const void *)a[0], &header, &sets);

	if (result) /* no data: the program asked for the version */
		return result == -EINVAL && !a[1] ? 0 : result;
	if (header.pid < 0)
		return -EINVAL;
	const struct thread *thread = header.pid ? thread_find(header.pid) : current;

	if (!thread)
		return -ESRCH;
	c = &thread->process->credentials;
	for (int i = 0; i < sets; i++)
		data[i] = (struct __user_cap_data_struct){ .effective = (uint32_t)(c->effective >> i * 32), .permitted = (uint32_t)(c->permitted >> i * 32),
			.inheritable = (uint32_t)(c->inheritable >> i * 32) };
	return a[1] ? user_write((void *)a[1], data, (size_t)sets * sizeof(data[0])) : 0;
}

SYSCALL(capset)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2] = { 0 };
	struct credentials *c = own();
	int sets;
	long result = read_capability_header((const void *)a[0], &header, &sets);

	if (result)
		return result;
	if (header.pid && !thread_find(header.pid))
		return -EPERM;
	if (user_read(data, (const void *)a[1], (size_t)sets * sizeof(data[0])))
		return -EFAULT;
	uint64_t effective = (data[0].effective | (uint64_t)data[1].effective << 32) & ALL_CAPABILITIES;
	uint64_t permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & ALL_CAPABILITIES;
	uint64_t inheritable = (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & ALL_CAPABILITIES;

	if ((permitted & ~c->permitted) || (effective & ~permitted) || (inheritable & ~(c->inheritable | c->bounding)) ||
	    (!capable(CAP_SETPCAP) && (inheritable & ~(c->inheritable | c->permitted))))
		return -EPERM;
	c->permitted = permitted;
	c->effective = effective;
	c->inheritable = inheritable;
	c->ambient &= permitted & inheritable;
	return 0;
}

static bool known(long capability)
{
	return capability >= 0 && capability <= CAP_LAST_CAP;
}

static long drop_from_bounding(long capability)
{
	if (!capable(CAP_SETPCAP))
		return -EPERM;
	if (!known(capability))
		return -EINVAL;
	own()->bounding &= ~BIT(capability);
	return 0;
}

static long ambient(const long *a)
{
	struct credentials *c = own();

	if (a[1] == PR_CAP_AMBIENT_CLEAR_ALL) {
		if (a[2] || a[3] || a[4])
			return -EINVAL;
		c->ambient = 0;
		return 0;
	}
	if (!known(a[2]) || a[3] || a[4])
		return -EINVAL;
	switch (a[1]) {
	case PR_CAP_AMBIENT_IS_SET:
		return !!(c->ambient & BIT(a[2]));
	case PR_CAP_AMBIENT_RAISE:
		if (!(c->permitted & c->inheritable & BIT(a[2])))
			return -EPERM;
		c->ambient |= BIT(a[2]);
		return 0;
	case PR_CAP_AMBIENT_LOWER:
		c->ambient &= ~BIT(a[2]);
		return 0;
	}
	return -EINVAL;
}

static long set_secure_bits(long bits)
{
	if (!capable(CAP_SETPCAP))
		return -EPERM;
	if (bits & ~(long)SECBIT_KEEP_CAPS) /* what root may not do then is not built: nothing is pretended */
		return -EINVAL;
	current->process->keep_capabilities = bits & SECBIT_KEEP_CAPS;
	return 0;
}

long capability_prctl(const long *a)
{
	switch (a[0]) {
	case PR_GET_KEEPCAPS:
		return current->process->keep_capabilities;
	case PR_SET_KEEPCAPS:
		if (a[1] != 0 && a[1] != 1)
			return -EINVAL;
		current->process->keep_capabilities = a[1];
		return 0;
	case PR_CAPBSET_READ:
		return known(a[1]) ? !!(own()->bounding & BIT(a[1])) : -EINVAL;
	case PR_CAPBSET_DROP:
		return drop_from_bounding(a[1]);
	case PR_CAP_AMBIENT:
		return ambient(a);
	case PR_GET_SECUREBITS:
		return current->process->keep_capabilities ? SECBIT_KEEP_CAPS : 0;
	case PR_SET_SECUREBITS:
		return set_secure_bits(a[1]);
	}
	return -EINVAL;
}
