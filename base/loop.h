/* SPDX-License-Identifier: Apache-2.0 */
/* A loop: one thread that waits for descriptors and timers and calls who asked for them. */
#ifndef LV_BASE_LOOP_H
#define LV_BASE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* One interest in a descriptor; lives in its owner, which keeps it in place while it is watched. */
struct loop_watch {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT; level-triggered; 0: not watched */
	void (*ready)(void *context, uint32_t events);
	void *context;
	/* private */
	uint32_t armed;
	bool always; /* a regular file: epoll refuses it because it is always ready */
	struct loop_watch *next_always;
};

/*
 * A timer; lives in its owner, which keeps it in place while it is set, and sets fire and context. All of a loop's timers
 * share one descriptor and lie in a heap that is made of themselves, so setting one cannot fail.
 */
struct loop_timer {
	void (*fire)(void *context);
	void *context;
	/* private */
	uint64_t deadline; /* 0: not set */
	struct loop_timer *child, *next; /* pairing heap: the first child, the next sibling */
	struct loop_timer *before;       /* the previous sibling, of the first one the parent */
};

/*
 * Something that will come within microseconds, and of which no descriptor tells. For as long as its time lasts, and nobody else wants the processor,
 * the loop looks for it instead of waiting: a thread that sleeps takes longer to wake. Lives in its owner, which sets the first three.
 */
struct loop_look {
	bool (*came)(void *context); /* cheap */
	void (*over)(void *context); /* it came, or is looked for no longer; not after loop_look_end */
	void *context;
	/* private */
	uint64_t until;
};

#define LOOP_BATCH 16
struct loop {
	int epoll_fd;
	struct loop_watch *always;
	struct loop_watch alarm;   /* the timerfd */
	uint64_t alarm_at;         /* when it goes off, 0: never; not later than the first timer */
	struct loop_timer *timers; /* root of the heap: the first one */
	struct loop_look *look;    /* what is looked for */
	uint64_t crowded_until;    /* others wanted the processor meanwhile: nothing is looked for until then */
	struct epoll_event *batch; /* of the round that runs now */
	int batch_count;
	unsigned turns; /* rounds, ever */
	unsigned drops; /* watches that were dropped, ever */
	pthread_mutex_t lock; /* held while callbacks run */
	pthread_t thread, owner; /* owner: the one thread that may call them */
	bool started;
};

/* 0 or a negative errno. The loop stays where it is from now on. loop_fini accepts a loop whose init failed. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);
/*
 * The loop's thread ends, and the caller has the loop from now on. Not from the loop's thread. Dismissed it ends while the caller goes on; join
 * dismisses it, if it was started, and waits for its end.
 */
void loop_dismiss(struct loop *loop);
void loop_join(struct loop *loop);

/* Applies watch->events (0: forgets the descriptor). 0 or a negative errno. In the loop thread, before loop_start, or under loop_lock. */
int loop_update(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* deadline: by clock_now(); 0: not any more, which every owner says before it goes. May be set already. As loop_update. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline);

/* Looks for so long; one at a time, and the one before is over. False: not at all now, and over is not called. As loop_update; end may come at any time. */
bool loop_look_for(struct loop *loop, struct loop_look *look, uint64_t ns);
void loop_look_end(struct loop *loop, struct loop_look *look);

/* What lives in the loop may be touched by another thread in between; never for long, and never from a callback. */
void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

/* Runs the loop in a thread of its own (all signals blocked, small stack). 0 or a negative errno. */
int loop_start(struct loop *loop);
/* One round: waits at most timeout_ms (-1: for ever), then calls what is ready. */
void loop_once(struct loop *loop, int timeout_ms);

/*
 * Takes the loop over from its thread: everything that lives in it belongs to the caller from now on. Then runs it in
 * the calling thread until done() is true. No other thread has to be woken for that: 1 ms less at a VM's end.
 */
void loop_finish(struct loop *loop, bool (*done)(void *context), void *context);

#endif
