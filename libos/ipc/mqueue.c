/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues (mq_overview(7)). A descriptor of one is a file; the queue lives while it has a name or is open. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/ipc/ipc.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

#include <linux/mqueue.h>

#define PRIORITIES 32768
#define PRIVILEGED_MESSAGES 65536
#define PRIVILEGED_BYTES (16 << 20)
#define SIGEV_SIGNAL_ 0
#define SIGEV_NONE_ 1
#define SIGEV_THREAD_ 2
#define COOKIE 32 /* what C libraries have sent back to them by netlink, with its last byte saying why */
#define COOKIE_WOKEN 1
#define COOKIE_REMOVED 2

struct message {
	struct message *next;
	size_t size;
	uint32_t priority;
	char bytes[];
};

struct notify { /* one process is told when a message comes to an empty queue for which nobody waits */
	const struct file *by; /* NULL: nobody asked */
	int how, signal, pid;
	uint64_t value;
	struct file *netlink;
	char cookie[COOKIE];
};

struct queue {
	struct queue *next; /* of those that have a name */
	char *name;         /* NULL: it was unlinked */
	uint32_t open;
	uint32_t mode, uid, gid;
	long most, size, count; /* messages that may be, bytes of each, messages that are */
	uint64_t ino, made, charged;
	struct message *first; /* the highest priority, of those the oldest */
	int receivers;         /* that wait */
	struct waitq readable, writable;
	struct notify notify;
};

static struct queue *queues SELDOM_USED;
static uint32_t queue_count SELDOM_USED;
static uint64_t charged SELDOM_USED; /* bytes of all, for RLIMIT_MSGQUEUE */

static void queue_free(struct queue *queue)
{
	if (queue->name || queue->open)
		return;
	while (queue->first) {
		struct message *message = queue->first;

		queue->first = message->next;
		kfree(message);
	}
	charged -= queue->charged;
	queue_count--;
	kfree(queue);
}

/* ---- notification ---- */

static void notify_end(struct queue *queue, int why)
{
	struct notify *notify = &queue->notify;

	if (notify->netlink) {
		notify->cookie[COOKIE - 1] = (char)why;
		netlink_note(notify->netlink, notify->cookie, COOKIE);
		file_put(notify->netlink);
	}
	*notify = (struct notify){ 0 };
}

static void tell(struct queue *queue)
{
	const struct notify *notify = &queue->notify;
	struct siginfo_k info = { .code = SI_MESGQ, .kill = { .pid = process_id(), .uid = credentials()->uid, .value = notify->value } };

	if (!notify->by || queue->count != 1 || queue->receivers)
		return;
	struct process *process = process_find(notify->pid);

	if (notify->how == SIGEV_SIGNAL_ && notify->signal && process)
		signal_send_process(process, notify->signal, &info);
	notify_end(queue, COOKIE_WOKEN);
}

/* ---- as a file ---- */

static uint32_t queue_poll(struct file *file, struct waitq **wait)
{
	struct queue *queue = file->private;

	*wait = (file->flags & O_ACCMODE) == O_WRONLY ? &queue->writable : &queue->readable;
	return (queue->count ? EPOLLIN | EPOLLRDNORM : 0) | (queue->count < queue->most ? EPOLLOUT | EPOLLWRNORM : 0);
}

static int queue_stat(struct file *file, struct stat *st)
{
	const struct queue *queue = file->private;

	*st = (struct stat){ .st_dev = LINUX_DEV(0, 18), .st_ino = queue->ino, .st_nlink = queue->name ? 1 : 0, .st_mode = S_IFREG | queue->mode,
			     .st_uid = queue->uid, .st_gid = queue->gid, .st_size = 80, .st_blksize = 4096 };
	st->st_atime = st->st_mtime = st->st_ctime = queue->made / NS_PER_S;
	return 0;
}

static int64_t queue_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	const struct queue *queue = file->private;
	const struct notify *notify = &queue->notify;
	char text[80];
	uint64_t bytes = 0;

	for (const struct message *message = queue->first; message; message = message->next)
		bytes += message->size;
	size_t len = (size_t)snprintf(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", bytes, notify->by ? notify->how : 0,
				      notify->by && notify->how == SIGEV_SIGNAL_ ? notify->signal : 0, notify->pid);
	size_t at = MIN((size_t)*position, len), done = buffer_put(to, text + at, MIN(n, len - at));

	*position += (int64_t)done;
	return done || at == len || !n ? (int64_t)done : -EFAULT;
}

static int64_t queue_seek(struct file *file, int64_t offset, int whence)
{
	offset += whence == SEEK_CUR ? file->position : whence == SEEK_END ? 80 : 0;
	return whence > SEEK_END || offset < 0 ? -EINVAL : (file->position = offset);
}

/* Whoever asked to be told, and closes a descriptor of the queue, is not told any more, whichever descriptor it was. */
static int queue_flush(struct file *file)
{
	struct queue *queue = file->private;

	if (queue->notify.by && queue->notify.pid == process_id())
		notify_end(queue, COOKIE_REMOVED);
	return 0;
}

static void queue_release(struct file *file)
{
	struct queue *queue = file->private;

	if (queue->notify.by == file)
		notify_end(queue, COOKIE_REMOVED);
	queue->open--;
	queue_free(queue);
}

static const struct file_ops queue_ops = { .kind = "mqueue", .read = queue_read, .seek = queue_seek, .poll = queue_poll, .stat = queue_stat,
	.flush = queue_flush, .release = queue_release };

/* ---- names ---- */

static struct queue **find(const char *name)
{
	struct queue **at = &queues;

	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	return at;
}

static int read_name(char *name, size_t size, uaddr_t from)
{
	int64_t len = user_string(name, from, size);

	if (len <= 0)
		return len ? (int)len : -ENOENT;
	return strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ? -EACCES : 0;
}

static int permission(const struct queue *queue, uint32_t flags)
{
	static const uint32_t wanted[4] = { LINUX_R_OK, LINUX_W_OK, LINUX_R_OK | LINUX_W_OK, 0 };
	const struct credentials *ids = credentials();
	uint32_t granted = ids->fsuid == queue->uid ? queue->mode >> 6 : in_group(queue->gid) ? queue->mode >> 3 : queue->mode;

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	return !(wanted[flags & O_ACCMODE] & ~granted) || capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
}

static int check_attributes(const struct mq_attr *attr)
{
	bool more = capable(CAP_SYS_RESOURCE);

	if (attr->mq_maxmsg <= 0 || attr->mq_msgsize <= 0)
		return -EINVAL;
	return attr->mq_maxmsg > (more ? PRIVILEGED_MESSAGES : IPC_MQ_MESSAGES) || attr->mq_msgsize > (more ? PRIVILEGED_BYTES : IPC_MQ_BYTES) ? -EINVAL : 0;
}

static int queue_new(const char *name, uint32_t mode, const struct mq_attr *attr, struct queue **made)
{
	static uint64_t last_ino;
	uint64_t cost = (uint64_t)attr->mq_maxmsg * (uint64_t)attr->mq_msgsize + (uint64_t)MIN(attr->mq_maxmsg, PRIORITIES) * 48 + (uint64_t)attr->mq_maxmsg * 8;

	if (queue_count >= IPC_MQ_QUEUES && !capable(CAP_SYS_RESOURCE))
		return -ENOSPC;
	if (charged + cost > process_limit(RLIMIT_MSGQUEUE))
		return -EMFILE;
	struct queue *queue = kzalloc(sizeof(*queue));
	char *copy = queue ? kstrdup(name) : NULL;

	if (!copy) {
		kfree(queue);
		return -ENOMEM;
	}
	*queue = (struct queue){ .next = queues, .name = copy, .mode = mode & 07777 & ~path_umask(), .uid = credentials()->fsuid, .gid = credentials()->fsgid,
				 .most = attr->mq_maxmsg, .size = attr->mq_msgsize, .ino = ++last_ino, .made = clock_realtime(), .charged = cost };
	queues = queue;
	queue_count++;
	charged += cost;
	*made = queue;
	return 0;
}

SYSCALL(mq_open)
{
	struct mq_attr attr = { .mq_maxmsg = IPC_MQ_MESSAGES, .mq_msgsize = IPC_MQ_BYTES };
	uint32_t flags = (uint32_t)a[1];
	char name[256];

	if (a[3] && user_get(&attr, a[3]))
		return -EFAULT;
	int err = read_name(name, sizeof(name), (uaddr_t)a[0]);
	struct queue *queue = err ? NULL : *find(name);

	if (!err && queue)
		err = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? -EEXIST : permission(queue, flags);
	else if (!err)
		err = !(flags & O_CREAT) ? -ENOENT : a[3] && check_attributes(&attr) ? -EINVAL : queue_new(name, (uint32_t)a[2], &attr, &queue);
	if (err)
		return err;
	struct file *file = file_new(&queue_ops, flags & (O_ACCMODE | O_NONBLOCK), queue);

	if (!file)
		return -ENOMEM;
	queue->open++;
	return fd_install(file, 0, true);
}

SYSCALL(mq_unlink)
{
	char name[256];
	int err = read_name(name, sizeof(name), (uaddr_t)a[0]);
	struct queue **at = err ? NULL : find(name);

	if (err || !*at)
		return err ? err : -ENOENT;
	struct queue *queue = *at;

	if (credentials()->fsuid != queue->uid && !capable(CAP_FOWNER)) /* the directory is sticky */
		return -EPERM;
	*at = queue->next;
	kfree(queue->name);
	queue->name = NULL;
	queue_free(queue);
	return 0;
}

/* ---- sending and receiving ---- */

/* The queue behind a descriptor that is open for this, and a reference to its file. */
static int take(long fd, uint32_t not, struct file **file, struct queue **queue)
{
	*file = fd_get((int)fd);
	if (!*file || (*file)->ops != &queue_ops || ((*file)->flags & O_ACCMODE) == not)
		return -EBADF;
	file_get(*file);
	*queue = (*file)->private;
	return 0;
}

/* The absolute time of a call as a deadline; 0: none, 1: it has passed. */
static int read_deadline(long user, uint64_t *deadline)
{
	uint64_t ns = 0, now = clock_realtime();
	int err = user ? user_read_time((const void *)user, &ns) : 0;

	*deadline = !user ? 0 : ns <= now ? 1 : deadline_after(clock_monotonic(), ns - now);
	return err;
}

static int await(struct file *file, struct waitq *queue, uint64_t deadline)
{
	if (file->flags & O_NONBLOCK)
		return -EAGAIN;
	int err = wait_on(queue, deadline);

	return err == -EINTR ? -ERESTARTSYS : err;
}

static void insert(struct queue *queue, struct message *message)
{
	struct message **at = &queue->first;

	while (*at && (*at)->priority >= message->priority)
		at = &(*at)->next;
	message->next = *at;
	*at = message;
	queue->count++;
}

static int send(struct file *file, struct queue *queue, uaddr_t from, size_t size, uint32_t priority, uint64_t deadline)
{
	int err = 0;

	if (size > (size_t)queue->size)
		return -EMSGSIZE;
	struct message *message = kmalloc(sizeof(*message) + size);

	if (!message)
		return -ENOMEM;
	message->size = size;
	message->priority = priority;
	err = user_read(message->bytes, from, size);
	while (!err && queue->count >= queue->most)
		err = await(file, &queue->writable, deadline);
	if (err) {
		kfree(message);
		return err;
	}
	insert(queue, message);
	tell(queue);
	wake_all(&queue->readable, EPOLLIN | EPOLLRDNORM);
	return 0;
}

SYSCALL(mq_timedsend)
{
	struct queue *queue;
	struct file *file;
	uint64_t deadline;
	int err = read_deadline(a[4], &deadline);

	if (!err && (uint32_t)a[3] >= PRIORITIES)
		err = -EINVAL;
	if (!err)
		err = take(a[0], O_RDONLY, &file, &queue);
	if (err)
		return err;
	err = send(file, queue, (uaddr_t)a[1], (size_t)a[2], (uint32_t)a[3], deadline);
	file_put(file);
	return err;
}

static int64_t receive(struct file *file, struct queue *queue, uaddr_t to, size_t size, uaddr_t priority, uint64_t deadline)
{
	int err = 0;

	if (size < (size_t)queue->size)
		return -EMSGSIZE;
	while (!queue->first) {
		queue->receivers++;
		err = await(file, &queue->readable, deadline);
		queue->receivers--;
		if (err)
			return err;
	}
	struct message *message = queue->first;

	queue->first = message->next;
	queue->count--;
	wake_all(&queue->writable, EPOLLOUT | EPOLLWRNORM);
	wake_all(&queue->readable, EPOLLOUT | EPOLLWRNORM); /* who is open for both polls there */
	int64_t r = user_write(to, message->bytes, message->size) || (priority && user_put(priority, message->priority)) ? -EFAULT : (int64_t)message->size;

	kfree(message);
	return r;
}

SYSCALL(mq_timedreceive)
{
	struct queue *queue;
	struct file *file;
	uint64_t deadline;
	int64_t r = read_deadline(a[4], &deadline);

	if (!r)
		r = take(a[0], O_WRONLY, &file, &queue);
	if (r)
		return r;
	r = receive(file, queue, (uaddr_t)a[1], (size_t)a[2], (uaddr_t)a[3], deadline);
	file_put(file);
	return r;
}

/* ---- mq_notify, mq_getsetattr ---- */

struct sigevent_k { /* the beginning of the kernel's struct sigevent */
	uint64_t value;
	int32_t signal, how;
};

static int notify_by_netlink(struct notify *notify, const struct sigevent_k *event)
{
	struct file *file = fd_get(event->signal);

	if (user_read(notify->cookie, event->value, COOKIE))
		return -EFAULT;
	if (!file)
		return -EBADF;
	if (netlink_note(file, NULL, 0))
		return -EINVAL;
	file_get(file);
	notify->netlink = file;
	return 0;
}

SYSCALL(mq_notify)
{
	struct sigevent_k event = { .how = SIGEV_NONE_ };
	struct notify notify = { 0 };

	if (a[1] && user_get(&event, a[1]))
		return -EFAULT;
	if (event.how < SIGEV_SIGNAL_ || event.how > SIGEV_THREAD_ || (event.how == SIGEV_SIGNAL_ && (event.signal < 0 || event.signal > SIG_MAX)))
		return -EINVAL;
	int err = event.how == SIGEV_THREAD_ ? notify_by_netlink(&notify, &event) : 0;
	struct file *file = fd_get((int)a[0]);

	if (!err && (!file || file->ops != &queue_ops))
		err = -EBADF;
	struct queue *queue = err ? NULL : file->private;

	if (!err && queue->notify.by && !process_find(queue->notify.pid)) /* it ended, and others have the file still */
		notify_end(queue, COOKIE_REMOVED);
	if (!err && a[1] && queue->notify.by)
		err = -EBUSY;
	if (err || !a[1]) {
		if (notify.netlink)
			file_put(notify.netlink);
		if (!err && queue->notify.by && queue->notify.pid == process_id())
			notify_end(queue, COOKIE_REMOVED);
		return err;
	}
	notify.by = file;
	notify.how = event.how;
	notify.signal = event.signal;
	notify.value = event.value;
	notify.pid = process_id();
	queue->notify = notify;
	return 0;
}

SYSCALL(mq_getsetattr)
{
	struct mq_attr new, old = { 0 };
	struct file *file = fd_get((int)a[0]);

	if (a[1] && user_get(&new, a[1]))
		return -EFAULT;
	if (a[1] && (new.mq_flags & ~(long)O_NONBLOCK))
		return -EINVAL;
	if (!file || file->ops != &queue_ops)
		return -EBADF;
	const struct queue *queue = file->private;

	old.mq_flags = file->flags & O_NONBLOCK;
	old.mq_maxmsg = queue->most;
	old.mq_msgsize = queue->size;
	old.mq_curmsgs = queue->count;
	if (a[1])
		file->flags = (file->flags & ~(uint32_t)O_NONBLOCK) | (uint32_t)new.mq_flags;
	return a[2] ? user_put(a[2], old) : 0;
}
