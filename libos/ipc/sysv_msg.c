/* SPDX-License-Identifier: Apache-2.0 */
/* System V message queues (msgget(2), msgop(2), msgctl(2)). */
#include "libos/ipc/ipc.h"
#include "libos/ipc/sysv_ids.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/msg.h>

#ifndef MSG_NOERROR
#define MSG_NOERROR 010000
#define MSG_EXCEPT 020000
#define MSG_COPY 040000
#endif

struct message {
	struct message *next;
	long type;
	size_t size;
	char bytes[];
};

struct queue {
	struct sysv sysv;
	struct message *first, **end;
	uint64_t stime, rtime, ctime;
	uint64_t bytes, count, most; /* in it, and bytes that may be */
	int sender, receiver;        /* processes, the last ones */
	struct waitq changed;
};

struct sysv_kind sysv_queues = { .most = IPC_MSG_QUEUES, .last = -1 };

static struct queue *find(int id)
{
	return (struct queue *)sysv_find(&sysv_queues, id);
}

static void queue_free(struct queue *queue)
{
	while (queue->first) {
		struct message *message = queue->first;

		queue->first = message->next;
		kfree(message);
	}
	kfree(queue);
}

static void leave(struct queue *queue)
{
	if (!--queue->sysv.waiting && queue->sysv.removed)
		queue_free(queue);
}

SYSCALL(msgget)
{
	int flags = (int)a[1];
	struct sysv *found;
	int err = sysv_get(&sysv_queues, (int)a[0], flags, &found);

	if (err)
		return err;
	if (found) {
		err = sysv_permission(found, flags);
		return err ? err : found->id;
	}
	struct queue *queue = kzalloc(sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->end = &queue->first;
	queue->most = IPC_MSG_QUEUE_BYTES;
	queue->ctime = sysv_seconds();
	err = sysv_add(&sysv_queues, &queue->sysv, (int)a[0], flags);
	if (!err)
		return queue->sysv.id;
	kfree(queue);
	return err;
}

/* Waits for a change: 0, -EAGAIN or -ENOMSG as the caller says when it must not wait, -EIDRM, or what a signal makes of it. */
static int await(struct queue *queue, int flags, int empty)
{
	if (flags & IPC_NOWAIT)
		return empty;
	int err = wait_on(&queue->changed, 0);

	return queue->sysv.removed ? -EIDRM : err == -EINTR ? -ERESTARTNOHAND : err;
}

static int put(struct queue *queue, struct message *message, int flags)
{
	int err = sysv_permission(&queue->sysv, SYSV_WRITE);

	while (!err && (queue->bytes + message->size > queue->most || queue->count + 1 > queue->most)) {
		err = await(queue, flags, -EAGAIN);
		if (!err)
			err = sysv_permission(&queue->sysv, SYSV_WRITE);
	}
	if (err)
		return err;
	message->next = NULL;
	*queue->end = message;
	queue->end = &message->next;
	queue->bytes += message->size;
	queue->count++;
	queue->stime = sysv_seconds();
	queue->sender = process_id();
	wake_all(&queue->changed, 0);
	return 0;
}

SYSCALL(msgsnd)
{
	uaddr_t from = (uaddr_t)a[1];
	size_t size = (size_t)a[2];
	long type;

	if (user_get(&type, from))
		return -EFAULT;
	if (size > IPC_MSG_BYTES || (int)a[0] < 0 || type < 1)
		return -EINVAL;
	struct message *message = kmalloc(sizeof(*message) + size);

	if (!message)
		return -ENOMEM;
	message->type = type;
	message->size = size;
	int err = user_read(message->bytes, from + sizeof(long), size);
	struct queue *queue = err ? NULL : find((int)a[0]);

	if (!err && !queue)
		err = -EINVAL;
	if (!err) {
		queue->sysv.waiting++;
		err = put(queue, message, (int)a[3]);
		leave(queue);
	}
	if (err)
		kfree(message);
	return err;
}

/* The link to the message that is meant, or NULL. */
static struct message **choose(struct queue *queue, long type, int flags)
{
	struct message **best = NULL;

	if (flags & MSG_COPY) { /* the one at this place */
		struct message **at = &queue->first;

		while (*at && type--)
			at = &(*at)->next;
		return *at ? at : NULL;
	}
	for (struct message **at = &queue->first; *at; at = &(*at)->next) {
		long has = (*at)->type;

		if (type == 0 || (type > 0 && (has == type) != ((flags & MSG_EXCEPT) != 0)))
			return at;
		if (type < 0 && has <= (type == INT64_MIN ? INT64_MAX : -type) && (!best || has < (*best)->type))
			best = at;
	}
	return best;
}

static void take_out(struct queue *queue, struct message **at)
{
	struct message *message = *at;

	*at = message->next;
	if (!*at)
		queue->end = at;
	queue->bytes -= message->size;
	queue->count--;
	queue->rtime = sysv_seconds();
	queue->receiver = process_id();
	wake_all(&queue->changed, 0);
}

static long get(struct queue *queue, uaddr_t to, size_t size, long type, int flags)
{
	struct message **at;
	int err = sysv_permission(&queue->sysv, SYSV_READ);

	while (!err && !(at = choose(queue, type, flags)))
		err = await(queue, flags, -ENOMSG);
	if (err)
		return err;
	struct message *message = *at;
	size_t part = MIN(size, message->size);

	if (part < message->size && !(flags & MSG_NOERROR))
		return -E2BIG;
	if (!(flags & MSG_COPY))
		take_out(queue, at);
	bool failed = user_put(to, message->type) || user_write(to + sizeof(long), message->bytes, part);

	if (!(flags & MSG_COPY))
		kfree(message);
	return failed ? -EFAULT : (long)part;
}

SYSCALL(msgrcv)
{
	int flags = (int)a[4];

	if ((int)a[0] < 0 || a[2] < 0)
		return -EINVAL;
	if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
		return -EINVAL;
	struct queue *queue = find((int)a[0]);

	if (!queue)
		return -EINVAL;
	queue->sysv.waiting++;
	long r = get(queue, (uaddr_t)a[1], (size_t)a[2], a[3], flags);

	leave(queue);
	return r;
}

/* ---- msgctl ---- */

static long queue_stat(const struct queue *queue, uaddr_t to)
{
	struct msqid64_ds ds = { .msg_perm = queue->sysv.perm, .msg_stime = (long)queue->stime, .msg_rtime = (long)queue->rtime,
				 .msg_ctime = (long)queue->ctime, .msg_cbytes = queue->bytes, .msg_qnum = queue->count, .msg_qbytes = queue->most,
				 .msg_lspid = queue->sender, .msg_lrpid = queue->receiver };

	return user_put(to, ds);
}

static long info(bool used, uaddr_t to)
{
	struct msginfo info = { .msgmax = IPC_MSG_BYTES, .msgmnb = IPC_MSG_QUEUE_BYTES, .msgmni = IPC_MSG_QUEUES, .msgssz = 16, .msgseg = 0xffff,
				.msgpool = IPC_MSG_QUEUES * IPC_MSG_QUEUE_BYTES / 1024, .msgmap = IPC_MSG_QUEUE_BYTES, .msgtql = IPC_MSG_QUEUE_BYTES };

	if (used) {
		info.msgpool = (int)sysv_queues.used;
		info.msgmap = info.msgtql = 0;
		for (uint32_t i = 0; i < sysv_queues.slots; i++) {
			const struct queue *queue = (const struct queue *)sysv_queues.slot[i];

			info.msgmap += queue ? (int)queue->count : 0;
			info.msgtql += queue ? (int)queue->bytes : 0;
		}
	}
	return user_put(to, info) ? -EFAULT : sysv_highest(&sysv_queues);
}

static long change(struct queue *queue, int command, uaddr_t user)
{
	struct msqid64_ds ds;

	if (command == IPC_SET && user_get(&ds, user))
		return -EFAULT;
	int err = sysv_owner(&queue->sysv);

	if (err)
		return err;
	if (command == IPC_SET) {
		if (ds.msg_qbytes > IPC_MSG_QUEUE_BYTES && !capable(CAP_SYS_RESOURCE))
			return -EPERM;
		err = sysv_set(&queue->sysv, &ds.msg_perm);
		if (err)
			return err;
		queue->most = ds.msg_qbytes;
		queue->ctime = sysv_seconds();
		wake_all(&queue->changed, 0);
		return 0;
	}
	sysv_remove(&sysv_queues, &queue->sysv);
	wake_all(&queue->changed, 0);
	if (!queue->sysv.waiting)
		queue_free(queue);
	return 0;
}

SYSCALL(msgctl)
{
	int id = (int)a[0], command = (int)a[1] & ~IPC_64, err;
	bool by_slot = command == MSG_STAT || command == MSG_STAT_ANY;

	if (id < 0 || command < 0)
		return -EINVAL;
	if (command == IPC_INFO || command == MSG_INFO)
		return info(command == MSG_INFO, (uaddr_t)a[2]);
	if (!by_slot && command != IPC_STAT && command != IPC_SET && command != IPC_RMID)
		return -EINVAL;
	struct queue *queue = by_slot ? (struct queue *)sysv_find_slot(&sysv_queues, id) : find(id);

	if (!queue)
		return -EINVAL;
	if (command == IPC_SET || command == IPC_RMID)
		return change(queue, command, (uaddr_t)a[2]);
	err = command == MSG_STAT_ANY ? 0 : sysv_permission(&queue->sysv, SYSV_READ);
	return err ? err : queue_stat(queue, (uaddr_t)a[2]) ? -EFAULT : by_slot ? queue->sysv.id : 0;
}

void queue_tell(const struct sysv *object, struct sysv_told *told)
{
	const struct queue *queue = (const struct queue *)object;

	*told = (struct sysv_told){ .size = queue->bytes, .count = queue->count, .first = queue->sender, .last = queue->receiver,
				    .one = queue->stime, .two = queue->rtime, .changed = queue->ctime };
}
