/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

#define STACK_SIZE (64 << 10)
#define CROWDED_NS 20000           /* whoever gave way for so long did so to somebody */
#define CROWDED_LASTS_NS 10000000ull
#define TIMERS_A_TURN 64 /* before descriptors get their turn: one may set itself to a time that has passed */

static void alarm_ready(void *context, uint32_t events);

int loop_init(struct loop *loop)
{
	*loop = (struct loop){ .epoll_fd = -1, .owner = pthread_self() };
	pthread_mutex_init(&loop->lock, NULL);
	loop->alarm = (struct loop_watch){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), .ready = alarm_ready, .context = loop };
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->alarm.fd < 0)
		return -errno;
	return loop_update(loop, &loop->alarm, EPOLLIN);
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

/* The loop's thread, woken by the alarm, finds that it is not the owner, and ends. Nothing is opened for that: who is jailed may not. */
void loop_dismiss(struct loop *loop)
{
	const struct itimerspec at_once = { .it_value.tv_nsec = 1 };

	take_over(loop);
	timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &at_once, NULL); /* can fail for wrong arguments only */
	loop->alarm_at = 0;
}

void loop_join(struct loop *loop)
{
	if (!loop->started)
		return;
	loop_dismiss(loop);
	pthread_join(loop->thread, NULL);
	loop->started = false;
}

void loop_fini(struct loop *loop)
{
	loop_join(loop);
	close_fd(&loop->alarm.fd);
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
	const struct itimerspec at_once = { .it_value.tv_nsec = 1 };

	watch->always = true;
	watch->next_always = loop->always;
	loop->always = watch;
	if (loop->started) /* its thread may wait for what epoll tells, and no epoll tells of this */
		timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &at_once, NULL);
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

/* ---- timers: a pairing heap (Fredman and others, 1986) ---- */

/* Two heaps become one; either may be empty. */
static struct loop_timer *meld(struct loop_timer *a, struct loop_timer *b)
{
	struct loop_timer *first = !b || (a && a->deadline <= b->deadline) ? a : b, *other = first == a ? b : a;

	if (!other)
		return first;
	other->before = first;
	other->next = first->child;
	if (other->next)
		other->next->before = other;
	first->child = other;
	return first;
}

/* A list of heaps becomes one: in pairs from the front, then from the back. */
static struct loop_timer *meld_list(struct loop_timer *list)
{
	struct loop_timer *pairs = NULL, *heap = NULL;

	while (list) {
		struct loop_timer *a = list, *b = a->next, *pair;

		list = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct loop_timer *pair = pairs;

		pairs = pair->next;
		pair->next = NULL;
		heap = meld(heap, pair);
	}
	if (heap)
		heap->before = NULL;
	return heap;
}

static void timer_remove(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer *children = meld_list(timer->child);

	if (timer == loop->timers) {
		loop->timers = children;
	} else {
		*(timer->before->child == timer ? &timer->before->child : &timer->before->next) = timer->next;
		if (timer->next)
			timer->next->before = timer->before;
		loop->timers = meld(loop->timers, children);
	}
	timer->child = timer->next = timer->before = NULL;
	timer->deadline = 0;
}

/*
 * An alarm that comes too early finds nothing to do and is set anew, so only earlier ones have to be set at once: timers
 * that are put off again and again cost no system call.
 */
static void set_alarm(struct loop *loop)
{
	uint64_t at = loop->timers ? loop->timers->deadline : 0;
	struct itimerspec spec = { .it_value = { at / NS_PER_S, at % NS_PER_S } };

	if (!at || (loop->alarm_at && loop->alarm_at <= at))
		return;
	loop->alarm_at = at;
	timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &spec, NULL); /* can fail for wrong arguments only */
}

static void alarm_ready(void *context, uint32_t events)
{
	struct loop *loop = context;
	uint64_t count, now = clock_now();

	if (read(loop->alarm.fd, &count, sizeof(count)) < 0)
		return;
	loop->alarm_at = 0;
	for (unsigned n = 0; n < TIMERS_A_TURN && loop->timers && loop->timers->deadline <= now; n++) {
		struct loop_timer *timer = loop->timers;

		timer_remove(loop, timer);
		timer->fire(timer->context);
	}
	set_alarm(loop);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline)
{
	if (timer->deadline)
		timer_remove(loop, timer);
	timer->deadline = deadline;
	if (!deadline)
		return;
	loop->timers = meld(loop->timers, timer);
	set_alarm(loop);
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
	loop->turns++;
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

/* ---- looking ---- */

bool loop_look_for(struct loop *loop, struct loop_look *look, uint64_t ns)
{
	uint64_t now = clock_now();
	struct loop_look *before = loop->look;

	if (now < loop->crowded_until)
		return false;
	loop->look = look;
	look->until = now + ns;
	if (before && before != look)
		before->over(before->context);
	return true;
}

void loop_look_end(struct loop *loop, struct loop_look *look)
{
	if (loop->look == look)
		loop->look = NULL;
}

/* Under the lock, by the owner. True: it has neither come, nor is its time over. */
static bool look_now(struct loop *loop)
{
	struct loop_look *look = loop->look;

	if (!look)
		return false;
	uint64_t now = clock_now();
	if (!look->came(look->context) && now < look->until && now >= loop->crowded_until)
		return true;
	loop->look = NULL;
	look->over(look->context);
	return false;
}

static bool look_once(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	bool goes_on = pthread_equal(loop->owner, pthread_self()) && look_now(loop);
	pthread_mutex_unlock(&loop->lock);
	return goes_on;
}

/* Whoever else wants this processor has it first; then there is none to spare. */
static void give_way(struct loop *loop)
{
	uint64_t before = clock_now(), now;

	sched_yield();
	now = clock_now();
	if (now - before > CROWDED_NS)
		loop->crowded_until = now + CROWDED_LASTS_NS;
}

static int await_events(struct loop *loop, struct epoll_event *batch, int timeout_ms)
{
	int n = 0;

	while (__atomic_load_n(&loop->look, __ATOMIC_RELAXED) && (n = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, 0)) == 0 && look_once(loop))
		give_way(loop);
	return n > 0 ? n : epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, loop->always ? 0 : timeout_ms);
}

/* False: the loop was taken over by another thread. */
static bool turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event batch[LOOP_BATCH];
	unsigned drops = __atomic_load_n(&loop->drops, __ATOMIC_ACQUIRE);
	int n = await_events(loop, batch, timeout_ms);
	bool mine;

	pthread_mutex_lock(&loop->lock);
	mine = pthread_equal(loop->owner, pthread_self());
	/* While we waited for the lock its holder dropped a watch, which may be gone by now: asked again, when nobody can. */
	if (mine && drops != loop->drops)
		n = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, 0);
	if (mine) {
		dispatch(loop, batch, n > 0 ? n : 0);
		look_now(loop); /* where descriptors are always ready there is no other time for it */
	}
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
