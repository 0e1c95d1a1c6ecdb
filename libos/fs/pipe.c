/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and FIFOs (pipe(7)): 64 KiB, or what F_SETPIPE_SZ says; writes of up to 4096 bytes are not torn apart. With O_DIRECT they stay
 * apart: each is read by itself, and what a read has no room for is lost.
 */
#include "libos/fs/pipe.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define FIRST_PAGES 16u
#define SIZE_MOST (1u << 31)
#define UNPRIVILEGED_MOST (1u << 20) /* /proc/sys/fs/pipe-max-size */
#define ATOMIC 4096u

struct packet { /* bytes of a pipe that are read together */
	struct packet *next;
	uint32_t start, end; /* as from and to of the pipe */
};

struct pipe {
	char *first_page[FIRST_PAGES];
	char **page;            /* come when they are first written; first_page, or allocated */
	uint32_t size;          /* of all pages, in bytes: a power of 2 */
	uint32_t from, to;      /* bytes taken and put so far, modulo 2^32 */
	struct packet *packets, **last_packet; /* oldest first */
	uint32_t packet_count;                 /* one for each page at most, as on Linux, where each has a page */
	uint32_t readers, writers;             /* open files of each kind */
	uint32_t both;                         /* open files that are reader and writer; they wait in readable */
	uint32_t readers_ever, writers_ever;   /* a FIFO's open waits until the other side changes */
	struct waitq readable, writable, opened;
	bool held; /* its next bytes are on their way to a file, and nobody else's */
	uint64_t ino, made;
	uint32_t uid, gid;
	struct inode *fifo; /* NULL: made by pipe(2) */
};

static struct pipe *pipe_new(void)
{
	static uint64_t last_ino = 100;
	struct pipe *pipe = kzalloc(sizeof(*pipe));
	if (!pipe)
		return NULL;
	pipe->page = pipe->first_page;
	pipe->size = FIRST_PAGES * 4096;
	pipe->last_packet = &pipe->packets;
	pipe->ino = ++last_ino;
	pipe->made = clock_realtime();
	pipe->uid = credentials()->fsuid;
	pipe->gid = credentials()->fsgid;
	return pipe;
}

static void pages_free(struct pipe *pipe)
{
	for (uint32_t i = 0; i < pipe->size / 4096; i++)
		if (pipe->page[i])
			page_free(pipe->page[i], 0);
	if (pipe->page != pipe->first_page)
		kfree(pipe->page);
}

static void packet_drop(struct pipe *pipe)
{
	struct packet *packet = pipe->packets;
	pipe->packets = packet->next;
	if (!pipe->packets)
		pipe->last_packet = &pipe->packets;
	pipe->packet_count--;
	kfree(packet);
}

static void pipe_free(struct pipe *pipe)
{
	pages_free(pipe);
	while (pipe->packets)
		packet_drop(pipe);
	if (pipe->fifo)
		pipe->fifo->private = NULL;
	kfree(pipe);
}

static uint32_t filled(const struct pipe *pipe)
{
	return pipe->to - pipe->from;
}

/* Bytes that one read may have: those of a packet, or those before the next one. */
static uint32_t readable(const struct pipe *pipe)
{
	const struct packet *next = pipe->packets;
	if (!next)
		return filled(pipe);
	return next->start == pipe->from ? next->end - pipe->from : next->start - pipe->from;
}

size_t pipe_peek(struct pipe *pipe, uaddr_t to, size_t n)
{
	size_t done = 0;
	n = MIN(n, readable(pipe));
	while (done < n) {
		uint32_t at = (pipe->from + (uint32_t)done) % pipe->size;
		size_t part = MIN(n - done, 4096 - at % 4096);
		size_t moved = buffer_put(to + done, pipe->page[at / 4096] + at % 4096, part);
		done += moved;
		if (moved < part)
			break;
	}
	return done;
}

/* n bytes are gone; with whole, so is the rest of their packet. */
static void drop(struct pipe *pipe, size_t n, bool whole)
{
	struct packet *packet = pipe->packets && pipe->packets->start == pipe->from ? pipe->packets : NULL;
	pipe->from += (uint32_t)n;
	if (packet && (whole || pipe->from == packet->end)) {
		pipe->from = packet->end;
		packet_drop(pipe);
	} else if (packet) {
		packet->start = pipe->from;
	}
	if (!filled(pipe)) /* small messages stay in the first page */
		pipe->from = pipe->to = 0;
}

static size_t take(struct pipe *pipe, uaddr_t to, size_t n)
{
	size_t want = MIN(n, readable(pipe)), done = pipe_peek(pipe, to, want);
	drop(pipe, done, done == want);
	return done;
}

/* Bytes put; fewer than there is room for when the buffer ends or memory does: *r says which. */
static size_t put(struct pipe *pipe, uaddr_t from, size_t n, int *r)
{
	size_t done = 0;
	n = MIN(n, pipe->size - filled(pipe));
	while (done < n) {
		uint32_t at = pipe->to % pipe->size;
		size_t part = MIN(n - done, 4096 - at % 4096);
		char **page = &pipe->page[at / 4096];
		if (!*page && !(*page = page_alloc(0))) {
			*r = -ENOMEM;
			break;
		}
		size_t moved = buffer_get(*page + at % 4096, from + done, part);
		pipe->to += (uint32_t)moved;
		done += moved;
		if (moved < part) {
			*r = -EFAULT;
			break;
		}
	}
	return done;
}

static void wake_writers(struct pipe *pipe)
{
	wake_all(&pipe->writable, EPOLLOUT | EPOLLWRNORM);
	if (pipe->both)
		wake_all(&pipe->readable, EPOLLOUT | EPOLLWRNORM);
}

/* Room for a write that stays whole; who waits for it, waits for no less. */
static bool writable(const struct pipe *pipe)
{
	return pipe->size - filled(pipe) >= ATOMIC && pipe->packet_count < pipe->size / 4096;
}

void pipe_hold(struct pipe *pipe, bool on)
{
	pipe->held = on;
	if (!on)
		wake_all(&pipe->readable, 0); /* there may be bytes, or the end: who is told of events looks for himself */
}

bool pipe_is_held(const struct pipe *pipe)
{
	return pipe->held;
}

/* While somebody has its bytes there are none for others. */
int pipe_await_bytes(struct pipe *pipe, bool nonblock)
{
	while (pipe->held || !filled(pipe)) {
		if (!pipe->held && !pipe->writers)
			return 0;
		if (nonblock)
			return -EAGAIN;
		int err = wait_on(&pipe->readable, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 1;
}

static int64_t pipe_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct pipe *pipe = file->private;
	if (!n)
		return 0;
	int r = pipe_await_bytes(pipe, file->flags & O_NONBLOCK);
	if (r <= 0)
		return r;
	bool full = !writable(pipe);
	size_t done = take(pipe, to, n);
	if (!done)
		return -EFAULT;
	if (full)
		wake_writers(pipe);
	return (int64_t)done;
}

static int64_t broken(void)
{
	struct siginfo_k info = { .code = SI_USER, .kill = { .pid = process_id(), .uid = credentials()->uid } };
	signal_send(current, SIGPIPE, &info);
	return -EPIPE;
}

static size_t put_packet(struct pipe *pipe, uaddr_t from, size_t n, int *err)
{
	struct packet *packet = kzalloc(sizeof(*packet));
	if (!packet) {
		*err = -ENOMEM;
		return 0;
	}
	packet->start = pipe->to;
	size_t done = put(pipe, from, n, err);
	if (!done) {
		kfree(packet);
		return 0;
	}
	packet->end = pipe->to;
	*pipe->last_packet = packet;
	pipe->last_packet = &packet->next;
	pipe->packet_count++;
	return done;
}

/* A write of so many bytes, or the rest of one, may begin. */
static bool has_room(const struct pipe *pipe, size_t n, bool packets)
{
	uint32_t room = pipe->size - filled(pipe);
	if (packets)
		return room >= MIN(n, ATOMIC) && pipe->packet_count < pipe->size / 4096;
	return n <= ATOMIC ? room >= n : room > 0;
}

static int64_t pipe_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct pipe *pipe = file->private;
	bool packets = file->flags & O_DIRECT;
	size_t done = 0;
	while (done < n || !n) {
		if (!pipe->readers)
			return done ? (int64_t)done : broken();
		if (!n)
			return 0;
		if (has_room(pipe, packets ? n - done : n, packets)) {
			int err = 0;
			size_t part = packets ? put_packet(pipe, from + done, MIN(n - done, ATOMIC), &err) : put(pipe, from + done, n - done, &err);
			done += part;
			if (part)
				wake_all(&pipe->readable, EPOLLIN | EPOLLRDNORM);
			if (err)
				return done ? (int64_t)done : err;
			continue;
		}
		if (file->flags & O_NONBLOCK)
			return done ? (int64_t)done : -EAGAIN;
		int err = wait_on(&pipe->writable, 0);
		if (err)
			return done ? (int64_t)done : err == -EINTR ? -ERESTARTSYS : err;
	}
	return (int64_t)done;
}

static uint32_t pipe_poll_read(struct file *file, struct waitq **queue)
{
	struct pipe *pipe = file->private;
	*queue = &pipe->readable;
	return (filled(pipe) && !pipe->held ? EPOLLIN | EPOLLRDNORM : 0) | (!pipe->writers && pipe->writers_ever ? EPOLLHUP : 0);
}

static uint32_t pipe_poll_write(struct file *file, struct waitq **queue)
{
	struct pipe *pipe = file->private;
	*queue = &pipe->writable;
	return (writable(pipe) ? EPOLLOUT | EPOLLWRNORM : 0) | (!pipe->readers ? EPOLLERR : 0);
}

static uint32_t pipe_poll_both(struct file *file, struct waitq **queue)
{
	uint32_t events = pipe_poll_write(file, queue);
	return events | pipe_poll_read(file, queue);
}

static long pipe_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	int count = (int)filled(file->private);
	return request == LINUX_FIONREAD ? user_write((void *)arg, &count, sizeof(count)) : -ENOTTY;
}

static int pipe_stat(struct file *file, struct stat *st)
{
	const struct pipe *pipe = file->private;
	memset(st, 0, sizeof(*st));
	if (file->inode) {
		inode_stat(file->inode, st);
		return 0;
	}
	st->st_dev = LINUX_DEV(0, 13);
	st->st_ino = pipe->ino;
	st->st_nlink = 1;
	st->st_mode = S_IFIFO | 0600;
	st->st_uid = pipe->uid;
	st->st_gid = pipe->gid;
	st->st_blksize = 4096;
	st->st_atime = st->st_mtime = st->st_ctime = pipe->made / NS_PER_S;
	st->st_atime_nsec = st->st_mtime_nsec = st->st_ctime_nsec = pipe->made % NS_PER_S;
	return 0;
}

static void pipe_release(struct file *file)
{
	struct pipe *pipe = file->private;
	uint32_t mode = file->flags & O_ACCMODE;
	pipe->both -= mode == O_RDWR;
	if (mode != O_WRONLY && --pipe->readers == 0)
		wake_all(&pipe->writable, EPOLLERR | EPOLLOUT | EPOLLWRNORM);
	if (mode != O_RDONLY && --pipe->writers == 0)
		wake_all(&pipe->readable, EPOLLHUP);
	if (!pipe->readers && !pipe->writers)
		pipe_free(pipe);
}

static const struct file_ops read_ops = { .kind = "pipe", .read = pipe_read, .poll = pipe_poll_read, .ioctl = pipe_ioctl,
	.stat = pipe_stat, .release = pipe_release };
static const struct file_ops write_ops = { .kind = "pipe", .write = pipe_write, .poll = pipe_poll_write, .ioctl = pipe_ioctl,
	.stat = pipe_stat, .release = pipe_release };
static const struct file_ops both_ops = { .kind = "pipe", .read = pipe_read, .write = pipe_write, .poll = pipe_poll_both,
	.ioctl = pipe_ioctl, .stat = pipe_stat, .release = pipe_release };

static void pipe_open(struct pipe *pipe, struct file *file)
{
	uint32_t mode = file->flags & O_ACCMODE;
	file->private = pipe;
	pipe->both += mode == O_RDWR;
	file->ops = mode == O_RDONLY ? &read_ops : mode == O_WRONLY ? &write_ops : &both_ops;
	if (mode != O_WRONLY) {
		pipe->readers++;
		pipe->readers_ever++;
	}
	if (mode != O_RDONLY) {
		pipe->writers++;
		pipe->writers_ever++;
	}
	wake_all(&pipe->opened, 0);
}

static struct file *pipe_end(struct pipe *pipe, uint32_t flags)
{
	struct file *file = file_new(NULL, flags, NULL);
	if (file)
		pipe_open(pipe, file);
	return file;
}

/* ---- FIFOs: opening waits for the other side (fifo(7)) ---- */

static int wait_for_peer(struct pipe *pipe, const uint32_t *ever)
{
	uint32_t before = *ever;
	while (*ever == before) {
		int err = wait_on(&pipe->opened, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 0;
}

int pipe_open_fifo(struct inode *inode, struct file *file)
{
	struct pipe *pipe = inode->private;
	uint32_t mode = file->flags & O_ACCMODE;
	if (mode == O_WRONLY && (file->flags & O_NONBLOCK) && (!pipe || !pipe->readers))
		return -ENXIO;
	if (!pipe) {
		pipe = pipe_new();
		if (!pipe)
			return -ENOMEM;
		pipe->fifo = inode;
		inode->private = pipe;
	}
	pipe_open(pipe, file);
	int err = 0;
	if (mode == O_RDONLY && !pipe->writers && !(file->flags & O_NONBLOCK))
		err = wait_for_peer(pipe, &pipe->writers_ever);
	if (mode == O_WRONLY && !pipe->readers)
		err = wait_for_peer(pipe, &pipe->readers_ever);
	if (err)
		pipe_release(file);
	return err;
}

/* ---- splice(2) ---- */

struct pipe *pipe_of(const struct file *file)
{
	return is_pipe(file) ? file->private : NULL;
}

size_t pipe_room(const struct pipe *pipe)
{
	return pipe->packet_count < pipe->size / 4096 ? pipe->size - filled(pipe) : 0;
}

int pipe_await_room(struct pipe *pipe, bool nonblock)
{
	while (pipe->readers && !pipe_room(pipe)) {
		if (nonblock)
			return -EAGAIN;
		int err = wait_on(&pipe->writable, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return pipe->readers ? 0 : (int)broken();
}

void pipe_skip(struct pipe *pipe, size_t n)
{
	bool full = !writable(pipe);
	drop(pipe, MIN(n, readable(pipe)), false);
	if (full)
		wake_writers(pipe);
}

int64_t pipe_put(struct pipe *pipe, uaddr_t from, size_t n)
{
	int err = 0;
	size_t done = put(pipe, from, MIN(n, pipe_room(pipe)), &err);
	if (done)
		wake_all(&pipe->readable, EPOLLIN | EPOLLRDNORM);
	return done ? (int64_t)done : err;
}

/* ---- size (fcntl(2)) ---- */

bool is_pipe(const struct file *file)
{
	return file->ops == &read_ops || file->ops == &write_ops || file->ops == &both_ops;
}

/* What is in the pipe now, put into a new one of another size. */
static int move_contents(struct pipe *pipe, struct pipe *to)
{
	uint32_t left = filled(pipe), at = pipe->from;

	while (left) {
		uint32_t part = MIN(left, 4096 - at % 4096);
		int err = 0;

		if (put(to, (uaddr_t)pipe->page[at % pipe->size / 4096] + at % 4096, part, &err) < part)
			return err;
		at += part;
		left -= part;
	}
	return 0;
}

static int resize(struct pipe *pipe, uint32_t size)
{
	struct pipe new = { .size = size, .page = kzalloc(size / 4096 * sizeof(*new.page)) };

	if (!new.page)
		return -ENOMEM;
	if (move_contents(pipe, &new)) {
		pages_free(&new);
		return -ENOMEM;
	}
	pages_free(pipe);
	for (struct packet *packet = pipe->packets; packet; packet = packet->next) {
		packet->start -= pipe->from - new.from;
		packet->end -= pipe->from - new.from;
	}
	pipe->page = new.page;
	pipe->size = new.size;
	pipe->from = new.from;
	pipe->to = new.to;
	wake_writers(pipe);
	return 0;
}

long pipe_set_size(struct file *file, unsigned long size)
{
	struct pipe *pipe = file->private;
	uint64_t whole = 4096;

	if (!is_pipe(file))
		return -EBADF;
	if ((uint32_t)size > SIZE_MOST)
		return -EINVAL;
	while (whole < (uint32_t)size)
		whole *= 2;
	if (whole > pipe->size && whole > UNPRIVILEGED_MOST && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (filled(pipe) > whole || pipe->packet_count > whole / 4096)
		return -EBUSY;
	int err = whole == pipe->size ? 0 : resize(pipe, (uint32_t)whole);
	return err ? err : (long)whole;
}

long pipe_size(const struct file *file)
{
	return is_pipe(file) ? (long)((const struct pipe *)file->private)->size : -EBADF;
}

/* ---- opened once more, by its name in /proc/self/fd ---- */

int pipe_open_again(const struct file *pipe_file, uint32_t flags, struct file **file)
{
	if (!is_pipe(pipe_file))
		return -ENXIO;
	*file = pipe_end(pipe_file->private, flags & (O_ACCMODE | O_NONBLOCK | O_DIRECT));
	return *file ? 0 : -ENOMEM;
}

/* ---- system calls ---- */

static long pipe_pair(uaddr_t to, uint32_t flags)
{
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	struct pipe *pipe = pipe_new();
	if (!pipe)
		return -ENOMEM;
	struct file *in = pipe_end(pipe, O_RDONLY | (flags & O_NONBLOCK));
	if (!in) {
		pipe_free(pipe);
		return -ENOMEM;
	}
	struct file *out = pipe_end(pipe, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)));
	if (!out) {
		file_put(in);
		return -ENOMEM;
	}
	int in_fd = fd_install(in, 0, flags & O_CLOEXEC);
	if (in_fd < 0) {
		file_put(out);
		return in_fd;
	}
	int out_fd = fd_install(out, 0, flags & O_CLOEXEC);
	if (out_fd < 0) {
		fd_close(in_fd);
		return out_fd;
	}
	const int fds[2] = { in_fd, out_fd };
	if (!user_write(to, fds, sizeof(fds)))
		return 0;
	fd_close(in_fd);
	fd_close(out_fd);
	return -EFAULT;
}

SYSCALL(pipe)
{
	return pipe_pair((uaddr_t)a[0], 0);
}

SYSCALL(pipe2)
{
	return pipe_pair((uaddr_t)a[0], (uint32_t)a[1]);
}
