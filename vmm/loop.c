/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define STACK_SIZE (64 << 10)
#define NS_PER_S 1000000000ull

static void stop_ready(void *context, uint32_t events)
{
	struct loop *loop = context;
	uint64_t count;

	if (read(loop->stop_fd, &count, sizeof(count)) == sizeof(count))
		loop->stopping = true;
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .epoll_fd = -1, .stop_fd = -1 };
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->stop_fd < 0)
		return -errno;
	loop->stop = (struct loop_watch){ .fd = loop->stop_fd, .ready = stop_ready, .context = loop };
	return loop_update(loop, &loop->stop, EPOLLIN);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void loop_fini(struct loop *loop)
{
	close_fd(&loop->epoll_fd);
	close_fd(&loop->stop_fd);
}

/* Events that were fetched for a watch before it was dropped must not reach it any more: its owner may be gone. */
static void forget_batch(struct loop *loop, const struct loop_watch *watch)
{
	for (int i = 0; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

static void always_add(struct loop *loop, struct loop_watch *watch)
{
	watch->always = true;
	watch->next_always = loop->always;
	loop->always = watch;
}

static void always_remove(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch **at = &loop->always;

	while (*at && *at != watch)
		at = &(*at)->next_always;
	if (*at)
		*at = watch->next_always;
	watch->always = false;
}

static int unwatch(struct loop *loop, struct loop_watch *watch)
{
	forget_batch(loop, watch);
	watch->armed = watch->events = 0;
	if (watch->always)
		always_remove(loop, watch);
	else if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL) < 0)
		return -errno;
	return 0;
}

int loop_update(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	watch->events = events;
	if (events == watch->armed)
		return 0;
	if (!events)
		return unwatch(loop, watch);
	if (!watch->always && epoll_ctl(loop->epoll_fd, watch->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0) {
		if (errno != EPERM)
			return -errno;
		always_add(loop, watch);
	}
	watch->armed = events;
	return 0;
}

static void timer_ready(void *context, uint32_t events)
{
	struct loop_timer *timer = context;
	uint64_t count;

	if (read(timer->watch.fd, &count, sizeof(count)) == sizeof(count))
		timer->fire(timer->context);
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline)
{
	struct itimerspec spec = { .it_value = { deadline / NS_PER_S, deadline % NS_PER_S } };

	if (timer->watch.fd < 0) {
		if (!deadline)
			return 0;
		timer->watch = (struct loop_watch){ .ready = timer_ready, .context = timer };
		timer->watch.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (timer->watch.fd < 0)
			return -errno;
		loop_update(loop, &timer->watch, EPOLLIN);
	}
	return timerfd_settime(timer->watch.fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0 ? -errno : 0;
}

void loop_timer_fini(struct loop *loop, struct loop_timer *timer)
{
	if (timer->watch.fd >= 0)
		loop_update(loop, &timer->watch, 0);
	close_fd(&timer->watch.fd);
}

static void run_always(struct loop *loop)
{
	struct loop_watch *next;

	/* A callback may drop its own watch, not another one: each owner has at most one file here. */
	for (struct loop_watch *watch = loop->always; watch; watch = next) {
		next = watch->next_always;
		watch->ready(watch->context, watch->armed);
	}
}

void loop_once(struct loop *loop, int timeout_ms)
{
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, loop->always ? 0 : timeout_ms);

	loop->batch_count = n > 0 ? n : 0;
	for (int i = 0; i < loop->batch_count; i++) {
		struct loop_watch *watch = loop->batch[i].data.ptr;

		if (watch)
			watch->ready(watch->context, loop->batch[i].events);
	}
	loop->batch_count = 0;
	run_always(loop);
}

void loop_run(struct loop *loop)
{
	do
		loop_once(loop, -1);
	while (!loop->stopping || (loop->done && !loop->done(loop->done_context)));
}

static void *loop_thread(void *context)
{
	loop_run(context);
	return NULL;
}

int loop_start(struct loop *loop)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are for the vCPU thread: the new thread inherits this mask. */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&loop->thread, &attr, loop_thread, loop);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	loop->started = !r;
	return -r;
}

void loop_finish(struct loop *loop, bool (*done)(void *context), void *context)
{
	uint64_t one = 1;

	loop->done = done;
	loop->done_context = context;
	if (write(loop->stop_fd, &one, sizeof(one)) != sizeof(one))
		return; /* cannot happen: the counter never gets near its end */
	if (loop->started)
		pthread_join(loop->thread, NULL);
	else
		loop_run(loop);
	loop->started = false;
}
