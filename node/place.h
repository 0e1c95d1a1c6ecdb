/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a process lives: its control group (version 2 only) and its limits. A VM lives where whoever asked for it does, also where its monitor was made by lightvmd
 * before anybody asked.
 */
#ifndef LV_NODE_PLACE_H
#define LV_NODE_PLACE_H

#include <sys/types.h>

#define PLACE_GROUP 512 /* bytes of the longest name of a control group that is followed */

/* process: a number, or "self". Its control group, "/user.slice/...": 0, or -ESRCH (it has gone), -ENOENT (there are none), -ENAMETOOLONG. */
int place_group(const char *process, char group[PLACE_GROUP]);
/* The directory of a control group, a descriptor that is the caller's; -1: there is none. */
int place_group_open(const char *group);
/* process: a number; "0": ourselves. If we may; otherwise it stays where it is. */
void place_join(const char *group, const char *process);
/* A monitor that was claimed from a pool gets our control group, and our limits where they are lower than its own: some it has lowered itself. What cannot be had stays. */
void place_adopt(pid_t monitor);

#endif
