/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on files: flock(2), which an open file holds on the whole, and record locks (fcntl(2)), which the process or,
 * with F_OFD_*, an open file holds on bytes. The two kinds do not see each other. Those of open files are left out of the
 * search for deadlocks, as on Linux.
 */
#include "libos/fs/lock.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define TO_THE_END INT64_MAX
#define BUCKETS 64u
#define DEADLOCK_STEPS 16
#define LOOK_FIRST 1000000u /* ns between two looks at a lock that is held elsewhere, */
#define LOOK_LAST 20000000u /* at most */

struct lock {
	struct lock *next;
	const void *owner; /* an open file, or the table of descriptors, which stands for the process */
	int pid;           /* of that process; 0: an open file is the owner */
	bool whole;               /* flock */
	bool exclusive;
	int64_t first, last;      /* bytes, both included */
};

/* The locks of one file: there as long as it has any, or someone waits for one. */
struct lock_table {
	struct lock_table *next;
	const void *key;
	struct lock *locks; /* record locks of one owner by their first byte */
	struct waitq released;
	uint32_t waiting;
};

/* Who waits for a record lock, on the waiting thread's stack. */
struct lock_wait {
	struct lock_wait *next;
	struct lock_table *table;
	const struct lock *wanted;
};

static struct lock_wait *waits SELDOM_USED;
static struct lock_table *bucket[BUCKETS] SELDOM_USED;
static uint32_t tables;

/* What two open files of the same thing have in common. */
static const void *key_of(const struct file *file)
{
	return file->inode ? (const void *)file->inode : file->private ? file->private : (const void *)file;
}

static struct lock_table **table_link(const void *key)
{
	struct lock_table **link = &bucket[(uint64_t)key / 64 % BUCKETS];

	while (*link && (*link)->key != key)
		link = &(*link)->next;
	return link;
}

static struct lock_table *table_make(const struct file *file)
{
	struct lock_table **link = table_link(key_of(file));

	if (!*link && (*link = kzalloc(sizeof(**link)))) {
		(*link)->key = key_of(file);
		tables++;
	}
	return *link;
}

static void table_drop_if_idle(struct lock_table *table)
{
	if (table->locks || table->waiting)
		return;
	*table_link(table->key) = table->next;
	kfree(table);
	tables--;
}

static bool overlaps(const struct lock *a, const struct lock *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static struct lock *find_conflict(const struct lock_table *table, const struct lock *wanted)
{
	struct lock *lock = table->locks;

	while (lock && (lock->whole != wanted->whole || lock->owner == wanted->owner || !overlaps(lock, wanted) ||
			!(lock->exclusive || wanted->exclusive)))
		lock = lock->next;
	return lock;
}

static void insert(struct lock_table *table, struct lock *lock)
{
	struct lock **link = &table->locks;

	while (*link && (*link)->first < lock->first)
		link = &(*link)->next;
	lock->next = *link;
	*link = lock;
}

static void remove(struct lock **link)
{
	struct lock *lock = *link;

	*link = lock->next;
	kfree(lock);
}

/*
 * Takes the range out of what its owner holds already: locks are cut, or with spare in two. Afterwards the owner has
 * nothing there. Spare is used up (NULL) or left.
 */
static void carve(struct lock_table *table, const struct lock *range, struct lock **spare)
{
	struct lock **link = &table->locks, *lock, *tail = NULL;

	while ((lock = *link)) {
		if (lock->whole != range->whole || lock->owner != range->owner || !overlaps(lock, range)) {
			link = &lock->next;
		} else if (lock->first < range->first) {
			if (lock->last > range->last) {
				tail = *spare;
				*tail = *lock;
				tail->first = range->last + 1;
			}
			lock->last = range->first - 1;
			link = &lock->next;
		} else if (lock->last > range->last) { /* starts later now: its place in the order changes */
			*link = lock->next;
			lock->first = range->last + 1;
			insert(table, lock);
		} else {
			remove(link);
		}
	}
	if (tail) {
		*spare = NULL;
		insert(table, tail);
	}
}

/* Joins the owner's locks of this kind that touch the new one to it, so that the list shows what is held, not how it came. */
static void join_neighbours(struct lock_table *table, struct lock *lock)
{
	struct lock **link = &table->locks, *other;

	while ((other = *link)) {
		bool touches = other->last < TO_THE_END && other->last + 1 == lock->first;

		touches |= lock->last < TO_THE_END && lock->last + 1 == other->first;
		if (other == lock || other->whole != lock->whole || other->owner != lock->owner || other->exclusive != lock->exclusive || !touches) {
			link = &other->next;
			continue;
		}
		lock->first = MIN(lock->first, other->first);
		lock->last = MAX(lock->last, other->last);
		remove(link);
	}
}

/* Takes the lock or, with release, gives the range back: 0, -EAGAIN, or -ENOLCK: no memory. */
static int apply(struct lock_table *table, const struct lock *wanted, bool release)
{
	struct lock *lock, *spare;

	if (!release && find_conflict(table, wanted))
		return -EAGAIN;
	lock = release ? NULL : kmalloc(sizeof(*lock));
	spare = kmalloc(sizeof(*spare));
	if (!spare || (!lock && !release)) {
		kfree(lock);
		kfree(spare);
		return -ENOLCK;
	}
	carve(table, wanted, &spare);
	if (lock) {
		*lock = *wanted;
		insert(table, lock);
		join_neighbours(table, lock);
	}
	kfree(spare);
	wake_all(&table->released, 0); /* a lock that became shared lets others in, too */
	return 0;
}

/* Does the one who holds what is wanted wait, perhaps by others, for the one who wants it? Of processes only: open files have no single holder. */
static bool is_deadlock(const struct lock_table *table, const struct lock *wanted)
{
	const struct lock *held = find_conflict(table, wanted);

	for (int steps = 0; held && held->pid && wanted->pid && steps < DEADLOCK_STEPS; steps++) {
		const struct lock_wait *wait = waits;

		if (held->owner == wanted->owner)
			return true;
		while (wait && wait->wanted->owner != held->owner)
			wait = wait->next;
		held = wait ? find_conflict(wait->table, wait->wanted) : NULL;
	}
	return held && held->pid && held->owner == wanted->owner;
}

static int wait_for_release(struct lock_table *table, const struct lock *wanted)
{
	struct lock_wait wait = { .next = waits, .table = table, .wanted = wanted }, **at = &waits;

	if (is_deadlock(table, wanted))
		return -EDEADLK;
	waits = &wait;
	int r = wait_on(&table->released, 0);

	while (*at != &wait)
		at = &(*at)->next;
	*at = wait.next;
	return r == -EINTR ? -ERESTARTSYS : r;
}

/* The same where others see it. The process is the owner that closing a descriptor speaks of. */
static int apply_elsewhere(struct file *file, const struct lock *wanted, bool release)
{
	uint64_t owner = wanted->pid ? (uint64_t)wanted->pid : (uint64_t)wanted->owner;
	int type = release ? F_UNLCK : wanted->exclusive ? F_WRLCK : F_RDLCK;

	return file->ops->lock ? file->ops->lock(file, owner, wanted->whole, type, wanted->first, wanted->last) : 0;
}

/* Nobody says when somebody else's lock is free: it is tried again, less and less often. */
static int lock_elsewhere(struct file *file, const struct lock *wanted, bool release, bool wait)
{
	static struct waitq nobody;
	uint64_t pause = LOOK_FIRST;
	int err;

	while ((err = apply_elsewhere(file, wanted, release)) == -EAGAIN && wait && !release) {
		int r = wait_on(&nobody, clock_monotonic() + pause);

		if (r != -ETIMEDOUT && r)
			return r == -EINTR ? -ERESTARTSYS : r;
		pause = MIN(2 * pause, LOOK_LAST);
	}
	return err;
}

static int lock_here(const struct file *file, const struct lock *wanted, bool release, bool wait)
{
	struct lock_table *table = release ? *table_link(key_of(file)) : table_make(file);
	int err;

	if (!table)
		return release ? 0 : -ENOLCK;
	table->waiting++;
	while ((err = apply(table, wanted, release)) == -EAGAIN && wait) {
		int r = wait_for_release(table, wanted);

		if (r) {
			err = r;
			break;
		}
	}
	table->waiting--;
	table_drop_if_idle(table);
	return err;
}

/* Who cannot have it elsewhere does not have it here. */
static int lock_or_wait(struct file *file, const struct lock *wanted, bool release, bool wait)
{
	int err = lock_here(file, wanted, release, wait);

	if (!err && file->ops->lock && (err = lock_elsewhere(file, wanted, release, wait)))
		lock_here(file, wanted, true, false);
	return err;
}

/* ---- when files are closed ---- */

static void release_of(const struct file *file, const void *owner)
{
	struct lock_table *table = tables ? *table_link(key_of(file)) : NULL;
	struct lock **link;
	bool any = false;

	if (!table)
		return;
	for (link = &table->locks; *link;) {
		if ((*link)->owner != owner) {
			link = &(*link)->next;
			continue;
		}
		remove(link);
		any = true;
	}
	if (any)
		wake_all(&table->released, 0);
	table_drop_if_idle(table);
}

void locks_descriptor_closed(const struct file *file, const struct fd_table *table)
{
	if (!(file->flags & O_PATH))
		release_of(file, table);
}

void locks_file_closed(const struct file *file)
{
	release_of(file, file);
}

/* ---- flock(2) ---- */

/*
 * A lock of the other kind that this file holds is given back first: so two that both hold it shared and both want it
 * alone do not wait for each other for ever; but who then may not wait has lost it (as flock(2) says).
 */
static int flock_change(struct file *file, const struct lock *wanted, bool release, bool wait)
{
	struct lock_table *table = tables ? *table_link(key_of(file)) : NULL;
	struct lock **link = table ? &table->locks : NULL;

	while (link && *link && !((*link)->whole && (*link)->owner == file))
		link = &(*link)->next;
	bool had = link && *link;

	if (had) {
		if (!release && (*link)->exclusive == wanted->exclusive)
			return 0;
		remove(link);
		wake_all(&table->released, 0);
		table_drop_if_idle(table);
	}
	if (release)
		return lock_elsewhere(file, wanted, true, false);
	int err = lock_or_wait(file, wanted, false, wait);

	/* The attempt has cost the lock that there was, also where others see it. */
	if (err && had)
		lock_elsewhere(file, wanted, true, false);
	return err;
}

SYSCALL(flock)
{
	struct file *file;
	struct lock wanted = { .whole = true, .last = TO_THE_END };
	int operation = (int)a[1] & ~LOCK_NB;

	if (operation & LOCK_MAND) /* a request that Linux passes over since 5.19 */
		return 0;
	if (operation != LOCK_SH && operation != LOCK_EX && operation != LOCK_UN)
		return -EINVAL;
	int err = fd_take((int)a[0], &file);

	if (err)
		return err;
	wanted.owner = file;
	wanted.exclusive = operation == LOCK_EX;
	if (file->flags & O_PATH)
		err = -EBADF;
	else
		err = flock_change(file, &wanted, operation == LOCK_UN, !(a[1] & LOCK_NB));
	file_put(file);
	return err;
}

/* ---- fcntl(2) ---- */

static int range_from(const struct file *file, const struct flock *user, struct lock *range)
{
	int64_t base;

	switch (user->l_whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = file->position;
		break;
	case SEEK_END:
		base = file->inode ? (int64_t)file->inode->size : 0;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, user->l_start, &range->first))
		return -EOVERFLOW;
	if (range->first < 0)
		return -EINVAL;
	range->last = TO_THE_END;
	if (user->l_len > 0 && __builtin_add_overflow(range->first, user->l_len - 1, &range->last))
		return -EOVERFLOW;
	if (user->l_len < 0) { /* the bytes before */
		range->last = range->first - 1;
		range->first += user->l_len;
		if (range->first < 0)
			return -EINVAL;
	}
	return 0;
}

static bool is_of_file(int command)
{
	return command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

/* The lock that the program describes; *release: it asks for F_UNLCK. */
static int lock_from(const struct file *file, int command, const struct flock *user, struct lock *lock, bool *release)
{
	int err = range_from(file, user, lock);

	if (err)
		return err;
	if (user->l_type != F_RDLCK && user->l_type != F_WRLCK && user->l_type != F_UNLCK)
		return -EINVAL;
	if (is_of_file(command) && user->l_pid)
		return -EINVAL;
	lock->exclusive = user->l_type == F_WRLCK;
	lock->owner = is_of_file(command) ? (const void *)file : current->process->files;
	lock->pid = is_of_file(command) ? 0 : process_id();
	*release = user->l_type == F_UNLCK;
	return 0;
}

static long lock_get(struct file *file, int command, struct flock *user)
{
	struct lock wanted = { 0 };
	const struct lock *found = NULL;
	const struct lock_table *table = *table_link(key_of(file));
	bool release;
	int err = lock_from(file, command, user, &wanted, &release);

	if (err || release)
		return err ? err : -EINVAL;
	if (table)
		found = find_conflict(table, &wanted);
	if (!found) {
		user->l_type = F_UNLCK;
		return 0;
	}
	*user = (struct flock){ .l_type = found->exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = found->first,
		.l_len = found->last == TO_THE_END ? 0 : found->last - found->first + 1, .l_pid = found->pid ? found->pid : -1 };
	return 0;
}

static long lock_set(int fd, struct file *file, int command, const struct flock *user)
{
	uint32_t mode = file->flags & O_ACCMODE;
	bool wait = command == F_SETLKW || command == F_OFD_SETLKW, release;
	struct lock wanted = { 0 };
	int err = lock_from(file, command, user, &wanted, &release);

	if (err)
		return err;
	if ((user->l_type == F_RDLCK && mode == O_WRONLY) || (user->l_type == F_WRLCK && mode == O_RDONLY))
		return -EBADF;
	err = lock_or_wait(file, &wanted, release, wait);
	if (!err && !release && wanted.pid && fd_get(fd) != file) {
		/* Closed by another thread while this one waited: it would never be given back. */
		release_of(file, wanted.owner);
		err = -EBADF;
	}
	return err;
}

long lock_fcntl(int fd, struct file *file, int command, void *user)
{
	struct flock lock;
	long r;

	if (user_read(&lock, user, sizeof(lock)))
		return -EFAULT;
	file_get(file);
	if (command == F_GETLK || command == F_OFD_GETLK) {
		r = lock_get(file, command, &lock);
		if (!r)
			r = user_write(user, &lock, sizeof(lock));
	} else {
		r = lock_set(fd, file, command, &lock);
	}
	file_put(file);
	return r;
}
