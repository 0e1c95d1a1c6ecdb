/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process at the other end of a connection: what it starts through us lives where what it starts itself would, in its control group and under its
 * limits. Its number is a hint: the process may have ended, and the number be another's. So it has to belong to the user that the kernel
 * told us of; then the worst that comes of it is another control group of the same user's. Version 2 of control groups only.
 */
#ifndef LV_DAEMON_CALLER_H
#define LV_DAEMON_CALLER_H

#include <sys/types.h>

#include "node/place.h"

struct caller { /* pid 0: nobody known */
	pid_t pid;
	uid_t uid;
};

/* Its control group, "/user.slice/...": 0, or -ESRCH (it has gone), -ENOENT (there are none), -ENAMETOOLONG. */
int caller_group(const struct caller *caller, char group[PLACE_GROUP]);
/* In a process of its own: takes its limits (setrlimit), and its control group if we may. What cannot be had stays. */
void caller_take_place(const struct caller *caller);
/* child, which is not the caller's, gets its limits. What cannot be had stays. */
void caller_lend_limits(const struct caller *caller, pid_t child);

#endif
