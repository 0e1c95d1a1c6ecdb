/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice(2), tee(2), vmsplice(2): bytes that go between a pipe and another file, or another pipe, without the program. They are
 * copied: a page that is lent would save a copy only of what the program never looks at.
 */
#include "libos/fs/pipe.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define SPLICE_NONBLOCK 2ul
#define SPLICE_FLAGS 15ul /* MOVE, NONBLOCK, MORE, GIFT */
#define BOUNCE_ORDER 4
#define BOUNCE (4096ul << BOUNCE_ORDER)

static struct file *open_file(long fd)
{
	struct file *file = fd_get((int)fd);

	return file && !(file->flags & O_PATH) ? file : NULL;
}

/* Waits until one of the events is there: 0, or -EAGAIN, as the file itself would. */
static int await_file(struct file *file, uint32_t events)
{
	while (file->ops->poll) {
		struct waitq *queue = NULL;
		uint32_t now = file->ops->poll(file, &queue);

		if ((now & (events | EPOLLERR | EPOLLHUP)) || !queue)
			break;
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(queue, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 0;
}

/* What the file does not take stays in the pipe, so it is asked without waiting first; but for what says nothing of waiting, where others may come meanwhile. */
static int64_t write_part(struct file *out, const char *bounce, size_t part, int64_t *position)
{
	uint32_t kept = out->flags & O_NONBLOCK;

	if (!out->ops->poll)
		return file_write(out, (uaddr_t)bounce, part, position);
	out->flags |= O_NONBLOCK;
	int64_t r = file_write(out, (uaddr_t)bounce, part, position);
	out->flags = (out->flags & ~(uint32_t)O_NONBLOCK) | kept;
	return r == -EAGAIN && !kept ? file_write(out, (uaddr_t)bounce, part, position) : r; /* it has room, but not for so much */
}

/*
 * From a pipe to a file. Whoever else reads the pipe may have its bytes while this waits for room in the file: they are looked at when that is over, and are nobody
 * else's while they are written, for which a volume's server may take its time.
 */
static int64_t pipe_to_file(struct pipe *in, struct file *out, int64_t *position, size_t n, bool nonblock, char *bounce)
{
	int64_t done = 0, r = 0;

	while (n) {
		r = pipe_await_bytes(in, nonblock || done);
		if (r <= 0)
			break;
		r = await_file(out, EPOLLOUT);
		if (r)
			break;
		if (pipe_is_held(in))
			continue;
		size_t part = pipe_peek(in, (uaddr_t)bounce, MIN(n, BOUNCE));

		if (!part)
			continue;
		pipe_hold(in, true);
		r = write_part(out, bounce, part, position);
		if (r > 0)
			pipe_skip(in, (size_t)r);
		pipe_hold(in, false);
		if (r <= 0)
			break;
		done += r;
		n -= (size_t)r;
	}
	return done ? done : r;
}

static int64_t file_to_pipe(struct file *in, int64_t *position, struct pipe *out, size_t n, bool nonblock, char *bounce)
{
	int64_t r = pipe_await_room(out, nonblock), put = 0, start = *position;

	if (!r)
		r = await_file(in, EPOLLIN);
	if (r)
		return r;
	r = file_read(in, (uaddr_t)bounce, MIN(MIN(n, BOUNCE), MAX(pipe_room(out), 1ul)), position);
	while (put < r) { /* somebody may have filled the pipe while a disk was read */
		int64_t part = pipe_put(out, (uaddr_t)bounce + (uint64_t)put, (size_t)(r - put));

		if (part <= 0 && (part = pipe_await_room(out, false)))
			return put ? put : part;
		put += part;
	}
	if (r > 0 && in->ops->seek)
		*position = start + put;
	return r;
}

static int64_t pipe_to_pipe(struct pipe *in, struct pipe *out, size_t n, bool nonblock, bool take, char *bounce)
{
	int64_t r = pipe_await_bytes(in, nonblock);

	while (r > 0) { /* neither waits for the other while it is not ready itself */
		r = pipe_await_room(out, nonblock);
		if (r || (r = pipe_await_bytes(in, nonblock)) <= 0)
			return r;
		if (pipe_room(out))
			break;
	}
	if (r <= 0)
		return r;
	r = (int64_t)pipe_peek(in, (uaddr_t)bounce, MIN(MIN(n, BOUNCE), pipe_room(out)));
	r = pipe_put(out, (uaddr_t)bounce, (size_t)r);
	if (r > 0 && take)
		pipe_skip(in, (size_t)r);
	return r;
}

struct splice { /* with references */
	struct file *in, *out;
	struct pipe *in_pipe, *out_pipe;
	int64_t from, to;
	char *bounce;
};

static void splice_end(struct splice *s)
{
	if (s->bounce)
		page_free(s->bounce, BOUNCE_ORDER);
	file_put(s->in);
	file_put(s->out);
}

static int splice_begin(struct splice *s, long in_fd, long out_fd)
{
	struct file *in = open_file(in_fd), *out = open_file(out_fd);

	if (!in || !out)
		return -EBADF;
	file_get(in);
	file_get(out);
	*s = (struct splice){ .in = in, .out = out, .in_pipe = pipe_of(in), .out_pipe = pipe_of(out), .from = in->position, .to = out->position,
			      .bounce = page_alloc(BOUNCE_ORDER) };
	if (s->bounce)
		return 0;
	splice_end(s);
	return -ENOMEM;
}

static int check_modes(const struct splice *s)
{
	bool can = (s->in->flags & O_ACCMODE) != O_WRONLY && (s->out->flags & O_ACCMODE) != O_RDONLY;

	return can ? 0 : -EBADF;
}

/* The file that is none of the pipes, at a position of its own or of the call. */
static int check_file(const struct file *file, bool given, int64_t position)
{
	if ((given && !file->ops->seek) || !file_is_stream(file) || (file->inode && S_ISDIR(file->inode->mode)))
		return -EINVAL;
	return position < 0 ? -EINVAL : 0;
}

static int64_t splice_move(struct splice *s, uaddr_t in_offset, uaddr_t out_offset, size_t n, unsigned long flags)
{
	bool nonblock = flags & SPLICE_NONBLOCK;
	int64_t r = 0;

	if ((s->in_pipe && in_offset) || (s->out_pipe && out_offset))
		return -ESPIPE;
	if ((in_offset && user_get(&s->from, in_offset)) || (out_offset && user_get(&s->to, out_offset)))
		return -EFAULT;
	r = check_modes(s);
	if (r)
		return r;
	if (s->in_pipe && s->out_pipe) {
		nonblock |= (s->in->flags | s->out->flags) & O_NONBLOCK;
		return s->in_pipe == s->out_pipe ? -EINVAL : pipe_to_pipe(s->in_pipe, s->out_pipe, n, nonblock, true, s->bounce);
	}
	if (s->in_pipe) {
		r = s->out->flags & O_APPEND ? -EINVAL : check_file(s->out, out_offset, s->to);
		return r ? r : pipe_to_file(s->in_pipe, s->out, &s->to, n, nonblock || s->in->flags & O_NONBLOCK, s->bounce);
	}
	r = s->out_pipe ? check_file(s->in, in_offset, s->from) : -EINVAL;
	return r ? r : file_to_pipe(s->in, &s->from, s->out_pipe, n, nonblock || s->out->flags & O_NONBLOCK, s->bounce);
}

SYSCALL(splice)
{
	uaddr_t in_offset = (uaddr_t)a[1], out_offset = (uaddr_t)a[3];
	struct splice s;
	int64_t r;

	if (!a[4])
		return 0;
	if ((unsigned long)a[5] & ~SPLICE_FLAGS)
		return -EINVAL;
	r = splice_begin(&s, a[0], a[2]);
	if (r)
		return r;
	r = splice_move(&s, in_offset, out_offset, (size_t)a[4], (unsigned long)a[5]);
	if (r > 0) {
		int failed = in_offset ? user_put(in_offset, s.from) : s.in_pipe ? 0 : (s.in->position = s.from, 0);

		failed |= out_offset ? user_put(out_offset, s.to) : s.out_pipe ? 0 : (s.out->position = s.to, 0);
		r = failed ? -EFAULT : r;
	}
	splice_end(&s);
	return r;
}

SYSCALL(tee)
{
	struct splice s;
	int64_t r;

	if ((unsigned long)a[3] & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!a[2])
		return 0;
	r = splice_begin(&s, a[0], a[1]);
	if (r)
		return r;
	r = check_modes(&s);
	if (!r && (!s.in_pipe || !s.out_pipe || s.in_pipe == s.out_pipe))
		r = -EINVAL;
	if (!r)
		r = pipe_to_pipe(s.in_pipe, s.out_pipe, (size_t)a[2],
				 (unsigned long)a[3] & SPLICE_NONBLOCK || (s.in->flags | s.out->flags) & O_NONBLOCK, false, s.bounce);
	splice_end(&s);
	return r;
}

/* One piece of memory into the pipe, or out of it: as far as it goes without waiting, but for the first byte. */
static int64_t piece(struct pipe *pipe, bool into, uaddr_t at, size_t n, bool nonblock)
{
	int64_t r = into ? pipe_await_room(pipe, nonblock) : pipe_await_bytes(pipe, nonblock);

	if (into)
		return r ? r : pipe_put(pipe, at, n);
	if (r <= 0)
		return r;
	r = (int64_t)pipe_peek(pipe, at, n);
	pipe_skip(pipe, (size_t)r);
	return r ? r : -EFAULT;
}

static int64_t each_piece(struct pipe *pipe, bool into, uaddr_t vector, uint64_t count, bool nonblock)
{
	int64_t done = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct iovec iov;
		int64_t r = user_get(&iov, vector + i * sizeof(iov)) || !user_range((uaddr_t)iov.iov_base, iov.iov_len) ? -EFAULT :
			(int64_t)iov.iov_len < 0 ? -EINVAL : 0;

		for (size_t at = 0; !r && at < iov.iov_len;) {
			r = piece(pipe, into, (uaddr_t)iov.iov_base + at, iov.iov_len - at, nonblock || done);
			if (r <= 0)
				return done ? done : r;
			at += (size_t)r;
			done += r;
			r = 0;
		}
		if (r)
			return done ? done : r;
	}
	return done;
}

/* Lengths, before anything moves: how many pieces are not empty, or -errno. */
static int64_t vector_pieces(uaddr_t vector, uint64_t count)
{
	int64_t pieces = 0;

	if (count > UIO_MAXIOV)
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		struct iovec iov;

		if (user_get(&iov, vector + i * sizeof(iov)))
			return -EFAULT;
		if ((int64_t)iov.iov_len < 0)
			return -EINVAL;
		pieces += iov.iov_len ? 1 : 0;
	}
	return pieces;
}

SYSCALL(vmsplice)
{
	struct file *file = open_file(a[0]);
	struct pipe *pipe = file ? pipe_of(file) : NULL;
	int64_t r;

	if ((unsigned long)a[3] & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!file)
		return -EBADF;
	r = vector_pieces((uaddr_t)a[1], (uint64_t)a[2]);
	if (r <= 0 || !pipe)
		return r <= 0 ? r : -EBADF;
	file_get(file);
	r = each_piece(pipe, (file->flags & O_ACCMODE) != O_RDONLY, (uaddr_t)a[1], (uint64_t)a[2],
		       (unsigned long)a[3] & SPLICE_NONBLOCK || file->flags & O_NONBLOCK);
	file_put(file);
	return r;
}
