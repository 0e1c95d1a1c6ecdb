/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/jail.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int no_new_privileges(const struct jail *jail)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* The bounding set can only be cut by who has CAP_SETPCAP; without it there is nothing to cut for this process. */
static int drop_capabilities(const struct jail *jail)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	if (data[0].effective & (1u << CAP_SETPCAP))
		for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
			if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
				return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	data[0] = data[1] = (struct __user_cap_data_struct){ 0 };
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int close_gap(unsigned from, unsigned to)
{
	return from > to || syscall(SYS_close_range, from, to, 0) == 0 || errno == ENOSYS ? 0 : -errno;
}

/* Whatever else the parent left open is none of the VM's business. */
static int close_descriptors(const struct jail *jail)
{
	unsigned next = 3;

	if (!jail->keep)
		return 0;
	for (unsigned i = 0; i < jail->keep_count; i++) {
		int r;

		if (jail->keep[i] < (int)next)
			continue;
		r = close_gap(next, jail->keep[i] - 1);
		if (r)
			return r;
		next = jail->keep[i] + 1;
	}
	return close_gap(next, ~0u);
}

/* No core of guest memory on the disk, no new processes. */
static int set_limits(const struct jail *jail)
{
	struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static const struct {
	const char *name;
	int (*take)(const struct jail *jail);
} steps[] = {
	{ "descriptors", close_descriptors },
	{ "limits", set_limits },
	{ "capabilities", drop_capabilities },
	{ "no new privileges", no_new_privileges },
};

int jail_enter(const struct jail *jail, const char **step)
{
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int r = steps[i].take(jail);

		*step = steps[i].name;
		if (r)
			return r;
	}
	return 0;
}
