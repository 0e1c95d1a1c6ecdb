/* SPDX-License-Identifier: Apache-2.0 */
#include "node/priority.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEPS 5 /* of nice: a quarter of the processor beside one other. With less, it would hold locks of the kernel for long on a machine that is busy */
#define LEAST 19

static int own_nice(void)
{
	return getpriority(PRIO_PROCESS, 0);
}

/* The limit counts from 1, nice 19, to 40, nice -20. */
static bool can_restore(void)
{
	struct rlimit limit;
	return !geteuid() || (!getrlimit(RLIMIT_NICE, &limit) && limit.rlim_cur >= (rlim_t)(LEAST + 1 - own_nice()));
}

bool priority_lower(pid_t pid)
{
	int nice = own_nice() + STEPS;
	/* By system call: one C library does not ask. */
	if (!can_restore() || syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER)
		return false;
	return !setpriority(PRIO_PROCESS, (id_t)pid, nice < LEAST ? nice : LEAST);
}

void priority_restore(pid_t pid)
{
	int nice = own_nice();
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *threads = opendir(path);
	setpriority(PRIO_PROCESS, (id_t)pid, nice); /* the first one, whatever /proc says */
	for (struct dirent *entry; threads && (entry = readdir(threads));)
		if (entry->d_name[0] != '.')
			setpriority(PRIO_PROCESS, (id_t)strtol(entry->d_name, NULL, 10), nice);
	if (threads)
		closedir(threads);
}
