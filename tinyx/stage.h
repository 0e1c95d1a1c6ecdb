/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file on its way into a directory, where it appears whole or not at all. Until then it has no name, so that nothing is left of a
 * process that is killed; on file systems that cannot do that it has one, and holds a lock: a stage that nobody holds the
 * lock of is left over, whatever its age, and can be swept.
 */
#ifndef LV_TINYX_STAGE_H
#define LV_TINYX_STAGE_H

#include <stdint.h>

#include "base/error.h"

#define STAGE_PREFIX ".stage-" /* how the names of stages begin, directories among them, whose lock is on themselves */

struct stage { /* STAGE_NONE: closed */
	int fd;  /* read and write */
	int dir; /* the caller's, as long as the stage is open */
	char name[24]; /* in dir; "": none */
};
#define STAGE_NONE ((struct stage){ .fd = -1, .dir = -1 })

/* An empty file, mode 0600. 0 or a negative errno without a message. Close in any case. */
int stage_open(struct stage *stage, int dir);
/* Gives it name and mode in dir, in place of what is there. 0 or a negative errno. */
int stage_publish(struct stage *stage, const char *name, unsigned mode);
/* A file without a name in the directory, for what is read again by this process alone: the descriptor, the caller's, or a negative errno. */
int stage_spool(const char *dir);
/* What was not published is gone. */
void stage_close(struct stage *stage);
/*
 * Removes what killed processes left in dir, stages and the directories of earlier versions, until done or for about this many milliseconds (0:
 * until done); what is left is for the next call.
 */
void stage_sweep(int dir, unsigned ms);

#endif
