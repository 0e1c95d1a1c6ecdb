/* SPDX-License-Identifier: Apache-2.0 */
#include "volume/volume_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_volume.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

struct volume_jail {
	struct volume *volume;
	bool apart; /* in a mount namespace of its own */
};

static int raise_limits(struct volume_jail *jail)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit limit;
	const rlim_t want = VOLUME_NODES + VOLUME_HANDLES + VOLUME_LOCKERS + 64;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	limit.rlim_cur = limit.rlim_max = limit.rlim_max < want ? limit.rlim_max : want;
	jail->volume->descriptors = (uint32_t)limit.rlim_cur;
	return setrlimit(RLIMIT_NOFILE, &limit) || setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
}

static int write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

/* In a user namespace that has this one user and group, which stay who they are. */
static int map_users(const struct volume *volume)
{
	char line[64];
	snprintf(line, sizeof(line), "%u %u 1", volume->own_uid, volume->own_uid);
	int err = write_map("/proc/self/uid_map", line);
	if (!err)
		err = write_map("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%u %u 1", volume->own_gid, volume->own_gid);
	return err ? err : write_map("/proc/self/gid_map", line);
}

/* Root needs no user namespace, in which he could give files to nobody. */
static int leave_namespaces(struct volume_jail *jail)
{
	const int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
	if (jail->volume->any_owner)
		jail->apart = unshare(flags) == 0;
	else
		jail->apart = unshare(flags | CLONE_NEWUSER) == 0;
	return jail->apart && !jail->volume->any_owner ? map_users(jail->volume) : 0;
}

/* A tree of mounts of its own, above which there is nothing; without namespaces the directory as it is. */
static int alone(const struct volume_jail *jail, const char *path, unsigned flags)
{
	int fd = jail->apart ? (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags) : -1;
	return fd >= 0 ? fd : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The working directory is the one that is given: a new namespace takes it along, which it does not do with descriptors. */
static int take_directory(struct volume_jail *jail)
{
	struct volume *volume = jail->volume;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (volume->read_only ? MOUNT_ATTR_RDONLY : 0) };
	volume->root = alone(jail, ".", AT_RECURSIVE);
	if (volume->root < 0)
		return -errno;
	/* A second fence; what it holds back is held back without it as well. */
	syscall(SYS_mount_setattr, volume->root, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
	volume->proc = alone(jail, "/proc/self/fd", 0);
	return volume->proc < 0 ? -errno : 0;
}

/* /proc is where the empty directory is mounted because it is there on every machine. */
static int empty_root(struct volume_jail *jail)
{
	if (!jail->apart)
		return 0;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,nr_inodes=2"))
		return -errno;
	return chdir("/proc") || chroot(".") ? -errno : 0;
}

/* Attributes are asked for by name only, and the names are those of descriptors. */
static int enter_proc(struct volume_jail *jail)
{
	umask(0);
	return fchdir(jail->volume->proc) ? -errno : 0;
}

/* Root keeps what it takes to give files to others and to reach theirs; who is not has nothing to lose but what his namespace gave. */
static int drop_capabilities(struct volume_jail *jail)
{
	static const int kept[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], data[2] = { { 0 }, { 0 } };
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		; /* until the first number that this kernel does not know; only who may do this has any to lose */
	if (syscall(SYS_capget, &header, now))
		return -errno;
	for (size_t i = 0; jail->volume->any_owner && i < sizeof(kept) / sizeof(*kept); i++)
		data[0].permitted |= now[0].permitted & 1u << kept[i];
	data[0].effective = data[0].permitted;
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static int no_new_privileges(struct volume_jail *jail)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static int filter_calls(struct volume_jail *jail)
{
	const struct sock_fprog program = { sizeof(seccomp_volume) / sizeof(*seccomp_volume), (struct sock_filter *)seccomp_volume };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

int volume_jail(struct volume *volume, int directory, const char **step)
{
	static const struct {
		const char *name;
		int (*take)(struct volume_jail *jail);
	} steps[] = { { "limits", raise_limits }, { "namespaces", leave_namespaces }, { "directory", take_directory }, { "root", empty_root },
		{ "descriptors", enter_proc }, { "capabilities", drop_capabilities }, { "no new privileges", no_new_privileges }, { "filter", filter_calls } };
	struct volume_jail jail = { .volume = volume };
	int err = fchdir(directory) ? -errno : 0;
	close(directory);
	*step = "directory";
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++) {
		*step = steps[i].name;
		err = steps[i].take(&jail);
	}
	return err;
}
