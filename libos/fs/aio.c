/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux' asynchronous I/O (io_setup(2), io_submit(2)). Requests are done when they are submitted, as Linux does them for files that it caches; what
 * came of them lies in the ring that programs may read themselves, which is where Linux has it: at the address that is the context's name.
 */
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/aio_abi.h>

#define MAGIC 0xa10a10a1u

#define AIO_EVENTS_MOST (0x10000000 / sizeof(struct io_event)) /* of one context: more is no number of them */
struct ring { /* the head of the ring, in the program's memory; it may take events away by moving head */
	uint32_t id, size, head, tail;
	uint32_t magic, compatible, incompatible, header;
};

struct aio {
	struct aio *next;
	const struct process *process;
	uint64_t address, bytes;
	uint32_t size, tail, most; /* events of the ring; requests that io_setup asked for */
	struct waitq done;
};

static struct aio *contexts SELDOM_USED;
static uint32_t requests SELDOM_USED; /* that all contexts may have */

static struct aio *find(uint64_t id)
{
	struct aio *aio = contexts;

	while (aio && (aio->address != id || aio->process != current->process))
		aio = aio->next;
	return aio;
}

/* Where the program is with reading; what it says is not trusted further than the ring goes. */
static int head_of(const struct aio *aio, uint32_t *head)
{
	if (user_get(head, aio->address + offsetof(struct ring, head)))
		return -EFAULT;
	*head %= aio->size;
	return 0;
}

static uint32_t waiting(const struct aio *aio, uint32_t head)
{
	return (aio->tail + aio->size - head) % aio->size;
}

SYSCALL(io_setup)
{
	uint32_t most = (uint32_t)a[0], head = sizeof(struct ring);
	uint64_t id;

	if (user_get(&id, a[1]))
		return -EFAULT;
	if (id || !most || most > AIO_EVENTS_MOST)
		return -EINVAL;
	if (most > AIO_MOST - MIN(requests, AIO_MOST))
		return -EAGAIN;
	struct aio *aio = kzalloc(sizeof(*aio));

	if (!aio)
		return -ENOMEM;
	aio->bytes = ALIGN_UP(sizeof(struct ring) + ((uint64_t)MAX(most, 4u) * 2 + 2) * sizeof(struct io_event), LV_PAGE);
	int64_t at = mm_map(0, aio->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0, "/[aio]");
	struct ring ring = { .size = (uint32_t)((aio->bytes - head) / sizeof(struct io_event)), .magic = MAGIC, .compatible = 1, .header = head };

	if (at < 0 || user_put(at, ring) || user_put(a[1], at)) {
		if (at >= 0)
			mm_unmap((uint64_t)at, aio->bytes);
		kfree(aio);
		return at < 0 ? at : -EFAULT;
	}
	aio->process = current->process;
	aio->address = (uint64_t)at;
	aio->size = ring.size;
	aio->most = most;
	aio->next = contexts;
	contexts = aio;
	requests += most;
	return 0;
}

static void context_free(struct aio **link)
{
	struct aio *aio = *link;

	*link = aio->next;
	requests -= aio->most;
	kfree(aio);
}

SYSCALL(io_destroy)
{
	struct aio *aio = find((uint64_t)a[0]), **link = &contexts;

	if (!aio)
		return -EINVAL;
	wake_all(&aio->done, 0);
	mm_unmap(aio->address, aio->bytes);
	while (*link != aio)
		link = &(*link)->next;
	context_free(link);
	return 0;
}

void aio_process_ends(const struct process *process)
{
	for (struct aio **link = &contexts; *link;)
		if ((*link)->process == process)
			context_free(link);
		else
			link = &(*link)->next;
}

/* ---- io_submit ---- */

static int64_t vector_io(const struct iocb *cb, struct file *file, bool read)
{
	int64_t position = cb->aio_offset, done = 0;

	if (cb->aio_nbytes > UIO_MAXIOV)
		return -EINVAL;
	for (uint64_t i = 0; i < cb->aio_nbytes; i++) {
		struct iovec iov;

		if (user_get(&iov, cb->aio_buf + i * sizeof(iov)) || !user_range((uaddr_t)iov.iov_base, iov.iov_len))
			return done ? done : -EFAULT;
		int64_t r = !iov.iov_len ? 0 : read ? file_read(file, (uaddr_t)iov.iov_base, iov.iov_len, &position) :
			file_write(file, (uaddr_t)iov.iov_base, iov.iov_len, &position);

		if (r < 0)
			return done ? done : r;
		done += r;
		if ((size_t)r < iov.iov_len)
			break;
	}
	return done;
}

/* What the request comes to: bytes or -errno as its event tells it; *refused if io_submit itself says so. */
static int64_t perform(const struct iocb *cb, struct file *file, bool *refused)
{
	int64_t position = cb->aio_offset;
	uint32_t mode = file->flags & O_ACCMODE;
	bool read = cb->aio_lio_opcode == IOCB_CMD_PREAD || cb->aio_lio_opcode == IOCB_CMD_PREADV;
	struct waitq *queue = NULL;

	*refused = false;
	switch (cb->aio_lio_opcode) {
	case IOCB_CMD_FSYNC:
	case IOCB_CMD_FDSYNC:
		*refused = !file->inode || cb->aio_buf || cb->aio_offset || cb->aio_nbytes;
		return *refused ? -EINVAL : file->ops->sync ? file->ops->sync(file) : 0;
	case IOCB_CMD_POLL: /* what is ready now; for the rest there are poll(2) and epoll(7) */
		*refused = !file->ops->poll || !(file->ops->poll(file, &queue) & ((uint32_t)cb->aio_buf | EPOLLERR | EPOLLHUP));
		return *refused ? -EINVAL : (int64_t)(file->ops->poll(file, &queue) & ((uint32_t)cb->aio_buf | EPOLLERR | EPOLLHUP));
	case IOCB_CMD_PREAD:
	case IOCB_CMD_PWRITE:
	case IOCB_CMD_PREADV:
	case IOCB_CMD_PWRITEV:
		break;
	default:
		*refused = true;
		return -EINVAL;
	}
	*refused = true;
	if (mode == (read ? O_WRONLY : O_RDONLY))
		return -EBADF;
	if (position < 0 || !(read ? file->ops->read : file->ops->write))
		return -EINVAL;
	if (cb->aio_lio_opcode == IOCB_CMD_PREADV || cb->aio_lio_opcode == IOCB_CMD_PWRITEV) {
		*refused = false;
		return vector_io(cb, file, read);
	}
	if (!user_range(cb->aio_buf, cb->aio_nbytes))
		return -EFAULT;
	*refused = false;
	return read ? file_read(file, cb->aio_buf, cb->aio_nbytes, &position) : file_write(file, cb->aio_buf, cb->aio_nbytes, &position);
}

static int submit(struct aio *aio, uaddr_t user)
{
	struct io_event event = { .obj = user };
	struct file *file, *notify;
	struct iocb cb;
	uint32_t head;
	bool refused;
	uint64_t one = 1;

	if (user_get(&cb, user))
		return -EFAULT;
	if (cb.aio_reserved2 || (cb.aio_flags & ~(uint32_t)(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO)) || (int64_t)cb.aio_nbytes < 0)
		return -EINVAL;
	int err = head_of(aio, &head);

	if (err || waiting(aio, head) >= aio->size - 1)
		return err ? err : -EAGAIN;
	notify = cb.aio_flags & IOCB_FLAG_RESFD ? fd_get((int)cb.aio_resfd) : NULL;
	file = fd_get((int)cb.aio_fildes);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	if ((cb.aio_flags & IOCB_FLAG_RESFD) && (!notify || !notify->ops->kind || strcmp(notify->ops->kind, "eventfd")))
		return notify ? -EINVAL : -EBADF;
	file_get(file);
	if (notify)
		file_get(notify);
	event.res = perform(&cb, file, &refused);
	event.data = cb.aio_data;
	file_put(file);
	if (!refused && find(aio->address) == aio) { /* a disk may have been waited for */
		if (user_put(aio->address + sizeof(struct ring) + aio->tail * sizeof(event), event)) {
			event.res = -EFAULT;
			refused = true;
		}
		aio->tail = (aio->tail + 1) % aio->size;
		user_put(aio->address + offsetof(struct ring, tail), aio->tail);
		if (notify)
			file_write(notify, (uaddr_t)&one, sizeof(one), &(int64_t){ 0 });
		wake_all(&aio->done, 0);
	}
	if (notify)
		file_put(notify);
	return refused ? (int)event.res : 0;
}

SYSCALL(io_submit)
{
	long count = a[1], done = 0;
	int err = 0;

	if (count < 0 || !find((uint64_t)a[0]))
		return -EINVAL;
	for (; done < count && !err; done += !err) {
		struct aio *aio = find((uint64_t)a[0]);
		uint64_t at;

		err = !aio ? -EINVAL : user_get(&at, a[2] + done * (long)sizeof(at)) ? -EFAULT : submit(aio, at);
	}
	return done ? done : err;
}

/* ---- io_getevents ---- */

static long take(struct aio *aio, uaddr_t to, long most)
{
	uint32_t head;
	long taken = 0;

	if (head_of(aio, &head))
		return -EFAULT;
	for (; taken < most && waiting(aio, head); taken++) {
		struct io_event event;

		if (user_get(&event, aio->address + sizeof(struct ring) + head * sizeof(event)) || user_put(to + (uint64_t)taken * sizeof(event), event))
			return taken ? taken : -EFAULT;
		head = (head + 1) % aio->size;
		if (user_put(aio->address + offsetof(struct ring, head), head))
			return -EFAULT;
	}
	return taken;
}

static long get_events(const long *a)
{
	uint64_t ns = 0, deadline = 0, id = (uint64_t)a[0];
	long least = a[1], most = a[2], taken = 0;

	if (a[4]) {
		int err = user_read_time((const void *)a[4], &ns);

		if (err)
			return err;
		deadline = deadline_after(clock_monotonic(), ns);
	}
	if (!find(id) || least < 0 || most < 0 || least > most)
		return -EINVAL;
	while (true) {
		struct aio *aio = find(id);
		long r = aio ? take(aio, (uaddr_t)a[3] + (uint64_t)taken * sizeof(struct io_event), most - taken) : 0;

		if (r < 0)
			return taken ? taken : r;
		taken += r;
		if (taken >= least || !aio)
			return taken;
		int err = wait_on(&aio->done, deadline);
		if (err)
			return err == -ETIMEDOUT || taken ? taken : -EINTR;
	}
}

SYSCALL(io_getevents)
{
	return get_events(a);
}

SYSCALL(io_pgetevents)
{
	struct { uint64_t mask, size; } set = { 0 };

	if (a[5] && user_get(&set, a[5]))
		return -EFAULT;
	int err = set.mask ? signal_mask_from(set.mask, set.size) : 0;
	return err ? err : get_events(a);
}

/* What could be cancelled is done already. */
SYSCALL(io_cancel)
{
	uint32_t key;

	if (user_get(&key, a[1] + (long)offsetof(struct iocb, aio_key)))
		return -EFAULT;
	return -EINVAL;
}
