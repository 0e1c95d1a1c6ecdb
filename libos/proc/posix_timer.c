/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers that send signals: those of timer_create, and the three of setitimer with alarm. A timer of processor time is
 * one of real time that looks at the clock when it fires, and sets itself again for what is missing.
 */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define FIRST_ID 1 /* 0 marks those of setitimer */
#define TIMERS_MAX 1024
#define CPU_LOOK_MIN 1000000ull /* ns: a processor clock is not looked at more often */

struct sigevent_k { /* the kernel's struct sigevent: 64 bytes */
	uint64_t value;
	int32_t signo, notify, tid, pad[11];
};
static_assert(sizeof(struct sigevent_k) == 64, "sigevent layout");

void timers_start(struct process *process)
{
	static const struct { int counts, signo; } kinds[] = {
		[ITIMER_REAL] = { CLOCK_MONOTONIC, SIGALRM },
		[ITIMER_VIRTUAL] = { CLOCK_PROCESS_CPUTIME_ID, SIGVTALRM },
		[ITIMER_PROF] = { CLOCK_PROCESS_CPUTIME_ID, SIGPROF },
	};

	process->timers = NULL;
	process->timer_count = 0;
	process->last_timer = FIRST_ID - 1;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		process->interval_timers[i] = (struct posix_timer){ .process = process, .counts = kinds[i].counts, .signo = kinds[i].signo };
}

static uint64_t clock_now(const struct posix_timer *timer)
{
	uint64_t ns = 0;

	if (timer->counts == CLOCK_PROCESS_CPUTIME_ID) /* it may be another process that runs now */
		return process_cpu_ns(timer->process);
	(void)clock_read(timer->counts, &ns); /* fails only for the clock of a thread that has ended: it stands still */
	return ns;
}

static void schedule_look(struct posix_timer *timer)
{
	uint64_t now;

	if (!clock_counts_cpu(timer->counts)) {
		timer_set_on(&timer->timer, clock_of(timer->counts), timer->expires);
		return;
	}
	now = clock_now(timer);
	timer_set(&timer->timer, clock_monotonic() + (timer->expires > now ? MAX(timer->expires - now, CPU_LOOK_MIN) : CPU_LOOK_MIN));
}

static int saturated(uint64_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

/* One signal of a timer waits at most; what happens meanwhile is counted in it. */
static void notify(struct posix_timer *timer, uint64_t missed)
{
	struct siginfo_k info = { .code = SI_TIMER,
				  .timer = { .timer_id = timer->id, .overrun = saturated(missed), .value = timer->value } };
	struct sig_entry *waiting;
	struct thread *thread = timer->tid ? thread_find(timer->tid) : NULL;

	if (!timer->id) {
		info = (struct siginfo_k){ .code = SI_KERNEL };
		signal_send_process(timer->process, timer->signo, &info);
		return;
	}
	if (timer->notify == SIGEV_NONE || (timer->tid && !thread))
		return;
	waiting = signal_find_timer(timer->process, timer->id);
	if (waiting)
		waiting->info.timer.overrun = saturated((uint64_t)waiting->info.timer.overrun + missed + 1);
	else
		(void)signal_post(timer->process, thread, timer->signo, &info);
}

static void fire(struct timer *base)
{
	struct posix_timer *timer = container_of(base, struct posix_timer, timer);
	uint64_t now = clock_now(timer), missed = 0;

	if (now < timer->expires) {
		schedule_look(timer);
		return;
	}
	if (timer->interval) {
		missed = (now - timer->expires) / timer->interval;
		timer->expires += (missed + 1) * timer->interval;
		schedule_look(timer);
	} else {
		timer->expires = 0;
	}
	notify(timer, missed);
}

/* expires: on the clock by which it counts, 0 disarms. */
static void arm(struct posix_timer *timer, uint64_t expires, uint64_t interval)
{
	timer_cancel(&timer->timer);
	timer->timer.fire = fire;
	timer->expires = expires;
	timer->interval = interval;
	if (expires)
		schedule_look(timer);
}

/* Time until it expires, never 0 while it is armed. */
static uint64_t remaining(const struct posix_timer *timer)
{
	uint64_t now;

	if (!timer->expires)
		return 0;
	now = clock_now(timer);
	return timer->expires > now ? timer->expires - now : 1;
}

void posix_timer_delivered(struct siginfo_k *info)
{
	for (struct posix_timer *timer = current->process->timers; timer; timer = timer->next)
		if (timer->id == info->timer.timer_id)
			timer->overrun = info->timer.overrun;
}

void timers_end(struct process *process, bool all)
{
	for (struct posix_timer *timer; (timer = process->timers);) {
		process->timers = timer->next;
		timer_cancel(&timer->timer);
		kfree(timer);
	}
	process->timer_count = 0;
	for (unsigned i = 0; all && i < ARRAY_SIZE(process->interval_timers); i++)
		timer_cancel(&process->interval_timers[i].timer);
}

/* ---- setitimer ---- */

static struct itimerval itimer_value(const struct posix_timer *timer)
{
	uint64_t us = (remaining(timer) + 999) / 1000, interval = timer->interval / 1000;

	return (struct itimerval){ .it_value = { .tv_sec = (long)(us / 1000000), .tv_usec = (long)(us % 1000000) },
				   .it_interval = { .tv_sec = (long)(interval / 1000000), .tv_usec = (long)(interval % 1000000) } };
}

static int timeval_ns(const struct timeval *time, uint64_t *ns)
{
	if (time->tv_sec < 0 || time->tv_usec < 0 || time->tv_usec >= 1000000)
		return -EINVAL;
	*ns = MIN((uint64_t)time->tv_sec, 1ull << 32) * NS_PER_S + (uint64_t)time->tv_usec * 1000;
	return 0;
}

SYSCALL(getitimer)
{
	struct itimerval value;

	if (a[0] < 0 || a[0] > ITIMER_PROF)
		return -EINVAL;
	value = itimer_value(&current->process->interval_timers[a[0]]);
	return user_write((void *)a[1], &value, sizeof(value));
}

SYSCALL(setitimer)
{
	struct itimerval value = { 0 }, old;
	uint64_t first, interval;

	if (a[1] && user_get(&value, a[1]))
		return -EFAULT;
	if ((uint32_t)a[0] > ITIMER_PROF)
		return -EINVAL;
	struct posix_timer *timer = &current->process->interval_timers[(uint32_t)a[0]];

	if (timeval_ns(&value.it_value, &first) || timeval_ns(&value.it_interval, &interval))
		return -EINVAL;
	old = itimer_value(timer);
	arm(timer, first ? clock_now(timer) + first : 0, first ? interval : 0);
	return a[2] ? user_write((void *)a[2], &old, sizeof(old)) : 0;
}

SYSCALL(alarm)
{
	struct posix_timer *timer = &current->process->interval_timers[ITIMER_REAL];
	uint64_t left = remaining(timer), seconds = (uint32_t)a[0];

	arm(timer, seconds ? clock_now(timer) + seconds * NS_PER_S : 0, 0);
	return left && left < NS_PER_S / 2 ? 1 : (long)((left + NS_PER_S / 2) / NS_PER_S);
}

/* ---- timer_create ---- */

static struct posix_timer *find(long id)
{
	struct posix_timer *timer = current->process->timers;

	while (timer && timer->id != (int)id)
		timer = timer->next;
	return timer;
}

static int check_event(const struct sigevent_k *event)
{
	const struct thread *thread = thread_find(event->tid);

	switch (event->notify) {
	case SIGEV_NONE:
		return 0;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		break;
	case SIGEV_SIGNAL | SIGEV_THREAD_ID:
		if (!thread || thread->process != current->process)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	return event->signo >= 1 && event->signo <= SIG_MAX ? 0 : -EINVAL;
}

static struct posix_timer *new_timer(int clock, const struct sigevent_k *event)
{
	struct posix_timer *timer = current->process->timer_count < TIMERS_MAX ? kzalloc(sizeof(*timer)) : NULL;

	if (!timer)
		return NULL;
	timer->process = current->process;
	timer->id = ++current->process->last_timer;
	timer->clock = timer->counts = clock;
	timer->notify = event->notify;
	timer->signo = event->signo;
	timer->value = event->value;
	if (event->notify & SIGEV_THREAD_ID)
		timer->tid = event->tid;
	timer->next = current->process->timers;
	current->process->timers = timer;
	current->process->timer_count++;
	return timer;
}

SYSCALL(timer_create)
{
	struct sigevent_k event = { .signo = SIGALRM, .notify = SIGEV_SIGNAL };
	uint64_t now;
	int error;

	if (a[1] && user_get(&event, a[1]))
		return -EFAULT;
	if (clock_read((int)a[0], &now))
		return -EINVAL;
	if (!clock_has_timers((int)a[0]))
		return -EOPNOTSUPP;
	if (a[1]) {
		error = check_event(&event);
		if (error)
			return error;
	}
	if (user_touch((uaddr_t)a[2])) /* known before there is a timer */
		return -EFAULT;
	struct posix_timer *timer = new_timer((int)a[0], &event);

	if (!timer)
		return -EAGAIN;
	if (!a[1])
		timer->value = (uint64_t)timer->id;
	return user_put(a[2], timer->id);
}

static int write_value(void *user, const struct posix_timer *timer)
{
	struct timespec value[2] = { time_from_ns(timer->interval), time_from_ns(remaining(timer)) };

	return user_write(user, value, sizeof(value));
}

SYSCALL(timer_settime)
{
	struct posix_timer *timer = find(a[0]);
	uint64_t first, interval;
	int error;

	error = a[2] ? user_read_time((const void *)a[2], &interval) : -EINVAL;
	if (!error)
		error = user_read_time((const char *)a[2] + sizeof(struct timespec), &first);
	if (error || !timer)
		return error ? error : -EINVAL;
	if (a[3] && write_value((void *)a[3], timer))
		return -EFAULT;
	timer->counts = a[1] & TIMER_ABSTIME ? timer->clock : clock_for_spans(timer->clock);
	if (first && !(a[1] & TIMER_ABSTIME))
		first = deadline_after(clock_now(timer), first);
	arm(timer, first, first ? interval : 0);
	timer->overrun = 0;
	return 0;
}

SYSCALL(timer_gettime)
{
	const struct posix_timer *timer = find(a[0]);

	return timer ? write_value((void *)a[1], timer) : -EINVAL;
}

SYSCALL(timer_getoverrun)
{
	const struct posix_timer *timer = find(a[0]);

	return timer ? timer->overrun : -EINVAL;
}

SYSCALL(timer_delete)
{
	for (struct posix_timer **at = &current->process->timers; *at; at = &(*at)->next) {
		struct posix_timer *timer = *at;

		if (timer->id != (int)a[0])
			continue;
		timer_cancel(&timer->timer);
		*at = timer->next;
		kfree(timer);
		current->process->timer_count--;
		return 0;
	}
	return -EINVAL;
}
