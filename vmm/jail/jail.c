/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/jail.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/jail/self.h"
#include "seccomp_program.h"

static int no_new_privileges(const struct jail *jail)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/*
 * The bounding set only matters to a later execve, which no_new_privs disarms and the filter forbids: emptying it, 41 calls
 * and 20 us, is for the full jail. It can only be cut by who has CAP_SETPCAP; without it there is nothing to cut.
 */
static int empty_bounding_set(const struct jail *jail)
{
	for (int cap = 0; jail->full && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		; /* until the first number that this kernel does not know */
	return 0;
}

/* Has the parent ended before we asked for a signal at its end? Then its end of the socket is closed for both directions. */
static bool is_orphan(const struct jail *jail)
{
	struct pollfd poll_fd = { .fd = jail->parent };

	return jail->parent >= 0 && poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

/*
 * A user of its own: what one VM's monitor may touch is nobody else's, and no other's is its. By system call: the C library would
 * ask its threads, of which there are none. The kernel forgets meanwhile that we die with our parent.
 */
static int become_user(const struct jail *jail)
{
	const uid_t id = jail->uid;
	int at_end = 0;

	if (!jail->full || !id)
		return 0;
	prctl(PR_GET_PDEATHSIG, &at_end, 0, 0, 0);
	if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, id, id, id) || syscall(SYS_setresuid, id, id, id))
		return -errno;
	if (at_end && prctl(PR_SET_PDEATHSIG, at_end, 0, 0, 0))
		return -errno;
	return at_end && is_orphan(jail) ? -ECHILD : 0;
}

static int drop_capabilities(const struct jail *jail)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int close_gap(unsigned from, unsigned to)
{
	/* Linux before 5.9 has no close_range; there, what was inherited stays open. */
	return from > to || syscall(SYS_close_range, from, to, 0) == 0 || errno == ENOSYS ? 0 : -errno;
}

static void sort(int *list, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		for (unsigned j = i; j && list[j - 1] > list[j]; j--) {
			int swap = list[j];

			list[j] = list[j - 1];
			list[j - 1] = swap;
		}
}

int jail_keep_only(int *keep, unsigned count)
{
	int next = 3;

	sort(keep, count);
	for (unsigned i = 0; i < count; i++) {
		int r = keep[i] < next ? 0 : close_gap(next, keep[i] - 1);

		if (r)
			return r;
		next = keep[i] < next ? next : keep[i] + 1;
	}
	return close_gap(next, ~0u);
}

static int limit(int resource, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	now.rlim_cur = now.rlim_max = now.rlim_max < most ? now.rlim_max : most;
	return setrlimit(resource, &now) < 0 ? -errno : 0;
}

/*
 * No core of guest memory on the disk, no flood of descriptors, no memory beyond what the VM was given. Not the size of files: what
 * the program prints may go to one of any size.
 */
static int set_limits(const struct jail *jail)
{
	int err = limit(RLIMIT_CORE, 0);

	if (!err)
		err = limit(RLIMIT_NOFILE, jail->descriptors);
	if (!err && jail->threads)
		err = limit(RLIMIT_NPROC, jail->threads);
	if (!err && jail->address_space)
		err = limit(RLIMIT_AS, jail->address_space);
	return err;
}

static bool has_directory(const struct jail *jail)
{
	return jail->dials && jail->directory >= 0;
}

static int enter_directory(const struct jail *jail)
{
	return has_directory(jail) && fchdir(jail->directory) < 0 ? -errno : 0;
}

/* Where the new root is mounted: nothing at all, or the directory whose sockets the guest may connect to. */
static int mount_root(const struct jail *jail)
{
	if (has_directory(jail))
		return mount(".", "/proc", NULL, MS_BIND, NULL);
	return mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,nr_inodes=2");
}

/*
 * Not the network's: making and ending one takes a lock that all of the machine's users share, and the filter knows no socket(2)
 * anyway. Who started us inside has made one for processes too, which nobody can make for himself.
 */
static int leave_namespaces(const struct jail *jail)
{
	const int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

	if (!jail->full || jail->inside)
		return 0;
	return unshare(flags) < 0 && (errno != EPERM || unshare(flags | CLONE_NEWUSER) < 0) ? -errno : 0;
}

/* /proc is where the empty directory is mounted because it is there on every machine. */
static int empty_root(const struct jail *jail)
{
	if (!jail->full)
		return 0;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount_root(jail) < 0)
		return -errno;
	return chdir("/proc") < 0 || chroot(".") < 0 ? -errno : 0;
}

static const struct filter {
	const struct sock_filter *program;
	size_t steps;
} filters[] = { /* each allows more than the one before */
#define FILTER(program) { program, sizeof(program) / sizeof(*(program)) }
	FILTER(seccomp_libos), FILTER(seccomp_libos_disk), FILTER(seccomp_linux), FILTER(seccomp_dial),
}, shell_filter = FILTER(seccomp_shell), narrow[] = { /* by whether there are disks: what they take away leaves what filters[] has there */
	FILTER(seccomp_narrow), FILTER(seccomp_narrow_disk),
};
#define FILTER_MOST 256

static_assert(sizeof(seccomp_dial) / sizeof(*seccomp_dial) <= FILTER_MOST && sizeof(seccomp_shell) / sizeof(*seccomp_shell) <= FILTER_MOST &&
	      sizeof(seccomp_narrow) / sizeof(*seccomp_narrow) <= FILTER_MOST, "room for a copy of any");

/*
 * With the process' own number where the lists say SELF; for log_only, what it would kill for is noted in the kernel's log. For all threads: the loop's may
 * be there.
 */
static int load(const struct jail *jail, const struct filter *filter)
{
	struct sock_filter copy[FILTER_MOST];
	const struct sock_fprog program = { filter->steps, copy };
	pid_t self = getpid();

	memcpy(copy, filter->program, filter->steps * sizeof(*copy));
	for (size_t i = 0; i < filter->steps; i++) {
		if (BPF_CLASS(copy[i].code) == BPF_JMP && copy[i].k == SECCOMP_SELF)
			copy[i].k = self;
		if (jail->log_only && BPF_CLASS(copy[i].code) == BPF_RET && copy[i].k == SECCOMP_RET_KILL_PROCESS)
			copy[i].k = SECCOMP_RET_LOG;
	}
	long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	return result < 0 ? -errno : result ? -EBUSY : 0; /* else: the number of a thread that cannot have it */
}

/* Of a shell: it still takes a configuration. */
static int filter_ahead(const struct jail *jail)
{
	return jail->ahead ? load(jail, &shell_filter) : 0;
}

static int filter_calls(const struct jail *jail)
{
	return load(jail, jail->ahead ? &narrow[jail->disks] : &filters[jail->dials ? 3 : jail->is_linux ? 2 : jail->disks ? 1 : 0]);
}

static const struct {
	enum jail_stage stage;
	const char *name;
	int (*take)(const struct jail *jail);
	bool optional; /* part of the full jail alone */
} steps[] = {
	{ JAIL_CREATED, "directory", enter_directory, false },
	{ JAIL_CREATED, "namespaces", leave_namespaces, true },
	{ JAIL_CREATED, "root", empty_root, true },
	{ JAIL_CREATED, "bounding set", empty_bounding_set, false },
	{ JAIL_CREATED, "user", become_user, true },
	{ JAIL_CREATED, "capabilities", drop_capabilities, false },
	{ JAIL_CREATED, "no new privileges", no_new_privileges, false },
	{ JAIL_CREATED, "first filter", filter_ahead, false },
	{ JAIL_RUNNING, "limits", set_limits, false },
	{ JAIL_RUNNING, "filter", filter_calls, false },
};

/* Machines differ in how they say no; that nobody is there any more is another matter. */
static bool is_refusal(int err)
{
	return err != -ECHILD;
}

int jail_enter(struct jail *jail, enum jail_stage stage, const char **step)
{
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int err = steps[i].stage == stage ? steps[i].take(jail) : 0;

		*step = steps[i].name;
		if (err && steps[i].optional && !jail->required && is_refusal(err))
			jail->full = false;
		else if (err)
			return err;
	}
	return 0;
}
