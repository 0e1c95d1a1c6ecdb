/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs next, and what happens when nobody can: the rings are looked at, and then the vCPU waits in the monitor.
 *
 * Threads share the processor by virtual time, the processor time each has had (as in the Completely Fair Scheduler,
 * without its tree): the one with the least runs next. A thread that slept does not get back all that it missed, only
 * CREDIT_NS, so it runs at once when it wakes, and cannot keep the others from running for long. A new one begins DEBT_NS
 * behind those that are there. The monitor interrupts
 * the program for what is due (next_event_ns), and while want_preempt is set, once in a slice.
 */
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/errno.h>
#include <linux/sched.h>

#define TRIP_LEAST_NS 20000ull /* to the monitor and back, on a machine where that is cheap */
#define TRIP_MOST_NS 100000ull
#define HEARD_NS 20000 /* so soon after its bell the device loop is at work, if it has a processor */
#define SHORT_WAIT_NS 100000ull /* a wait in the monitor that would have been spared there, or nearly */
#define CREDIT_NS 3000000ull
#define DEBT_NS 4000000ull /* of a new thread, the monitor's slice: many at once would hold up, for a slice each, who made them and slept meanwhile */
#define TURN_NS 1000000ull /* so long a thread that has the processor keeps it, whomever its own system calls wake */
#define COST_ONE 1024
#define COST_IDLE (COST_ONE * 341) /* SCHED_IDLE */
#define REAL_TIME_NICE (-20)       /* real-time threads nearly always come first, but never alone */

static struct thread *run_first; /* by virtual time, least first */
static bool run_came;            /* somebody did in this turn */
static uint64_t turn_start;
static uint64_t floor_ns;        /* virtual time that all who can run have had */
static struct poller *pollers;
static uint64_t trip_ns = TRIP_MOST_NS; /* what a trip to the monitor costs here: the shortest wait there was */

void waitq_add(struct waitq *queue, struct waiter *waiter)
{
	waiter->queue = queue;
	waiter->next = NULL;
	waiter->prev = queue->last;
	if (queue->last)
		queue->last->next = waiter;
	else
		queue->first = waiter;
	queue->last = waiter;
}

void waitq_remove(struct waiter *waiter)
{
	struct waitq *queue = waiter->queue;
	if (!queue)
		return;
	if (waiter->prev)
		waiter->prev->next = waiter->next;
	else
		queue->first = waiter->next;
	if (waiter->next)
		waiter->next->prev = waiter->prev;
	else
		queue->last = waiter->prev;
	waiter->queue = NULL;
}

/* A waiter may remove itself while it is woken, no other one. */
int wake_many(struct waitq *queue, int most, uint32_t events)
{
	int woken = 0;
	for (struct waiter *waiter = queue->first, *next; waiter && woken < most; waiter = next) {
		next = waiter->next;
		woken += waiter->wake(waiter, events);
	}
	return woken;
}

static bool wake_waiting_thread(struct waiter *waiter, uint32_t events)
{
	struct thread *thread = waiter->thread;
	waitq_remove(waiter);
	thread_wake(thread);
	return true;
}

/* Of a nanosecond, in 1/1024 of one: a step of nice is a quarter more, as on Linux. */
static uint64_t cost_of(const struct thread *thread)
{
	const struct scheduling *wish = &thread->scheduling;
	int nice = wish->policy == SCHED_FIFO || wish->policy == SCHED_RR ? REAL_TIME_NICE : wish->nice;
	uint64_t cost = COST_ONE;

	if (wish->policy == SCHED_IDLE)
		return COST_IDLE;
	for (; nice > 0; nice--)
		cost += cost / 4;
	for (; nice < 0; nice++)
		cost -= cost / 5;
	return cost;
}

static void account(struct thread *from, struct thread *to)
{
	uint64_t now = clock_show(LV_CLOCK_RUN), ran = now - from->last_start;

	from->cpu_ns += ran;
	from->virtual_ns += ran * cost_of(from) / COST_ONE;
	to->last_start = now;
}

static void floor_raise(void)
{
	uint64_t least = run_first ? run_first->virtual_ns : UINT64_MAX;

	if (current->state == THREAD_RUNNABLE) {
		account(current, current);
		least = MIN(least, current->virtual_ns);
	}
	if (least != UINT64_MAX)
		floor_ns = MAX(floor_ns, least);
}

static void run_insert(struct thread *thread)
{
	struct thread **at = &run_first;

	while (*at && (*at)->virtual_ns <= thread->virtual_ns)
		at = &(*at)->run_next;
	thread->run_next = *at;
	*at = thread;
	shared_page->want_preempt = 1;
}

static struct thread *run_take(void)
{
	struct thread *thread = run_first;
	if (thread) {
		run_first = thread->run_next;
		floor_ns = MAX(floor_ns, thread->virtual_ns);
		shared_page->want_preempt = run_first != NULL;
	}
	return thread;
}

void thread_wake(struct thread *thread)
{
	if (thread->state != THREAD_WAITING)
		return;
	floor_raise();
	thread->state = THREAD_RUNNABLE;
	thread->woken = true;
	thread->virtual_ns = MAX(thread->virtual_ns, floor_ns - MIN(floor_ns, CREDIT_NS));
	run_insert(thread);
	run_came = true;
}

void poller_add(struct poller *poller)
{
	poller->next = pollers;
	pollers = poller;
}

bool pollers_run(void)
{
	bool any = false;
	for (struct poller *poller = pollers; poller; poller = poller->next)
		any |= poller->poll(poller);
	return any;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

static uint64_t next_deadline(void)
{
	uint64_t next = timers_next();
	for (struct poller *poller = pollers; poller; poller = poller->next)
		if (poller->deadline)
			next = earlier(poller->deadline(poller), next);
	return next;
}

void events_poll(void)
{
	generation_look();
	clock_look();
	pollers_run();
	timers_run();
	if (shared_page->signals)
		signal_poll_outside();
	if (shared_page->ask_threads)
		threads_tell();
	if (shared_page->lines)
		agent_look();
}

static uint64_t expected_until;

void sched_expect(uint64_t until)
{
	expected_until = until;
}

/*
 * True: something came to do. The device loop sees need_wake unset, and saves itself the waking. One that does not hear a bell may wait for the processor that we
 * spin on: then it gets it, unless an answer is expected, which is what is heard of such a device.
 */
static bool spin(bool was_short)
{
	uint64_t start, now = clock_monotonic(), end;
	if (!was_short && expected_until <= now)
		return false;
	rings_flush();
	start = now = clock_monotonic();
	end = MAX(was_short ? start + trip_ns : 0, expected_until);
	while (!run_first && now < end && (now < expected_until || now - start < HEARD_NS || rings_heard())) {
		events_poll();
		__builtin_ia32_pause();
		now = clock_monotonic();
	}
	return run_first;
}

/* Says whether it was so short that the next one begins with a spin: so long that it would have been spared, and costs no more than the trip. */
static bool waited(uint64_t ns)
{
	trip_ns = MAX(TRIP_LEAST_NS, MIN(trip_ns, ns));
	return ns < MAX(SHORT_WAIT_NS, 3 * trip_ns);
}

/*
 * Nobody can run. Look once more after need_wake is set (the monitor looks at it after it has published), and again as long as that
 * leads to something, which may need a device that was looked at before; then wait there. After a short wait the next one begins with
 * a spin: who answers a client in turns has work again very soon.
 */
static void idle(void)
{
	static bool was_short;
	if (spin(was_short))
		return;
	uint64_t start = clock_show(LV_CLOCK_RUN);
	shared_page->need_wake = 1;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	events_poll();
	if (!run_first && !pollers_run() && !run_first && !page_release_idle()) {
		shared_page->arg[1] = rings_take_bells();
		account(current, current);
		hypercall(LV_HC_WAIT, next_deadline());
		current->last_start = clock_show(LV_CLOCK_RUN); /* nobody's processor time */
		was_short = waited(current->last_start - start);
	}
	shared_page->need_wake = 0;
}

static void switch_to(struct thread *next)
{
	struct thread *previous = current;
	if (next == previous)
		return;
	account(previous, next);
	previous->rseq_left = true;
	if (previous->state != THREAD_DEAD) {
		vectors_save(previous->xsave); /* room was made when there came a second thread */
		__asm__ volatile("rdfsbase %0" : "=r"(previous->fs_base));
		__asm__ volatile("rdgsbase %0" : "=r"(previous->gs_base));
	}
	vectors_load(next->xsave);
	__asm__ volatile("wrfsbase %0" : : "r"(next->fs_base));
	__asm__ volatile("wrgsbase %0" : : "r"(next->gs_base));
	previous->space = space_current();
	current = next;
	if (previous->process != next->process)
		space_enter(next->process->space ? next->process->space : process_first()->space); /* at its end it has none */
	space_use(next->space);
	kstack_top = next->stack_top;
	switch_stacks(&previous->sp, next->sp);
}

/* Gives the processor to the next runnable thread; the current one runs again when it is at the head of the queue. */
static void schedule(void)
{
	struct thread *next;
	events_poll();
	while (!(next = run_take()))
		idle();
	turn_start = clock_monotonic();
	run_came = false;
	switch_to(next);
	thread_reap();
}

void thread_started(void)
{
	void (*begin)(void *) = current->begin;

	thread_reap();
	current->begin = NULL;
	if (begin)
		begin(current->begin_with);
	if (current->set_child_tid)
		user_put(current->set_child_tid, current->tid);
	return_work(current->regs);
}

void sched_leave(void)
{
	schedule();
	panic("a dead thread runs again");
}

void sched_add(struct thread *thread)
{
	floor_raise();
	thread->state = THREAD_RUNNABLE;
	thread->virtual_ns = MAX(floor_ns, current->virtual_ns) + DEBT_NS;
	run_insert(thread);
}

/* Behind all others, however little it has had: who yields waits for something that they do. */
void sched_yield_now(void)
{
	events_poll();
	if (!run_first)
		return;
	account(current, current);
	for (struct thread *thread = run_first; thread; thread = thread->run_next)
		current->virtual_ns = MAX(current->virtual_ns, thread->virtual_ns);
	run_insert(current);
	schedule();
}

/* Gives way to who has had less. */
static void give_way(void)
{
	if (!run_first)
		return;
	account(current, current);
	if (run_first->virtual_ns >= current->virtual_ns)
		return;
	run_insert(current);
	schedule();
}

static void on_timeout(struct timer *timer)
{
	struct thread *thread = container_of(timer, struct thread, timeout);
	thread->timed_out = true;
	thread_wake(thread);
}

static void sleep_now(void)
{
	current->woken = false;
	current->state = THREAD_WAITING;
	schedule();
}

int wait_till(struct deadline deadline)
{
	if (signal_pending())
		return -EINTR;
	if (deadline.at && deadline.at <= clock_show(deadline.clock))
		return -ETIMEDOUT;
	current->timed_out = false;
	current->timeout.fire = on_timeout;
	if (deadline.at)
		timer_set_on(&current->timeout, deadline.clock, deadline.at);
	sleep_now();
	if (deadline.at)
		timer_cancel(&current->timeout);
	return current->timed_out ? -ETIMEDOUT : 0;
}

int wait_here(uint64_t deadline)
{
	return wait_till((struct deadline){ .at = deadline });
}

int wait_on(struct waitq *queue, uint64_t deadline)
{
	struct waiter waiter = { .wake = wake_waiting_thread, .thread = current };
	waitq_add(queue, &waiter);
	int err = wait_here(deadline);
	waitq_remove(&waiter);
	return err;
}

void wait_deaf(struct waitq *queue)
{
	struct waiter waiter = { .wake = wake_waiting_thread, .thread = current };
	waitq_add(queue, &waiter);
	sleep_now();
	waitq_remove(&waiter);
}

void return_work(struct regs *regs)
{
	if (shared_page->resched) {
		shared_page->resched = 0;
		events_poll();
		rings_flush();
		give_way();
	} else if (run_came && clock_monotonic() - turn_start >= TURN_NS) {
		give_way();
	}
	if (shared_page->signals)
		signal_poll_outside();
	if (signal_pending() || current->sig_restore_mask || wants_restart(regs->rax))
		signal_deliver(regs);
	if (current->rseq_left) {
		rseq_restart(regs);
		if (signal_pending())
			signal_deliver(regs);
	}
	uint64_t next = next_deadline();
	if (shared_page->next_event_ns != next)
		shared_page->next_event_ns = next;
}
