/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the kernel has killed a process for want of memory: it tells nobody but the process' control group, which counts (oom_kill in memory.events of
 * version 2, in memory.oom_control of version 1). So the count is noted while the process lives, and looked at again when it has been killed.
 */
#ifndef LV_DAEMON_OOM_MARK_H
#define LV_DAEMON_OOM_MARK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct oom_mark { /* all zero: of nobody */
	char *path; /* of the file that counts */
	uint64_t kills;
};

/* Notes it for a process that lives. Where there is no such group nothing is noted. */
void oom_mark_set(struct oom_mark *mark, pid_t pid);
/* Has a process of that group been killed so since then? False where nobody knows. */
bool oom_mark_rose(const struct oom_mark *mark);
void oom_mark_clear(struct oom_mark *mark);

#endif
