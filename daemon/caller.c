/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/caller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "node/place.h"

/* After it was looked at: it is the same user's. */
static int check(const struct caller *caller)
{
	char path[32];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d", caller->pid);
	return !caller->pid || stat(path, &st) || st.st_uid != caller->uid ? -ESRCH : 0;
}

int caller_group(const struct caller *caller, char group[PLACE_GROUP])
{
	char process[16];
	snprintf(process, sizeof(process), "%d", caller->pid);
	int err = caller->pid ? place_group(process, group) : -ESRCH;
	return err ? err : check(caller);
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

void caller_lend_limits(const struct caller *caller, pid_t child)
{
	struct rlimit limit;
	for (int i = 0; i < RLIM_NLIMITS && !check(caller); i++)
		if (!prlimit(caller->pid, (__rlimit_resource_t)i, NULL, &limit) && !check(caller))
			(void)!prlimit(child, (__rlimit_resource_t)i, &limit, NULL);
}

void caller_take_place(const struct caller *caller)
{
	char group[PLACE_GROUP], ours[PLACE_GROUP];
	if (check(caller))
		return;
	take_limits(caller);
	if (!caller_group(caller, group) && !place_group("self", ours) && strcmp(group, ours))
		place_join(group, "0");
}
