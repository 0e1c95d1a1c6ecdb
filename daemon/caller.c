/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define TEXT_MAX 16384

/* "0::/path" is the line of version 2. */
static int read_group(const char *process, char group[CALLER_GROUP])
{
	char path[48], *text = NULL;
	size_t size;
	snprintf(path, sizeof(path), "/proc/%s/cgroup", process);
	int err = file_read(AT_FDCWD, path, TEXT_MAX, &text, &size);
	if (err)
		return err == -ENOENT ? -ESRCH : err;
	char *at = strncmp(text, "0::", 3) ? strstr(text, "\n0::") : text;
	err = at ? 0 : -ENOENT;
	if (at) {
		at = strchr(at, '/');
		size_t n = at ? strcspn(at, "\n") : 0;
		err = !n ? -ENOENT : n >= CALLER_GROUP ? -ENAMETOOLONG : 0;
		if (!err)
			snprintf(group, CALLER_GROUP, "%.*s", (int)n, at);
	}
	free(text);
	return err;
}

/* After it was looked at: it is the same user's. */
static int check(const struct caller *caller)
{
	char path[32];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d", caller->pid);
	return !caller->pid || stat(path, &st) || st.st_uid != caller->uid ? -ESRCH : 0;
}

int caller_group(const struct caller *caller, char group[CALLER_GROUP])
{
	char process[16];
	snprintf(process, sizeof(process), "%d", caller->pid);
	int err = caller->pid ? read_group(process, group) : -ESRCH;
	return err ? err : check(caller);
}

int caller_group_open(const char *group)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;
	char path[CALLER_GROUP + 32];
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
		snprintf(path, sizeof(path), "%s%s", roots[i], group);
		int fd = statfs(roots[i], &fs) || fs.f_type != CGROUP2_SUPER_MAGIC ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void take_limits(const struct caller *caller)
{
	struct rlimit limit[RLIM_NLIMITS];
	int count = 0;
	while (count < RLIM_NLIMITS && !prlimit(caller->pid, (__rlimit_resource_t)count, NULL, &limit[count]))
		count++;
	for (int i = 0; i < count && !check(caller); i++)
		(void)!setrlimit((__rlimit_resource_t)i, &limit[i]);
}

/* process: "0": ourselves. */
static void join_group(const char *group, const char *process)
{
	int dir = caller_group_open(group), fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, process, strlen(process)) < 0)
		log_debug("control group %s: %s", group, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
}

void caller_take_place(const struct caller *caller)
{
	char group[CALLER_GROUP], ours[CALLER_GROUP];
	if (check(caller))
		return;
	take_limits(caller);
	if (!caller_group(caller, group) && !read_group("self", ours) && strcmp(group, ours))
		join_group(group, "0");
}

static rlim_t lower(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

/* Its number comes from a record that a monitor has written: one that lies can name no other kind of process. */
static bool is_monitor(const char *process)
{
	char path[48], *name = NULL;
	size_t size;
	snprintf(path, sizeof(path), "/proc/%s/comm", process);
	bool is = !file_read(AT_FDCWD, path, 64, &name, &size) && !strcmp(name, "lightvm-vmm\n");
	free(name);
	return is;
}

void caller_adopt(pid_t monitor)
{
	char theirs[CALLER_GROUP], ours[CALLER_GROUP], process[16];
	struct rlimit limit, now;
	snprintf(process, sizeof(process), "%d", monitor);
	if (monitor <= 0 || !is_monitor(process))
		return;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		if (getrlimit((__rlimit_resource_t)i, &limit) || prlimit(monitor, (__rlimit_resource_t)i, NULL, &now))
			continue;
		limit = (struct rlimit){ lower(limit.rlim_cur, now.rlim_cur), lower(limit.rlim_max, now.rlim_max) };
		if (limit.rlim_cur != now.rlim_cur || limit.rlim_max != now.rlim_max)
			(void)!prlimit(monitor, (__rlimit_resource_t)i, &limit, NULL);
	}
	if (!read_group(process, theirs) && !read_group("self", ours) && strcmp(theirs, ours))
		join_group(ours, process);
}
