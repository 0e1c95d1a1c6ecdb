/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define STACK_SIZE (64 << 10)
#define NS_PER_S 1000000000ull

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .epoll_fd = -1, .owner = pthread_self() };
	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void take_over(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->owner = pthread_self();
	pthread_mutex_unlock(&loop->lock);
}

/* The loop's thread, woken by a descriptor that belongs to nobody, finds that it is not the owner, and ends. */
static void join_thread(struct loop *loop)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = eventfd(1, EFD_CLOEXEC);

	take_over(loop);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		pthread_join(loop->thread, NULL);
	close_fd(&fd);
	loop->started = false;
}

void loop_fini(struct loop *loop)
{
	if (loop->started)
		join_thread(loop);
	close_fd(&loop->epoll_fd);
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
	int r = 0;

	forget_batch(loop, watch);
	watch->armed = watch->events = 0;
	if (watch->always)
		always_remove(loop, watch);
	else if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL) < 0)
		r = -errno;
	__atomic_store_n(&loop->drops, loop->drops + 1, __ATOMIC_RELEASE);
	return r;
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

static void dispatch(struct loop *loop, struct epoll_event *batch, int count)
{
	loop->batch = batch;
	loop->batch_count = count;
	for (int i = 0; i < count; i++) {
		struct loop_watch *watch = batch[i].data.ptr;

		if (watch)
			watch->ready(watch->context, batch[i].events);
	}
	loop->batch_count = 0;
	run_always(loop);
}

/* False: the loop was taken over by another thread. */
static bool turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event batch[LOOP_BATCH];
	unsigned drops = __atomic_load_n(&loop->drops, __ATOMIC_ACQUIRE);
	int n = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, loop->always ? 0 : timeout_ms);
	bool mine;

	pthread_mutex_lock(&loop->lock);
	mine = pthread_equal(loop->owner, pthread_self());
	/* While we waited for the lock its holder dropped a watch, which may be gone by now: asked again, when nobody can. */
	if (mine && drops != loop->drops)
		n = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, 0);
	if (mine)
		dispatch(loop, batch, n > 0 ? n : 0);
	pthread_mutex_unlock(&loop->lock);
	return mine;
}

void loop_lock(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
}

void loop_unlock(struct loop *loop)
{
	pthread_mutex_unlock(&loop->lock);
}

void loop_once(struct loop *loop, int timeout_ms)
{
	turn(loop, timeout_ms);
}

static void *loop_thread(void *context)
{
	while (turn(context, -1))
		;
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
	/* Signals are for the vCPU thread, and the new thread inherits this mask; SIGPIPE of a write stays pending in it. */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&loop->lock);
	r = pthread_create(&loop->thread, &attr, loop_thread, loop);
	if (!r)
		loop->owner = loop->thread;
	pthread_mutex_unlock(&loop->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	loop->started = !r;
	return -r;
}

void loop_finish(struct loop *loop, bool (*done)(void *context), void *context)
{
	take_over(loop);
	while (!done(context))
		loop_once(loop, -1);
}
