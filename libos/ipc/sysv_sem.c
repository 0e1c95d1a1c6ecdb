/* SPDX-License-Identifier: Apache-2.0 */
/* System V semaphores (semget(2), semop(2), semctl(2)). */
#include "libos/ipc/ipc.h"
#include "libos/ipc/sysv_ids.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/sem.h>

#define VALUE_MOST 32767

struct semaphore {
	int16_t value;
	int pid; /* of the last operation */
};

struct undo { /* what a process has to give back */
	struct undo *next;
	int pid;
	int16_t adjust[]; /* for each semaphore */
};

struct blocked { /* a thread that waits, on its stack */
	struct blocked *next;
	uint16_t semaphore;
	bool for_zero;
};

struct set {
	struct sysv sysv;
	uint32_t count;
	uint64_t otime, ctime;
	struct undo *undos;
	struct blocked *blocked;
	struct waitq changed;
	struct semaphore semaphore[];
};

struct sysv_kind sysv_sets = { .most = IPC_SEM_SETS, .last = -1 };

static void set_free(struct set *set)
{
	while (set->undos) {
		struct undo *undo = set->undos;

		set->undos = undo->next;
		kfree(undo);
	}
	kfree(set);
}

static struct set *find(int id)
{
	return (struct set *)sysv_find(&sysv_sets, id);
}

SYSCALL(semget)
{
	int key = (int)a[0], count = (int)a[1], flags = (int)a[2], err;
	struct sysv *found;

	if (count < 0 || count > (int)IPC_SEM_IN_SET)
		return -EINVAL;
	err = sysv_get(&sysv_sets, key, flags, &found);
	if (err)
		return err;
	if (found) {
		if (count > (int)((struct set *)found)->count)
			return -EINVAL;
		err = sysv_permission(found, flags);
		return err ? err : found->id;
	}
	if (!count)
		return -EINVAL;
	struct set *set = kzalloc(sizeof(*set) + (size_t)count * sizeof(set->semaphore[0]));

	if (!set)
		return -ENOMEM;
	set->count = (uint32_t)count;
	set->ctime = sysv_seconds();
	err = sysv_add(&sysv_sets, &set->sysv, key, flags);
	if (!err)
		return set->sysv.id;
	kfree(set);
	return err;
}

/* ---- semop ---- */

static struct undo *undo_of(struct set *set, int pid)
{
	struct undo *undo = set->undos;

	while (undo && undo->pid != pid)
		undo = undo->next;
	return undo;
}

static struct undo *undo_make(struct set *set, int pid)
{
	struct undo *undo = undo_of(set, pid);

	if (undo)
		return undo;
	undo = kzalloc(sizeof(*undo) + set->count * sizeof(undo->adjust[0]));
	if (undo) {
		undo->pid = pid;
		undo->next = set->undos;
		set->undos = undo;
	}
	return undo;
}

/* The first n operations the other way round. */
static void roll_back(struct set *set, const struct sembuf *ops, uint32_t n, struct undo *undo)
{
	while (n--) {
		set->semaphore[ops[n].sem_num].value = (int16_t)(set->semaphore[ops[n].sem_num].value - ops[n].sem_op);
		if (ops[n].sem_flg & SEM_UNDO)
			undo->adjust[ops[n].sem_num] = (int16_t)(undo->adjust[ops[n].sem_num] + ops[n].sem_op);
	}
}

/* All of them or none: 0, -ERANGE, or 1 and which one has to wait. */
static int perform(struct set *set, const struct sembuf *ops, uint32_t count, struct undo *undo, uint32_t *which)
{
	for (uint32_t i = 0; i < count; i++) {
		struct semaphore *semaphore = &set->semaphore[ops[i].sem_num];
		int value = semaphore->value + ops[i].sem_op, adjust = undo ? undo->adjust[ops[i].sem_num] - ops[i].sem_op : 0;

		if (value > VALUE_MOST || ((ops[i].sem_flg & SEM_UNDO) && (adjust > VALUE_MOST || adjust < -VALUE_MOST - 1))) {
			roll_back(set, ops, i, undo);
			return -ERANGE;
		}
		if (value < 0 || (!ops[i].sem_op && semaphore->value)) {
			roll_back(set, ops, i, undo);
			*which = i;
			return 1;
		}
		semaphore->value = (int16_t)value;
		if (ops[i].sem_flg & SEM_UNDO)
			undo->adjust[ops[i].sem_num] = (int16_t)adjust;
	}
	for (uint32_t i = 0; i < count; i++)
		set->semaphore[ops[i].sem_num].pid = process_id();
	set->otime = sysv_seconds();
	return 0;
}

static int wait_blocked(struct set *set, const struct sembuf *op, uint64_t deadline)
{
	struct blocked blocked = { .next = set->blocked, .semaphore = op->sem_num, .for_zero = !op->sem_op };
	struct blocked **at = &set->blocked;

	set->blocked = &blocked;
	int err = wait_on(&set->changed, deadline);

	while (*at != &blocked)
		at = &(*at)->next;
	*at = blocked.next;
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

static int operate(struct set *set, const struct sembuf *ops, uint32_t count, uint64_t deadline)
{
	bool alter = false, undoes = false;
	int r = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (ops[i].sem_num >= set->count)
			return -EFBIG;
		alter |= ops[i].sem_op != 0;
		undoes |= (ops[i].sem_flg & SEM_UNDO) != 0;
	}
	r = sysv_permission(&set->sysv, alter ? SYSV_WRITE : SYSV_READ);
	if (r)
		return r;
	while (true) {
		struct undo *undo = undoes ? undo_make(set, process_id()) : NULL;
		uint32_t which;

		if (undoes && !undo)
			return -ENOMEM;
		r = perform(set, ops, count, undo, &which);
		if (r == 0 && alter)
			wake_all(&set->changed, 0);
		if (r <= 0)
			return r;
		r = ops[which].sem_flg & IPC_NOWAIT ? -EAGAIN : wait_blocked(set, &ops[which], deadline);
		if (set->sysv.removed)
			return -EIDRM;
		if (r)
			return r;
	}
}

static long semop(int id, uaddr_t user, size_t count, uint64_t deadline)
{
	struct sembuf few[8], *ops = few;

	if (count < 1 || id < 0)
		return -EINVAL;
	if (count > IPC_SEM_OPS)
		return -E2BIG;
	if (count > ARRAY_SIZE(few) && !(ops = kmalloc(count * sizeof(*ops))))
		return -ENOMEM;
	long r = user_read(ops, user, count * sizeof(*ops));
	struct set *set = r ? NULL : find(id);

	if (set) {
		set->sysv.waiting++;
		r = operate(set, ops, (uint32_t)count, deadline);
		if (!--set->sysv.waiting && set->sysv.removed)
			set_free(set);
	} else if (!r) {
		r = -EINVAL;
	}
	if (ops != few)
		kfree(ops);
	return r;
}

SYSCALL(semop)
{
	return semop((int)a[0], (uaddr_t)a[1], (size_t)a[2], 0);
}

SYSCALL(semtimedop)
{
	uint64_t ns = 0;
	int err = a[3] ? user_read_time((const void *)a[3], &ns) : 0;

	return err ? err : semop((int)a[0], (uaddr_t)a[1], (size_t)a[2], a[3] ? deadline_after(clock_monotonic(), ns) : 0);
}

void sem_process_ends(int pid)
{
	for (uint32_t at = 0; at < sysv_sets.slots; at++) {
		struct set *set = (struct set *)sysv_sets.slot[at];
		struct undo *undo = set ? undo_of(set, pid) : NULL;

		if (!undo)
			continue;
		for (uint32_t i = 0; i < set->count; i++) {
			int value = set->semaphore[i].value + undo->adjust[i];

			if (undo->adjust[i])
				set->semaphore[i].pid = pid;
			set->semaphore[i].value = (int16_t)MAX(0, MIN(value, VALUE_MOST));
		}
		for (struct undo **link = &set->undos; *link; link = &(*link)->next) {
			if (*link != undo)
				continue;
			*link = undo->next;
			break;
		}
		kfree(undo);
		wake_all(&set->changed, 0);
	}
}

/* ---- semctl ---- */

static long set_stat(const struct set *set, uaddr_t to)
{
	struct semid64_ds ds = { .sem_perm = set->sysv.perm, .sem_otime = (long)set->otime, .sem_ctime = (long)set->ctime, .sem_nsems = set->count };

	return user_put(to, ds);
}

static long info(bool used, uaddr_t to)
{
	struct seminfo info = { .semmap = 1024000000, .semmni = IPC_SEM_SETS, .semmns = 1024000000, .semmnu = 1024000000, .semmsl = IPC_SEM_IN_SET,
				.semopm = IPC_SEM_OPS, .semume = IPC_SEM_OPS, .semusz = 20, .semvmx = VALUE_MOST, .semaem = VALUE_MOST };

	if (used) {
		info.semusz = (int)sysv_sets.used;
		info.semaem = 0;
		for (uint32_t i = 0; i < sysv_sets.slots; i++)
			info.semaem += sysv_sets.slot[i] ? (int)((struct set *)sysv_sets.slot[i])->count : 0;
	}
	return user_put(to, info) ? -EFAULT : sysv_highest(&sysv_sets);
}

static long count_blocked(const struct set *set, uint16_t which, bool for_zero)
{
	long count = 0;

	for (const struct blocked *blocked = set->blocked; blocked; blocked = blocked->next)
		count += blocked->semaphore == which && blocked->for_zero == for_zero;
	return count;
}

/* Values that are set have no history: nobody undoes anything of it. */
static void forget_undo(struct set *set, uint32_t which)
{
	for (struct undo *undo = set->undos; undo; undo = undo->next)
		undo->adjust[which] = 0;
	set->semaphore[which].pid = process_id();
	set->ctime = sysv_seconds();
}

static long all_values(struct set *set, uaddr_t user, bool write)
{
	uint16_t value;

	for (uint32_t pass = 0; pass < 2; pass++) { /* all are looked at before the first is set */
		for (uint32_t i = 0; i < set->count; i++) {
			value = (uint16_t)set->semaphore[i].value;
			if (write ? user_get(&value, user + i * 2) : user_put(user + i * 2, value))
				return -EFAULT;
			if (write && value > VALUE_MOST)
				return -ERANGE;
			if (!write || !pass)
				continue;
			set->semaphore[i].value = (int16_t)value;
			forget_undo(set, i);
		}
	}
	if (write)
		wake_all(&set->changed, 0);
	return 0;
}

static long one_value(struct set *set, uint32_t which, int value)
{
	if (value < 0 || value > VALUE_MOST)
		return -ERANGE;
	set->semaphore[which].value = (int16_t)value;
	forget_undo(set, which);
	wake_all(&set->changed, 0);
	return 0;
}

static long change(struct set *set, int command, uaddr_t user)
{
	struct semid64_ds ds;
	int err = 0;

	if (command == IPC_SET && user_get(&ds, user))
		return -EFAULT;
	err = sysv_owner(&set->sysv);
	if (err)
		return err;
	if (command == IPC_SET) {
		err = sysv_set(&set->sysv, &ds.sem_perm);
		set->ctime = err ? set->ctime : sysv_seconds();
		return err;
	}
	sysv_remove(&sysv_sets, &set->sysv);
	wake_all(&set->changed, 0);
	if (!set->sysv.waiting)
		set_free(set);
	return 0;
}

static long of_set(struct set *set, int which, int command, unsigned long arg)
{
	bool writes = command == SETVAL || command == SETALL;
	int err = sysv_permission(&set->sysv, writes ? SYSV_WRITE : SYSV_READ);

	if (err)
		return err;
	if (command == GETALL || command == SETALL)
		return all_values(set, arg, writes);
	if (command == IPC_STAT)
		return set_stat(set, arg);
	if (which < 0 || which >= (int)set->count)
		return -EINVAL;
	switch (command) {
	case GETVAL:
		return set->semaphore[which].value;
	case GETPID:
		return set->semaphore[which].pid;
	case GETNCNT:
	case GETZCNT:
		return count_blocked(set, (uint16_t)which, command == GETZCNT);
	}
	return one_value(set, (uint32_t)which, (int)arg);
}

SYSCALL(semctl)
{
	int id = (int)a[0], command = (int)a[2] & ~IPC_64;
	struct set *set;
	int err;

	if (id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
	case SEM_INFO:
		return info(command == SEM_INFO, (uaddr_t)a[3]);
	case SEM_STAT:
	case SEM_STAT_ANY:
		set = (struct set *)sysv_find_slot(&sysv_sets, id);
		err = !set ? -EINVAL : command == SEM_STAT ? sysv_permission(&set->sysv, SYSV_READ) : 0;
		return err ? err : set_stat(set, (uaddr_t)a[3]) ? -EFAULT : set->sysv.id;
	case IPC_SET:
	case IPC_RMID:
		set = find(id);
		return set ? change(set, command, (uaddr_t)a[3]) : -EINVAL;
	case IPC_STAT:
	case GETALL:
	case SETALL:
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
	case SETVAL:
		set = find(id);
		return set ? of_set(set, (int)a[1], command, (unsigned long)a[3]) : -EINVAL;
	}
	return -EINVAL;
}

void set_tell(const struct sysv *object, struct sysv_told *told)
{
	const struct set *set = (const struct set *)object;

	*told = (struct sysv_told){ .size = set->count, .one = set->otime, .changed = set->ctime };
}
