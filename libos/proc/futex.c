/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futexes: waiters by place, in a small hash table. Nothing else runs between the look at the program's word and the
 * queueing, so the operations are atomic without locks. The place of a word in memory that processes share is where it
 * is in RAM, whatever address each has for it; of other words it is the address space and the address.
 */
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/futex.h>

#define BUCKETS 64
#define ROBUST_MAX 2048 /* entries followed: the list is the program's and may be a ring */
#define MATCH_ANY FUTEX_BITSET_MATCH_ANY

struct place {
	const void *space; /* NULL: at is in RAM */
	uint64_t at;
};

struct futex_waiter { /* the waiting thread's */
	struct futex_waiter *next;
	struct thread *thread;
	struct place place;
	uint32_t bitset;
	bool pi;    /* waits for a lock that is handed over, and takes a wake-up for that */
	bool woken;
};

static struct futex_waiter *buckets[BUCKETS]; /* each oldest first */

static struct place place_of(uint64_t addr)
{
	uint64_t shared = mm_shared_word(addr);

	return shared ? (struct place){ .at = shared } : (struct place){ current->process->space, addr };
}

static struct futex_waiter **bucket(const struct place *place)
{
	return &buckets[(place->at >> 2 ^ place->at >> 12) % BUCKETS];
}

static void append(struct futex_waiter *waiter)
{
	struct futex_waiter **at = bucket(&waiter->place);

	while (*at)
		at = &(*at)->next;
	waiter->next = NULL;
	*at = waiter;
}

static void unlink(struct futex_waiter *waiter)
{
	for (struct futex_waiter **at = bucket(&waiter->place); *at; at = &(*at)->next) {
		if (*at != waiter)
			continue;
		*at = waiter->next;
		return;
	}
}

static bool is_same(const struct place *a, const struct place *b)
{
	return a->at == b->at && a->space == b->space;
}

static struct futex_waiter *find(uint64_t addr, uint32_t bitset)
{
	const struct place place = place_of(addr);
	struct futex_waiter *waiter = *bucket(&place);

	while (waiter && (!is_same(&waiter->place, &place) || !(waiter->bitset & bitset)))
		waiter = waiter->next;
	return waiter;
}

/* How many wait there, if not more than this. */
static long count_at(const struct place *place, int most)
{
	long count = 0;

	for (const struct futex_waiter *waiter = *bucket(place); waiter && count < most; waiter = waiter->next)
		count += is_same(&waiter->place, place);
	return count;
}

static void wake(struct futex_waiter *waiter)
{
	unlink(waiter);
	waiter->woken = true;
	thread_wake(waiter->thread);
}

/* -EINVAL, as on Linux, once it comes to one that waits for priority inheritance. */
static long wake_matching(uint64_t addr, int most, uint32_t bitset)
{
	struct futex_waiter *waiter;
	long woken = 0;

	for (; woken < most && (waiter = find(addr, bitset)); woken++) {
		if (waiter->pi)
			return -EINVAL;
		wake(waiter);
	}
	return woken;
}

long futex_wake_addr(uint64_t addr, int most)
{
	return wake_matching(addr, most, MATCH_ANY);
}

/* Queues the current thread until it is woken: 0, -ETIMEDOUT, or -EINTR. */
static int wait_queued(uint64_t addr, uint32_t bitset, bool pi, struct deadline deadline)
{
	struct futex_waiter waiter = { .thread = current, .place = place_of(addr), .bitset = bitset, .pi = pi };
	int err = 0;

	append(&waiter);
	while (!waiter.woken && !err)
		err = wait_till(deadline);
	if (waiter.woken) /* perhaps at the same time as the deadline passed: the wake-up must not get lost */
		return 0;
	unlink(&waiter);
	return err;
}

static long futex_wait(uint64_t addr, uint32_t value, uint32_t bitset, struct deadline deadline)
{
	if (!bitset)
		return -EINVAL;
	uint32_t word;

	if (user_get(&word, addr))
		return -EFAULT;
	if (word != value)
		return -EAGAIN;
	int err = wait_queued(addr, bitset, false, deadline);

	return err != -EINTR ? err : deadline.at ? -ERESTART_RESTARTBLOCK : -ERESTARTSYS;
}

static long requeue(uint64_t from, int wakes, int moves, uint64_t to)
{
	const struct place here = place_of(from), there = place_of(to);
	struct futex_waiter *waiter;
	long woken, moved = 0;

	if (wakes < 0 || moves < 0)
		return -EINVAL;
	woken = wake_matching(from, wakes, MATCH_ANY);
	if (woken >= 0 && is_same(&here, &there)) /* perhaps by another address; they are counted as if they moved */
		return woken + count_at(&there, moves);
	for (; woken >= 0 && moved < moves && (waiter = find(from, MATCH_ANY)); moved++) {
		if (waiter->pi)
			return -EINVAL;
		unlink(waiter);
		waiter->place = there;
		append(waiter);
	}
	return woken < 0 ? woken : woken + moved;
}

/* FUTEX_WAKE_OP: what the second word becomes, and whether what it was fulfils the comparison. */
static int operate(uint64_t addr, uint32_t encoded, bool *fulfilled)
{
	int op = (int)(encoded >> 28 & 7), comparison = (int)(encoded >> 24 & 15);
	int argument = (int)(encoded << 8) >> 20, operand = (int)(encoded << 20) >> 20;
	int old, new;

	if (user_get(&old, addr))
		return -EFAULT;
	if (encoded >> 31 & 1)
		argument = (int)(1u << (argument & 31));
	switch (op) {
	case FUTEX_OP_SET: new = argument; break;
	case FUTEX_OP_ADD: new = (int)((uint32_t)old + (uint32_t)argument); break;
	case FUTEX_OP_OR: new = old | argument; break;
	case FUTEX_OP_ANDN: new = old & ~argument; break;
	case FUTEX_OP_XOR: new = old ^ argument; break;
	default: return -ENOSYS;
	}
	switch (comparison) {
	case FUTEX_OP_CMP_EQ: *fulfilled = old == operand; break;
	case FUTEX_OP_CMP_NE: *fulfilled = old != operand; break;
	case FUTEX_OP_CMP_LT: *fulfilled = old < operand; break;
	case FUTEX_OP_CMP_LE: *fulfilled = old <= operand; break;
	case FUTEX_OP_CMP_GT: *fulfilled = old > operand; break;
	case FUTEX_OP_CMP_GE: *fulfilled = old >= operand; break;
	default: return -ENOSYS;
	}
	return user_put(addr, new);
}

static long wake_op(uint64_t first, int most_first, uint64_t second, int most_second, uint32_t encoded)
{
	bool fulfilled;
	int error = operate(second, encoded, &fulfilled);

	if (error)
		return error;
	long woken = wake_matching(first, most_first, MATCH_ANY), more;

	if (woken < 0 || !fulfilled)
		return woken;
	more = wake_matching(second, most_second, MATCH_ANY);
	return more < 0 ? more : woken + more;
}

/* ---- priority inheritance: on one processor without priorities, a lock that the releaser hands to the longest waiter ---- */

static long pi_lock(uint64_t addr, struct deadline deadline, bool try_only)
{
	uint32_t me = (uint32_t)current->tid, word, owner;
	const struct futex_waiter *first = find(addr, MATCH_ANY);

	if (first && !first->pi) /* the word is in use for something else */
		return -EINVAL;
	if (user_cmpxchg(addr, 0, me | (first ? FUTEX_WAITERS : 0), &word))
		return -EFAULT;
	if (!word)
		return 0;
	owner = word & FUTEX_TID_MASK;
	if (!owner) {
		word = me | (word & FUTEX_OWNER_DIED) | (first ? FUTEX_WAITERS : 0);
		return user_put(addr, word);
	}
	if (owner == me)
		return -EDEADLK;
	if (try_only)
		return -EAGAIN;
	if (!thread_find((int)owner))
		return -ESRCH;
	word |= FUTEX_WAITERS;
	if (user_put(addr, word))
		return -EFAULT;
	int err = wait_queued(addr, MATCH_ANY, true, deadline);

	return err == -EINTR ? -ERESTARTNOINTR : err;
}

static int pi_hand_over(uint64_t addr, uint32_t flags)
{
	struct futex_waiter *next = find(addr, MATCH_ANY);
	uint32_t word = flags;

	if (!next || !next->pi) /* who waits for something else is not made its owner */
		return user_put(addr, word);
	wake(next);
	word |= (uint32_t)next->thread->tid | (find(addr, MATCH_ANY) ? FUTEX_WAITERS : 0);
	return user_put(addr, word);
}

static long pi_unlock(uint64_t addr)
{
	uint32_t word;

	if (user_get(&word, addr))
		return -EFAULT;
	return (word & FUTEX_TID_MASK) != (uint32_t)current->tid ? -EPERM : pi_hand_over(addr, 0);
}

/* ---- the system call ---- */

static bool has_timeout(int command)
{
	return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
}

/* Relative for FUTEX_WAIT, else absolute, on the clock that the operation names. */
static int read_deadline(int op, const void *user, struct deadline *deadline)
{
	int command = op & FUTEX_CMD_MASK;
	uint64_t ns;

	*deadline = (struct deadline){ 0 };
	if (!user || !has_timeout(command))
		return 0;
	int error = user_read_time(user, &ns);

	if (error)
		return error;
	if (command == FUTEX_WAIT)
		*deadline = deadline_from_now(CLOCK_MONOTONIC, ns);
	else
		*deadline = deadline_at(command == FUTEX_LOCK_PI || (op & FUTEX_CLOCK_REALTIME) ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns);
	return 0;
}

static bool uses_second(int command)
{
	return command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP;
}

SYSCALL(futex)
{
	uint64_t addr = (uint64_t)a[0], second = (uint64_t)a[4];
	struct deadline deadline;
	int op = (int)a[1], command = op & FUTEX_CMD_MASK, most = (int)a[2], most_second = (int)a[3];
	uint32_t word;

	if (command > FUTEX_LOCK_PI2)
		return -ENOSYS;
	if ((addr & 3) || (uses_second(command) && (second & 3)))
		return -EINVAL;
	if (op & FUTEX_CLOCK_REALTIME && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2)
		return -ENOSYS;
	int error = read_deadline(op, (const void *)a[3], &deadline);

	if (error)
		return error;
	/* One that others may share is found by what lies there. */
	if (!(op & FUTEX_PRIVATE_FLAG) && (user_get(&word, addr) || (uses_second(command) && user_get(&word, second))))
		return -EFAULT;
	switch (command) {
	case FUTEX_WAIT:
		return futex_wait(addr, (uint32_t)a[2], MATCH_ANY, deadline);
	case FUTEX_WAIT_BITSET:
		return futex_wait(addr, (uint32_t)a[2], (uint32_t)a[5], deadline);
	case FUTEX_WAKE: /* at least one, whatever is asked for, as on Linux */
		return wake_matching(addr, MAX(most, 1), MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return a[5] ? wake_matching(addr, MAX(most, 1), (uint32_t)a[5]) : -EINVAL;
	case FUTEX_REQUEUE:
		return requeue(addr, most, most_second, second);
	case FUTEX_CMP_REQUEUE:
		return user_get(&word, addr) ? -EFAULT : word != (uint32_t)a[5] ? -EAGAIN : requeue(addr, most, most_second, second);
	case FUTEX_WAKE_OP:
		return wake_op(addr, most, second, most_second, (uint32_t)a[5]);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return pi_lock(addr, deadline, false);
	case FUTEX_TRYLOCK_PI:
		return pi_lock(addr, deadline, true);
	case FUTEX_UNLOCK_PI:
		return pi_unlock(addr);
	}
	return -ENOSYS;
}

/* ---- several at once ---- */

static int read_waiters(struct futex_waiter *waiters, unsigned count, uint64_t from, uint32_t *expected)
{
	struct futex_waitv word;

	for (unsigned i = 0; i < count; i++) {
		if (user_get(&word, from + i * sizeof(word)))
			return -EFAULT;
		if (word.flags & ~(uint32_t)(FUTEX_32 | FUTEX_PRIVATE_FLAG) || word.__reserved || !(word.flags & FUTEX_32))
			return -EINVAL;
		waiters[i] = (struct futex_waiter){ .thread = current, .bitset = MATCH_ANY, .place.at = word.uaddr };
		expected[i] = (uint32_t)word.val;
	}
	for (unsigned i = 0; i < count; i++)
		if (waiters[i].place.at & 3)
			return -EINVAL;
	return 0;
}

/* All words are what is expected: nobody else runs until all of them are queued. */
static int queue_all(struct futex_waiter *waiters, unsigned count, const uint32_t *expected)
{
	uint32_t word;

	for (unsigned i = 0; i < count; i++) {
		if (user_get(&word, waiters[i].place.at))
			return -EFAULT;
		if (word != expected[i])
			return -EAGAIN;
	}
	for (unsigned i = 0; i < count; i++) {
		waiters[i].place = place_of(waiters[i].place.at);
		append(&waiters[i]);
	}
	return 0;
}

/* The last one that was woken, or -1. */
static int woken_of(const struct futex_waiter *waiters, unsigned count)
{
	int i = (int)count - 1;

	while (i >= 0 && !waiters[i].woken)
		i--;
	return i;
}

static int wait_for_any(struct futex_waiter *waiters, unsigned count, struct deadline deadline)
{
	int err = 0, woken;

	while ((woken = woken_of(waiters, count)) < 0 && !err)
		err = wait_till(deadline);
	for (unsigned i = 0; i < count; i++)
		if (!waiters[i].woken)
			unlink(&waiters[i]);
	return woken >= 0 ? woken : err == -EINTR ? -ERESTARTSYS : err;
}

static int read_absolute(const void *user, int clock, struct deadline *deadline)
{
	uint64_t ns;

	*deadline = (struct deadline){ 0 };
	if (!user)
		return 0;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
		return -EINVAL;
	int err = user_read_time(user, &ns);

	if (!err)
		*deadline = deadline_at(clock, ns);
	return err;
}

SYSCALL(futex_waitv)
{
	unsigned count = (unsigned)a[1];
	struct deadline deadline;

	if (a[2] || !count || count > FUTEX_WAITV_MAX || !a[0])
		return -EINVAL;
	int err = read_absolute((const void *)a[3], (int)a[4], &deadline);

	if (err)
		return err;
	struct futex_waiter *waiters = kmalloc(count * sizeof(*waiters));
	uint32_t *expected = kmalloc(count * sizeof(*expected));

	err = waiters && expected ? read_waiters(waiters, count, (uint64_t)a[0], expected) : -ENOMEM;
	if (!err)
		err = queue_all(waiters, count, expected);
	if (!err)
		err = wait_for_any(waiters, count, deadline);
	kfree(waiters);
	kfree(expected);
	return err;
}

/* ---- the end of a thread ---- */

SYSCALL(set_robust_list)
{
	if ((size_t)a[1] != sizeof(struct robust_list_head))
		return -EINVAL;
	current->robust_list = (uint64_t)a[0];
	return 0;
}

SYSCALL(get_robust_list)
{
	struct thread *thread = a[0] ? thread_find((int)a[0]) : current;
	size_t size = sizeof(struct robust_list_head);

	if (!thread)
		return -ESRCH;
	if (!process_lets_look(thread->process))
		return -EPERM;
	if (user_write((void *)a[2], &size, sizeof(size)))
		return -EFAULT;
	return user_write((void *)a[1], &thread->robust_list, sizeof(thread->robust_list));
}

/* A lock whose holder ended: the next one who takes it is told. */
static void owner_died(struct thread *thread, uint64_t addr, bool pi)
{
	uint32_t word;

	if ((addr & 3) || user_get(&word, addr))
		return;
	if ((word & FUTEX_TID_MASK) != (uint32_t)thread->tid)
		return;
	if (pi) {
		pi_hand_over(addr, FUTEX_OWNER_DIED);
		return;
	}
	uint32_t left = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;

	if (!user_put(addr, left) && (word & FUTEX_WAITERS))
		futex_wake_addr(addr, 1);
}

/* The low bit of a link says that its lock inherits priorities. */
static void walk_robust_list(struct thread *thread)
{
	struct robust_list_head head;
	uint64_t entry, next;

	if (!thread->robust_list || user_read(&head, (void *)thread->robust_list, sizeof(head)))
		return;
	entry = (uint64_t)head.list.next;
	for (int i = 0; i < ROBUST_MAX && (entry & ~1ull) != thread->robust_list; i++, entry = next) {
		if (user_read(&next, (void *)(entry & ~1ull), sizeof(next)))
			return;
		if (entry != (uint64_t)head.list_op_pending)
			owner_died(thread, (entry & ~1ull) + (uint64_t)head.futex_offset, entry & 1);
	}
	entry = (uint64_t)head.list_op_pending;
	if (entry)
		owner_died(thread, (entry & ~1ull) + (uint64_t)head.futex_offset, entry & 1);
}

void futex_thread_exit(struct thread *thread)
{
	cpu_time_thread_ends(thread);
	signal_thread_exit(thread);
	futex_program_exit(thread);
}

void futex_program_exit(struct thread *thread)
{
	uint64_t clear = thread->clear_child_tid;

	walk_robust_list(thread);
	thread->robust_list = thread->clear_child_tid = thread->set_child_tid = 0;
	if (clear && !user_zero(clear, sizeof(uint32_t)))
		futex_wake_addr(clear, 1);
}
