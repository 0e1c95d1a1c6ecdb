/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/start_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/monitor_control.h"

struct start_wait {
	struct starts *starts;
	struct start_wait *next, **before; /* in the queue, or among those that are asked */
	char id[STATE_ID + 1];
	uint64_t due;
	struct loop_watch watch; /* fd -1: not asked yet */
	struct loop_timer patience;
};

struct starts {
	struct loop *loop;
	const int *vms;
	void (*done)(void *context, const char *id, const struct lv_status *status);
	void *context;
	struct start_wait *queue, **last; /* in the order of their time */
	struct start_wait *asked;
	unsigned count; /* of asked */
	struct loop_timer timer;
};

static void schedule(struct starts *starts)
{
	bool may = starts->queue && starts->count < STARTS_ASKED;
	loop_timer_set(starts->loop, &starts->timer, may ? starts->queue->due : 0);
}

static void take_out(struct start_wait *wait)
{
	struct starts *starts = wait->starts;
	*wait->before = wait->next;
	if (wait->next)
		wait->next->before = wait->before;
	else if (starts->last == &wait->next)
		starts->last = wait->before;
}

void start_wait_cancel(struct start_wait *wait)
{
	struct starts *starts = wait->starts;
	take_out(wait);
	if (wait->watch.fd >= 0) {
		loop_update(starts->loop, &wait->watch, 0);
		loop_timer_set(starts->loop, &wait->patience, 0);
		close(wait->watch.fd);
		starts->count--;
	}
	free(wait);
	schedule(starts);
}

/* The one that is told frees what it holds of us first: there is nothing of it any more. */
static void finish(struct start_wait *wait, const struct lv_status *status)
{
	struct starts *starts = wait->starts;
	char id[STATE_ID + 1];
	memcpy(id, wait->id, sizeof(id));
	start_wait_cancel(wait);
	starts->done(starts->context, id, status);
}

static void too_late(void *context)
{
	finish(context, NULL);
}

static void on_answer(void *context, uint32_t events)
{
	struct start_wait *wait = context;
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = answer ? control_finish(wait->watch.fd, LV_CTL_STATUS, answer) : -ENOMEM;
	if (err != -ETIMEDOUT)
		finish(wait, err || answer->status.magic != LV_STATUS_MAGIC ? NULL : &answer->status);
	free(answer);
}

static void ask(struct start_wait *wait)
{
	struct starts *starts = wait->starts;
	int dir = openat(*starts->vms, wait->id, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir < 0 ? -errno : control_begin(dir, LV_CTL_STATUS, 0);
	if (dir >= 0)
		close(dir);
	take_out(wait);
	wait->next = starts->asked;
	wait->before = &starts->asked;
	if (wait->next)
		wait->next->before = &wait->next;
	starts->asked = wait;
	if (fd < 0)
		return finish(wait, NULL);
	wait->watch = (struct loop_watch){ .fd = fd, .ready = on_answer, .context = wait };
	wait->patience = (struct loop_timer){ .fire = too_late, .context = wait };
	starts->count++;
	if (loop_update(starts->loop, &wait->watch, EPOLLIN))
		return finish(wait, NULL);
	loop_timer_set(starts->loop, &wait->patience, clock_now() + START_PATIENCE_MS * NS_PER_MS);
}

static void on_due(void *context)
{
	struct starts *starts = context;
	uint64_t now = clock_now();
	while (starts->queue && starts->queue->due <= now && starts->count < STARTS_ASKED)
		ask(starts->queue);
	schedule(starts);
}

struct start_wait *start_wait_add(struct starts *starts, const char *id)
{
	struct start_wait *wait = alloc_zero(sizeof(*wait));
	if (!wait)
		return NULL;
	*wait = (struct start_wait){ .starts = starts, .before = starts->last, .due = clock_now() + START_MOMENT_MS * NS_PER_MS, .watch = { .fd = -1 } };
	strncpy(wait->id, id, STATE_ID);
	*starts->last = wait;
	starts->last = &wait->next;
	schedule(starts);
	return wait;
}

struct starts *starts_new(struct loop *loop, const int *vms, void (*done)(void *context, const char *id, const struct lv_status *status), void *context)
{
	struct starts *starts = alloc_zero(sizeof(*starts));
	if (!starts)
		return NULL;
	*starts = (struct starts){ .loop = loop, .vms = vms, .done = done, .context = context, .timer = { .fire = on_due, .context = starts } };
	starts->last = &starts->queue;
	return starts;
}

void starts_free(struct starts *starts)
{
	if (!starts)
		return;
	while (starts->queue)
		start_wait_cancel(starts->queue);
	while (starts->asked)
		start_wait_cancel(starts->asked);
	loop_timer_set(starts->loop, &starts->timer, 0);
	free(starts);
}
