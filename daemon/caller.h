/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process at the other end of a connection: what it starts through us lives where what it starts itself would, in its control group and under its
 * limits. Its number is a hint: the process may have ended, and the number be another's. So it has to belong to the user that the kernel
 * told us of; then the worst that comes of it is another control group of the same user's. Version 2 of control groups only.
 */
#ifndef LV_DAEMON_CALLER_H
#define LV_DAEMON_CALLER_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

struct caller { /* pid 0: nobody known */
	pid_t pid;
	uid_t uid;
};

#define CALLER_GROUP 512 /* bytes of the longest name of a control group that is followed */

/* Its control group, "/user.slice/...": 0, or -ESRCH (it has gone), -ENOENT (there are none), -ENAMETOOLONG. */
int caller_group(const struct caller *caller, char group[CALLER_GROUP]);
/* The directory of a control group; -1: there is none. */
int caller_group_open(const char *group);
/* In a process of its own: takes its limits (setrlimit), and its control group if we may. What cannot be had stays. */
void caller_take_place(const struct caller *caller);
/* After that: the same for a monitor that was not started by this process, but claimed from a pool. Limits that it has lowered stay. */
void caller_adopt(pid_t monitor);

#endif
