/* SPDX-License-Identifier: Apache-2.0 */
/* What is made ahead gives way to what somebody waits for. */
#ifndef LV_NODE_PRIORITY_H
#define LV_NODE_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The process, a child that has one thread as yet, has less of the processor than others where they want it, not nothing; threads that it makes inherit that. False,
 * and nothing is done: we could not give it back (without CAP_SYS_NICE or RLIMIT_NICE no priority goes up), we have a real-time one, or it is gone.
 */
bool priority_lower(pid_t pid);
/* All of its threads have the caller's again. */
void priority_restore(pid_t pid);

#endif
