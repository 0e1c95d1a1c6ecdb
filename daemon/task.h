/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that may take long or hang, in a process of its own: a copy of this one, so that it has all that the request has, and that calls the
 * toolstack as the command line does. What it answers comes back through a pipe. If we are killed it goes on to its end: a VM that is
 * being started either comes to be or leaves nothing. Loop thread.
 */
#ifndef LV_DAEMON_TASK_H
#define LV_DAEMON_TASK_H

#include <sys/queue.h>

#include "base/text.h"
#include "daemon/lightvmd.h"

#define TASKS_AT_ONCE 32
#define TASKS_WAITING 1024
#define TASK_ANSWER_MAX (64u << 20)
#define TASK_MS 600000	/* then it is killed */
#define TASKS_LASTING 256 /* of those that have no such limit: streams, sessions */

struct task {
	/* In the process: writes to out what it has to say; never returns to the loop. */
	void (*work)(void *context, int out);
	/*
	 * In the loop: all that it said. failed: 0, or why that is not all of it: -ECHILD: it died, -ETIMEDOUT, -EFBIG, or it could not be started.
	 * The task may be freed or used again from here on.
	 */
	void (*done)(void *context, struct text *said, int failed);
	/* In the loop, in place of collecting what it says for done(): each piece as it comes. It is one that lasts, then, and has failed (-ECHILD) if its status is not 0. NULL: no. */
	void (*piece)(void *context, const char *data, size_t size);
	void *context;
	int keep;     /* a descriptor that the process has besides, as `keep`, too; -1: none */
	int more;     /* with `keep`: another one; 0: none */
	bool lasting; /* may take any time; never waits for others to end: -EBUSY */
	/* private */
	struct tasks *tasks;
	struct task *next;
	LIST_ENTRY(task) link; /* of those with pieces */
	bool silent, has_ended; /* it says nothing more; its process is gone, with this status */
	int status;
	struct loop_watch out;
	struct loop_timer limit;
	struct text said;
	pid_t pid;
};

struct tasks *tasks_new(struct daemon *daemon);
void tasks_free(struct tasks *tasks);
/* 0: done() will be called; -EBUSY: too many run or wait; or why no process can be started. The task stays where it is until then. */
int task_start(struct tasks *tasks, struct task *task);
/* Its process is killed, and done() not called. Nothing where it does not run. */
void task_cancel(struct task *task);
/* A process of ours has ended, perhaps one of theirs. */
void tasks_child_ended(struct tasks *tasks, pid_t pid, int status);
/* Nothing more is read of it for now, and it waits. */
void task_hold(struct task *task, bool hold);
/* Those that run and wait, but for those that last. */
unsigned tasks_count(const struct tasks *tasks);

#endif
