/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define CHUNK 65536
#define OUT 3  /* in the process: the only descriptors besides the standard ones */
#define KEEP 4
#define MORE 5

struct tasks {
	struct daemon *daemon;
	unsigned running, waiting, lasting;
	struct task *first, **last;
	LIST_HEAD(, task) pieces;
	struct loop_timer next; /* starts what waits: never from within another's end */
};

/* ---- the process ---- */

/* Nothing of our clients and our sockets is open in it: a client that is let go must see that, however long this takes. */
static void keep_only(int out, const int given[2])
{
	int fds[] = { fcntl(out, F_DUPFD_CLOEXEC, MORE + 1), -1, -1 };
	unsigned first = KEEP;
	for (unsigned i = 0; i < 2 && given[i] > 0; i++) /* out of the way of their places */
		fds[++first - KEEP] = fcntl(given[i], F_DUPFD_CLOEXEC, MORE + 1);
	for (unsigned i = 0; i < first - OUT; i++)
		if (dup3(fds[i], (int)(OUT + i), O_CLOEXEC) < 0)
			_exit(EXIT_FAILURE);
	if (syscall(SYS_close_range, first, ~0u, 0))
		for (unsigned fd = first; fd < 65536; fd++)
			close((int)fd);
}

/* What packs a program does not look at each of its copies (tinyx/pack.h). */
static void end_out_of_memory(void)
{
	_exit(EXIT_FAILURE);
}

static void be_task(struct task *task, int out)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "lightvmd: task", 0, 0, 0);
	setrlimit(RLIMIT_NOFILE, &task->tasks->daemon->files);
	keep_only(out, (const int[]){ task->keep, task->more });
	task->keep = task->keep < 0 ? -1 : KEEP;
	task->more = task->more > 0 ? MORE : 0;
	on_out_of_memory = end_out_of_memory;
	task->work(task->context, OUT);
	_exit(EXIT_SUCCESS);
}

/* ---- the loop ---- */

static bool lasts(const struct task *task)
{
	return task->lasting || task->piece;
}

/* It is no task any more. */
static void leave(struct task *task)
{
	struct tasks *tasks = task->tasks;
	loop_timer_set(&tasks->daemon->loop, &task->limit, 0);
	if (task->out.fd < 0)
		return;
	if (task->out.armed)
		loop_update(&tasks->daemon->loop, &task->out, 0);
	if (task->piece)
		LIST_REMOVE(task, link);
	close(task->out.fd);
	task->out.fd = -1;
	--*(lasts(task) ? &tasks->lasting : &tasks->running);
	if (tasks->waiting)
		loop_timer_set(&tasks->daemon->loop, &tasks->next, clock_now());
}

static void end(struct task *task, int failed)
{
	struct tasks *tasks = task->tasks;
	struct text said = task->said;
	task->said = (struct text){ 0 };
	leave(task);
	task->done(task->context, &said, failed ? failed : text_error(&said));
	text_free(&said);
	daemon_settle(tasks->daemon);
}

static void give_up(struct task *task, int failed)
{
	if (task->pid > 0)
		kill(task->pid, SIGKILL);
	end(task, failed);
}

void task_cancel(struct task *task)
{
	if (!task->tasks || task->out.fd < 0)
		return;
	kill(task->pid, SIGKILL);
	leave(task);
	text_free(&task->said);
}

void task_hold(struct task *task, bool hold)
{
	if (task->tasks && task->out.fd >= 0 && !task->silent)
		loop_update(&task->tasks->daemon->loop, &task->out, hold ? 0 : EPOLLIN);
}

static void too_late(void *context)
{
	give_up(context, -ETIMEDOUT);
}

/* Whether a stream is whole, its process' status tells, which comes a moment before or after its last word. */
static void end_stream(struct task *task)
{
	if (task->silent && task->has_ended)
		end(task, task->status ? -ECHILD : 0);
}

void tasks_child_ended(struct tasks *tasks, pid_t pid, int status)
{
	struct task *task;
	LIST_FOREACH(task, &tasks->pieces, link)
		if (task->pid == pid) {
			task->has_ended = true;
			task->status = status;
			end_stream(task);
			return;
		}
}

static void on_out(void *context, uint32_t events)
{
	struct task *task = context;
	char chunk[CHUNK];
	ssize_t n = read(task->out.fd, chunk, sizeof(chunk));
	if (n > 0 && task->piece)
		task->piece(task->context, chunk, (size_t)n);
	else if (n > 0 && task->said.size + (size_t)n > TASK_ANSWER_MAX)
		give_up(task, -EFBIG);
	else if (n > 0)
		text_add(&task->said, chunk, (size_t)n);
	else if (n == 0 && task->piece) {
		task->silent = true;
		loop_update(&task->tasks->daemon->loop, &task->out, 0);
		end_stream(task);
	} else if (n == 0)
		end(task, 0);
	else if (errno != EAGAIN && errno != EINTR)
		give_up(task, -errno);
}

static int start_now(struct task *task)
{
	struct tasks *tasks = task->tasks;
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	task->pid = fork();
	if (!task->pid)
		be_task(task, pair[1]);
	int err = task->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (err) {
		close(pair[0]);
		return err;
	}
	task->out = (struct loop_watch){ .fd = pair[0], .ready = on_out, .context = task };
	task->limit = (struct loop_timer){ .fire = too_late, .context = task };
	err = loop_update(&tasks->daemon->loop, &task->out, EPOLLIN);
	if (err) {
		kill(task->pid, SIGKILL);
		close(pair[0]);
		task->out.fd = -1;
		return err;
	}
	++*(lasts(task) ? &tasks->lasting : &tasks->running);
	if (task->piece)
		LIST_INSERT_HEAD(&tasks->pieces, task, link);
	if (!lasts(task))
		loop_timer_set(&tasks->daemon->loop, &task->limit, clock_now() + TASK_MS * NS_PER_MS);
	return 0;
}

static void start_or_fail(struct task *task)
{
	int err = start_now(task);
	if (err)
		end(task, err);
}

static void start_waiting(void *context)
{
	struct tasks *tasks = context;
	while (tasks->first && tasks->running < TASKS_AT_ONCE) {
		struct task *task = tasks->first;
		tasks->first = task->next;
		if (!tasks->first)
			tasks->last = &tasks->first;
		tasks->waiting--;
		start_or_fail(task);
	}
}

int task_start(struct tasks *tasks, struct task *task)
{
	task->tasks = tasks;
	task->next = NULL;
	task->out.fd = -1;
	task->pid = 0;
	task->silent = task->has_ended = false;
	task->said = (struct text){ 0 };
	if (lasts(task))
		return tasks->lasting < TASKS_LASTING ? start_now(task) : -EBUSY;
	if (tasks->running < TASKS_AT_ONCE && !tasks->first)
		return start_now(task);
	if (tasks->waiting >= TASKS_WAITING)
		return -EBUSY;
	*tasks->last = task;
	tasks->last = &task->next;
	tasks->waiting++;
	return 0;
}

unsigned tasks_count(const struct tasks *tasks)
{
	return tasks->running + tasks->waiting;
}

struct tasks *tasks_new(struct daemon *daemon)
{
	struct tasks *tasks = alloc_zero(sizeof(*tasks));
	if (!tasks)
		return NULL;
	tasks->daemon = daemon;
	tasks->last = &tasks->first;
	LIST_INIT(&tasks->pieces);
	tasks->next = (struct loop_timer){ .fire = start_waiting, .context = tasks };
	return tasks;
}

void tasks_free(struct tasks *tasks)
{
	if (tasks)
		loop_timer_set(&tasks->daemon->loop, &tasks->next, 0);
	free(tasks);
}
