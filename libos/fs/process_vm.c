/* SPDX-License-Identifier: Apache-2.0 */
/* Into other processes: their memory (process_vm_readv(2)), their descriptors (pidfd_getfd(2)), what they share with each other (kcmp(2)). */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/mman.h>

/* By the id of any of its threads. NULL: *err says why not. */
static struct process *open_to_me(int tid, int *err)
{
	const struct thread *thread = tid > 0 ? thread_find(tid) : NULL;
	struct process *process = thread ? thread->process : NULL;

	*err = !process || process->ending ? -ESRCH : process_lets_look(process) ? 0 : -EPERM;
	return *err ? NULL : process;
}

/* ---- memory ---- */

struct place { /* in a vector */
	const struct vectors *v;
	int piece;
	size_t done; /* of that piece */
};

/* Where it goes on, and how many bytes lie there in a row; 0: the end. */
static size_t run_at(struct place *place, uaddr_t *at)
{
	while (place->piece < place->v->count && place->done == place->v->vector[place->piece].iov_len) {
		place->piece++;
		place->done = 0;
	}
	if (place->piece == place->v->count)
		return 0;
	*at = (uaddr_t)place->v->vector[place->piece].iov_base + place->done;
	return place->v->vector[place->piece].iov_len - place->done;
}

static int64_t move_bytes(struct space *other, struct place *here, struct place *there, bool write)
{
	char *bounce = page_alloc(0);
	int64_t done = 0;
	size_t n, moved;
	uaddr_t own, others;

	if (!bounce)
		return -ENOMEM;
	while ((n = MIN(run_at(here, &own), run_at(there, &others)))) {
		n = MIN(n, LV_PAGE - others % LV_PAGE);
		if (write)
			moved = space_write(other, others, bounce, buffer_get(bounce, own, n));
		else
			moved = buffer_put(own, bounce, space_read(other, others, bounce, n));
		here->done += moved;
		there->done += moved;
		done += (int64_t)moved;
		if (moved < n)
			break;
	}
	page_free(bounce, 0);
	return done || !n ? done : -EFAULT;
}

static int64_t process_vm(const long *a, bool write)
{
	struct vectors own, others;
	struct place here = { .v = &own }, there = { .v = &others };
	int64_t r = a[5] ? -EINVAL : vectors_take(&own, (const void *)a[1], (uint64_t)a[2], true);
	uaddr_t at;
	int err;

	if (r)
		return r;
	if (!run_at(&here, &at)) { /* nothing is asked for, of nobody */
		vectors_free(&own);
		return 0;
	}
	r = vectors_take(&others, (const void *)a[3], (uint64_t)a[4], false);
	if (!r) {
		const struct process *process = run_at(&there, &at) ? open_to_me((int)a[0], &err) : NULL;

		struct space *space = process ? space_get(process->space) : NULL; /* it may end while a page is waited for */

		r = space ? move_bytes(space, &here, &there, write) : run_at(&there, &at) ? err : 0;
		space_put(space);
		vectors_free(&others);
	}
	vectors_free(&own);
	return r;
}

SYSCALL(process_vm_readv)
{
	return process_vm(a, false);
}

SYSCALL(process_vm_writev)
{
	return process_vm(a, true);
}

/* What another process' memory will, or will not, be needed for: of which nothing is done, since it is never swapped. */
static int64_t advise(struct space *other, const struct vectors *v, int advice)
{
	struct space *before = space_use(other);
	int64_t done = 0, err = 0;

	for (int i = 0; i < v->count && !err; i++) {
		err = mm_advise((uaddr_t)v->vector[i].iov_base, v->vector[i].iov_len, advice);
		done += err ? 0 : (int64_t)v->vector[i].iov_len;
	}
	space_use(before);
	return done ? done : err;
}

static bool advice_is_for_others(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == MADV_COLLAPSE;
}

SYSCALL(process_madvise)
{
	struct vectors v;
	int64_t err = a[4] ? -EINVAL : vectors_take(&v, (const void *)a[1], (uint64_t)a[2], false);

	if (err)
		return err;
	const struct process *process = pidfd_process((int)a[0]);

	if (!process)
		err = -EBADF;
	else if (process->dead || !process->space)
		err = -ESRCH;
	else if (!advice_is_for_others((int)a[3]))
		err = -EINVAL;
	else if (!process_lets_look(process))
		err = -EACCES;
	else if (!capable(CAP_SYS_NICE))
		err = -EPERM;
	if (!err)
		err = advise(process->space, &v, (int)a[3]);
	vectors_free(&v);
	return err;
}

/* ---- descriptors ---- */

SYSCALL(pidfd_getfd)
{
	const struct process *process = a[2] ? NULL : pidfd_process((int)a[0]);

	if (!process)
		return a[2] ? -EINVAL : -EBADF;
	if (process->ending)
		return -ESRCH;
	if (!process_lets_look(process))
		return -EPERM;
	struct file *file = fd_table_at(process->files, (int)a[1]);

	if (!file)
		return -EBADF;
	file_get(file);
	return fd_install(file, 0, true);
}

/* ---- what two have in common ---- */

static long compare(const void *one, const void *two)
{
	return one == two ? 0 : one < two ? 1 : 2;
}

SYSCALL(kcmp)
{
	int err;
	const struct process *one = open_to_me((int)a[0], &err), *two = one ? open_to_me((int)a[1], &err) : NULL;

	if (!two)
		return err;
	switch ((int)a[2]) {
	case KCMP_FILE: {
		const struct file *first = fd_table_at(one->files, (int)a[3]), *second = fd_table_at(two->files, (int)a[4]);

		return first && second ? compare(first, second) : -EBADF;
	}
	case KCMP_VM:
		return compare(one->space, two->space);
	case KCMP_FILES:
		return compare(one->files, two->files);
	case KCMP_FS:
		return compare(one->where, two->where);
	case KCMP_SIGHAND:
	case KCMP_IO:
	case KCMP_SYSVSEM:
		return compare(one, two); /* never shared by processes */
	case KCMP_EPOLL_TFD:
		return -EOPNOTSUPP;
	}
	return -EINVAL;
}
