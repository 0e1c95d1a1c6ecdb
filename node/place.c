/* SPDX-License-Identifier: Apache-2.0 */
#include "node/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define TEXT_MAX 16384

/* "0::/path" is the line of version 2. */
int place_group(const char *process, char group[PLACE_GROUP])
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
		err = !n ? -ENOENT : n >= PLACE_GROUP ? -ENAMETOOLONG : 0;
		if (!err)
			snprintf(group, PLACE_GROUP, "%.*s", (int)n, at);
	}
	free(text);
	return err;
}

int place_group_open(const char *group)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;
	char path[PLACE_GROUP + 32];
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
		snprintf(path, sizeof(path), "%s%s", roots[i], group);
		int fd = statfs(roots[i], &fs) || fs.f_type != CGROUP2_SUPER_MAGIC ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

void place_join(const char *group, const char *process)
{
	int dir = place_group_open(group), fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, process, strlen(process)) < 0)
		log_debug("control group %s: %s", group, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
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

void place_adopt(pid_t monitor)
{
	char theirs[PLACE_GROUP], ours[PLACE_GROUP], process[16];
	struct rlimit limit, now;
	snprintf(process, sizeof(process), "%d", monitor);
	if (monitor <= 0 || !is_monitor(process))
		return;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		if (getrlimit(i, &limit))
			continue;
		if (prlimit(monitor, i, NULL, &now))
			break; /* it is another user's, as are its other limits */
		limit = (struct rlimit){ lower(limit.rlim_cur, now.rlim_cur), lower(limit.rlim_max, now.rlim_max) };
		if (limit.rlim_cur != now.rlim_cur || limit.rlim_max != now.rlim_max)
			(void)!prlimit(monitor, i, &limit, NULL);
	}
	if (!place_group(process, theirs) && !place_group("self", ours) && strcmp(theirs, ours))
		place_join(ours, process);
}
