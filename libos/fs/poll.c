/* SPDX-License-Identifier: Apache-2.0 */
/* poll and select: wait until one of some files is ready. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define FEW 8
#define PART 4096u /* entries in one piece: memory has no larger ones than 2 MiB */
#define MOST_FILES (1u << 20)
#define ALWAYS (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)
#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EXCEPT POLLPRI

struct entry {
	struct waiter waiter;
	struct file *file; /* NULL: not open, or not asked for */
	uint32_t want, got;
	bool hit; /* its queue was woken */
};

struct entries {
	struct entry few[FEW], *part, **parts; /* up to PART of them in one piece, more in several */
	uint32_t count;
};

static bool on_wake(struct waiter *waiter, uint32_t events)
{
	struct entry *entry = container_of(waiter, struct entry, waiter);
	entry->hit = true;
	thread_wake(waiter->thread);
	return true;
}

static struct entry *entry_at(const struct entries *e, uint32_t i)
{
	return &e->parts[i / PART][i % PART];
}

static void parts_free(struct entries *e)
{
	for (uint32_t i = 0; i * PART < e->count; i++)
		if (e->parts[i] != e->few)
			kfree(e->parts[i]);
	if (e->parts != &e->part)
		kfree(e->parts);
}

static int entries_new(struct entries *e, uint32_t count)
{
	e->parts = &e->part;
	e->part = NULL;
	e->count = count;
	if (count > PART)
		e->parts = kzalloc((count + PART - 1) / PART * sizeof(*e->parts));
	if (!e->parts)
		return -ENOMEM;
	for (uint32_t first = 0; first < count; first += PART) {
		size_t size = MIN(count - first, PART) * sizeof(struct entry);
		struct entry *part = count > FEW ? kmalloc(size) : e->few;
		if (!part) {
			parts_free(e);
			return -ENOMEM;
		}
		e->parts[first / PART] = memset(part, 0, size);
	}
	return 0;
}

static void entries_free(struct entries *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		struct entry *entry = entry_at(e, i);
		waitq_remove(&entry->waiter);
		if (entry->file)
			file_put(entry->file);
	}
	parts_free(e);
}

static void entry_set(struct entry *entry, struct file *file, uint32_t want)
{
	file_get(file);
	entry->file = file;
	entry->want = want;
}

/* Looks at one file; queues for it as well if it is not ready and the call may have to wait. */
static bool look(struct entry *entry, bool queue)
{
	struct waitq *where = NULL;
	struct file *file = entry->file;
	entry->hit = false;
	entry->got = (file->ops->poll ? file->ops->poll(file, &where) : ALWAYS) & entry->want;
	if (!entry->got && queue && where) {
		entry->waiter.wake = on_wake;
		entry->waiter.thread = current;
		waitq_add(where, &entry->waiter);
	}
	return entry->got;
}

static uint32_t look_at_all(struct entries *e, bool queue)
{
	uint32_t ready = 0;
	for (uint32_t i = 0; i < e->count; i++)
		if (entry_at(e, i)->file)
			ready += look(entry_at(e, i), queue && !ready);
		else
			ready += entry_at(e, i)->got != 0;
	return ready;
}

static bool look_again(struct entries *e, uint32_t *ready)
{
	bool any = false;
	for (uint32_t i = 0; i < e->count; i++) {
		if (!entry_at(e, i)->hit)
			continue;
		any = true;
		*ready += look(entry_at(e, i), false);
	}
	return any;
}

/* The number of files that are ready, 0 after the deadline (0: never; 1: at once), or -EINTR. */
static long wait_for_any(struct entries *e, uint64_t deadline)
{
	uint32_t ready = look_at_all(e, deadline != 1);
	int err = 0;
	while (!ready && deadline != 1 && !err) {
		if (look_again(e, &ready))
			continue;
		err = wait_here(deadline);
		look_again(e, &ready);
	}
	return ready ? (long)ready : err == -EINTR ? -EINTR : 0;
}

/* ---- time-outs ---- */

/* A time-out in ns as a deadline of wait_for_any. */
static uint64_t deadline_in(uint64_t ns)
{
	return ns ? deadline_after(clock_monotonic(), ns) : 1;
}

static int deadline_from(const struct timespec *user, uint64_t *deadline)
{
	uint64_t ns;
	*deadline = 0;
	int r = user ? user_read_time(user, &ns) : 0;
	if (!r && user)
		*deadline = deadline_in(ns);
	return r;
}

static uint64_t time_left(uint64_t deadline)
{
	uint64_t now = clock_monotonic();
	return deadline > now ? deadline - now : 0;
}

/* ---- poll ---- */

static int poll_fill(struct entries *e, uaddr_t from)
{
	for (uint32_t i = 0; i < e->count; i++, from += sizeof(struct pollfd)) {
		struct pollfd asked;
		if (user_get(&asked, from))
			return -EFAULT;
		struct file *file = fd_get(asked.fd);
		if (file && !(file->flags & O_PATH))
			entry_set(entry_at(e, i), file, (uint16_t)asked.events | POLLERR | POLLHUP);
		else if (asked.fd >= 0)
			entry_at(e, i)->got = POLLNVAL;
	}
	return 0;
}

static int poll_answer(const struct entries *e, uaddr_t to)
{
	int err = 0;
	for (uint32_t i = 0; !err && i < e->count; i++, to += sizeof(struct pollfd)) {
		short got = (short)entry_at(e, i)->got;
		err = user_put(to + offsetof(struct pollfd, revents), got);
	}
	return err;
}

static long poll_until(uaddr_t fds, uint64_t count, uint64_t deadline)
{
	struct entries e;
	if (count > MIN(MOST_FILES, process_limit(RLIMIT_NOFILE)))
		return -EINVAL;
	int err = entries_new(&e, (uint32_t)count);
	if (err)
		return err;
	long ready = poll_fill(&e, fds);
	if (!ready)
		ready = wait_for_any(&e, deadline);
	if (ready >= 0 && poll_answer(&e, fds))
		ready = -EFAULT;
	entries_free(&e);
	return ready;
}

SYSCALL(poll)
{
	int ms = (int)a[2];
	return poll_until((uaddr_t)a[0], (uint32_t)a[1], ms < 0 ? 0 : deadline_in((uint64_t)ms * 1000000));
}

SYSCALL(ppoll)
{
	uint64_t deadline;
	struct timespec *timeout = (struct timespec *)a[2];
	long r = deadline_from(timeout, &deadline);
	if (!r)
		r = signal_mask_from((uaddr_t)a[3], (size_t)a[4]);
	if (r)
		return r;
	r = poll_until((uaddr_t)a[0], (uint32_t)a[1], deadline);
	if (timeout)
		user_write_time(timeout, time_left(deadline));
	return r;
}

/* ---- select ---- */

struct sets {
	uaddr_t at[3];    /* of the program: in, out, except; 0: none */
	uint64_t *set[3]; /* copies of them; NULL: none */
	uint32_t words;
	uint64_t few[3 * 1024 / 64], *copy;
};

static const uint32_t select_events[3] = { SELECT_IN, SELECT_OUT, SELECT_EXCEPT };

static int sets_take(struct sets *s)
{
	uint64_t *copy = 3 * s->words <= ARRAY_SIZE(s->few) ? s->few : kmalloc(3 * s->words * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (int i = 0; i < 3; i++) {
		if (!s->at[i])
			continue;
		s->set[i] = copy + i * s->words;
		if (!user_read(s->set[i], s->at[i], s->words * sizeof(*copy)))
			continue;
		if (copy != s->few)
			kfree(copy);
		return -EFAULT;
	}
	s->copy = copy;
	return 0;
}

static int sets_give(const struct sets *s)
{
	int err = 0;
	for (int i = 0; !err && i < 3; i++)
		if (s->set[i])
			err = user_write(s->at[i], s->set[i], s->words * sizeof(uint64_t));
	return err;
}

static void sets_free(struct sets *s)
{
	if (s->copy != s->few)
		kfree(s->copy);
}

static bool asked(const struct sets *s, int which, uint32_t fd)
{
	return s->set[which] && (s->set[which][fd / 64] >> (fd % 64) & 1);
}

static int select_fill(struct entries *e, const struct sets *s)
{
	for (uint32_t fd = 0; fd < e->count; fd++) {
		uint32_t want = 0;
		for (int i = 0; i < 3; i++)
			want |= asked(s, i, fd) ? select_events[i] : 0;
		if (!want)
			continue;
		struct file *file = fd_get((int)fd);
		if (!file)
			return -EBADF;
		entry_set(entry_at(e, fd), file, want);
	}
	return 0;
}

/* Makes the answer of the question; counts bits, not files. */
static long select_answer(const struct entries *e, const struct sets *s)
{
	long bits = 0;
	for (int i = 0; i < 3; i++) {
		for (uint32_t fd = 0; s->set[i] && fd < e->count; fd++) {
			if (!asked(s, i, fd))
				continue;
			if (entry_at(e, fd)->got & select_events[i])
				bits++;
			else
				s->set[i][fd / 64] &= ~(1ull << (fd % 64));
		}
	}
	return bits;
}

static long select_until(uint32_t count, const long *sets, uint64_t deadline)
{
	struct entries e;
	struct sets s = { .at = { (uaddr_t)sets[0], (uaddr_t)sets[1], (uaddr_t)sets[2] } };
	if ((int)count < 0)
		return -EINVAL;
	count = MIN(count, (uint32_t)ALIGN_UP(MAX(fd_count(), 1024), 64));
	s.words = (count + 63) / 64;
	long r = sets_take(&s);
	if (r)
		return r;
	r = entries_new(&e, count);
	if (!r) {
		r = select_fill(&e, &s);
		if (!r)
			r = wait_for_any(&e, deadline);
		if (r >= 0)
			r = select_answer(&e, &s);
		if (r >= 0 && sets_give(&s))
			r = -EFAULT;
		entries_free(&e);
	}
	sets_free(&s);
	return r;
}

SYSCALL(select)
{
	struct timeval *user = (struct timeval *)a[4], time;
	uint64_t deadline = 0;
	if (user && user_read(&time, user, sizeof(time)))
		return -EFAULT;
	if (user && (time.tv_sec < 0 || time.tv_usec < 0))
		return -EINVAL;
	if (user)
		deadline = deadline_in((uint64_t)MIN(time.tv_sec, 1l << 32) * NS_PER_S + (uint64_t)MIN(time.tv_usec, 1l << 40) * 1000);
	long r = select_until((uint32_t)a[0], a + 1, deadline);
	if (user) {
		uint64_t left = time_left(deadline);
		time = (struct timeval){ .tv_sec = (long)(left / NS_PER_S), .tv_usec = (long)(left % NS_PER_S / 1000) };
		user_write(user, &time, sizeof(time));
	}
	return r;
}

SYSCALL(pselect6)
{
	uint64_t deadline;
	struct timespec *timeout = (struct timespec *)a[4];
	struct { uaddr_t mask; size_t size; } arg = { 0 };
	long r = deadline_from(timeout, &deadline);
	if (!r && a[5])
		r = user_read(&arg, (void *)a[5], sizeof(arg));
	if (!r)
		r = signal_mask_from(arg.mask, arg.size);
	if (r)
		return r;
	r = select_until((uint32_t)a[0], a + 1, deadline);
	if (timeout)
		user_write_time(timeout, time_left(deadline));
	return r;
}
