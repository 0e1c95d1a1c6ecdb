/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing open files of any kind. */
#include "libos/fs/inotify.h"
#include "libos/fs/lock.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define MOST_AT_ONCE 0x7ffff000ul /* as Linux limits one call */

/* The file behind fd with a reference, if it may be read (written). */
static int take_readable(long fd, struct file **file)
{
	int err = fd_take((int)fd, file);
	if (!err && (((*file)->flags & O_ACCMODE) == O_WRONLY || ((*file)->flags & O_PATH))) {
		file_put(*file);
		err = -EBADF;
	}
	return err;
}

static int take_writable(long fd, struct file **file)
{
	int err = fd_take((int)fd, file);
	if (!err && (((*file)->flags & O_ACCMODE) == O_RDONLY || ((*file)->flags & O_PATH))) {
		file_put(*file);
		err = -EBADF;
	}
	return err;
}

int64_t file_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	if (!file->ops->read)
		return file->ops->readdir || file->ops == &dir_ops ? -EISDIR : -EINVAL;
	int64_t r = file->ops->read(file, to, n, position);
	struct process_io *io = &current->process->io;
	io->reads++;
	io->read += r > 0 ? (uint64_t)r : 0;
	if (r > 0)
		fs_event_file(file, IN_ACCESS);
	return r;
}

static int64_t count_write(const struct file *file, int64_t r)
{
	struct process_io *io = &current->process->io;
	io->writes++;
	io->written += r > 0 ? (uint64_t)r : 0;
	if (r > 0)
		fs_event_file(file, IN_MODIFY);
	return r;
}

int64_t file_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	return count_write(file, file->ops->write ? file->ops->write(file, from, n, position) : -EINVAL);
}

/* As take_readable or take_writable; whether the file has positions is asked before what it was opened for. NULL: the file's own. */
static int64_t take_at(long fd, const int64_t *position, bool into, struct file **file)
{
	const struct file *named = fd_get((int)fd);
	if (position && *position < 0)
		return -EINVAL;
	if (position && named && !(named->flags & O_PATH) && !named->ops->seek)
		return -ESPIPE;
	return into ? take_readable(fd, file) : take_writable(fd, file);
}

static int64_t read_at(const long *a, int64_t *position)
{
	struct file *file;
	size_t n = MIN((size_t)a[2], MOST_AT_ONCE);
	int64_t r = take_at(a[0], position, true, &file);
	if (r)
		return r;
	r = user_range((uaddr_t)a[1], (size_t)a[2]) ? file_read(file, (uaddr_t)a[1], n, position ? position : &file->position) : -EFAULT;
	file_put(file);
	return r;
}

static int64_t write_at(const long *a, int64_t *position)
{
	struct file *file;
	size_t n = MIN((size_t)a[2], MOST_AT_ONCE);
	int64_t r = take_at(a[0], position, false, &file);
	if (r)
		return r;
	r = user_range((uaddr_t)a[1], (size_t)a[2]) ? file_write(file, (uaddr_t)a[1], n, position ? position : &file->position) : -EFAULT;
	file_put(file);
	return r;
}

SYSCALL(read)
{
	return read_at(a, NULL);
}

SYSCALL(write)
{
	return write_at(a, NULL);
}

SYSCALL(pread64)
{
	int64_t position = a[3];
	return read_at(a, &position);
}

SYSCALL(pwrite64)
{
	int64_t position = a[3];
	return write_at(a, &position);
}

/* ---- vectors ---- */

static int64_t vectors_check(struct vectors *v, bool own)
{
	size_t total = 0;
	for (int i = 0; i < v->count; i++) {
		struct iovec *piece = &v->vector[i];
		if ((int64_t)piece->iov_len < 0)
			return -EINVAL;
		piece->iov_len = MIN(piece->iov_len, MOST_AT_ONCE - total);
		total += piece->iov_len;
		if (own && !user_range((uaddr_t)piece->iov_base, piece->iov_len))
			return -EFAULT;
	}
	return (int64_t)total;
}

void vectors_free(struct vectors *v)
{
	if (v->vector != v->few)
		kfree(v->vector);
}

int vectors_take(struct vectors *v, const void *from, uint64_t count, bool own)
{
	v->vector = v->few;
	v->count = (int)count;
	if (count > UIO_MAXIOV)
		return -EINVAL;
	if (count > FEW_VECTORS && !(v->vector = kmalloc(count * sizeof(*v->vector)))) {
		v->vector = v->few;
		return -ENOMEM;
	}
	int64_t r = count ? user_read(v->vector, from, count * sizeof(*v->vector)) : 0;
	if (!r)
		r = vectors_check(v, own);
	if (r < 0)
		vectors_free(v);
	return r < 0 ? (int)r : 0;
}

static int64_t each_piece(struct file *file, const struct vectors *v, bool into, int64_t *position)
{
	int64_t done = 0;
	for (int i = 0; i < v->count; i++) {
		const struct iovec *piece = &v->vector[i];
		if (!piece->iov_len)
			continue;
		int64_t r = into ? file_read(file, (uaddr_t)piece->iov_base, piece->iov_len, position) :
			file_write(file, (uaddr_t)piece->iov_base, piece->iov_len, position);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((size_t)r < piece->iov_len)
			break;
		/* What came so far is an answer; never wait for more. */
		struct waitq *queue;
		if (into && i + 1 < v->count && !file->ops->seek && file->ops->poll && !(file->ops->poll(file, &queue) & EPOLLIN))
			break;
	}
	return done;
}

/* position NULL: the file's own. */
static int64_t vector_io(long fd, const void *from, uint64_t count, int64_t *position, bool into, int flags)
{
	struct file *file;
	struct vectors v;
	int64_t r = take_at(fd, position, into, &file);
	if (r)
		return r;
	if ((flags & ~(int)LINUX_RWF_SUPPORTED))
		r = -EOPNOTSUPP;
	if (!r && file->inode && flags & LINUX_RWF_APPEND)
		r = inode_refresh(file->inode);
	if (!r)
		r = vectors_take(&v, from, count, true);
	if (!r) {
		uint32_t kept = file->flags & O_NONBLOCK;
		if (flags & LINUX_RWF_NOWAIT) /* without waiting, nobody else sees the flag meanwhile */
			file->flags |= O_NONBLOCK;
		int64_t (*whole)(struct file *, const struct iovec *, int) = into ? file->ops->readv : file->ops->writev;
		int64_t end = file->inode ? (int64_t)file->inode->size : 0;
		int64_t *at = flags & LINUX_RWF_APPEND ? &end : position ? position : &file->position;
		if (whole)
			r = whole(file, v.vector, v.count);
		else if (!into && file->ops->gather)
			r = count_write(file, file->ops->gather(file, v.vector, v.count, at));
		else
			r = each_piece(file, &v, into, at);
		vectors_free(&v);
		if (flags & LINUX_RWF_NOWAIT)
			file->flags = (file->flags & ~(uint32_t)O_NONBLOCK) | kept;
	}
	file_put(file);
	return r;
}

SYSCALL(readv)
{
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], NULL, true, 0);
}

SYSCALL(writev)
{
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], NULL, false, 0);
}

SYSCALL(preadv)
{
	int64_t position = a[3];
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], &position, true, 0);
}

SYSCALL(pwritev)
{
	int64_t position = a[3];
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], &position, false, 0);
}

SYSCALL(preadv2)
{
	int64_t position = a[3];
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], position == -1 ? NULL : &position, true, (int)a[5]);
}

SYSCALL(pwritev2)
{
	int64_t position = a[3];
	return vector_io(a[0], (void *)a[1], (uint64_t)a[2], position == -1 ? NULL : &position, false, (int)a[5]);
}

/* ---- position and size ---- */

SYSCALL(lseek)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if ((uint32_t)a[2] > SEEK_HOLE)
		return -EINVAL;
	if (!file->ops->seek) /* the rest has no bytes to be somewhere in, and says so by staying where it is */
		return file_is_stream(file) ? -ESPIPE : 0;
	return file->ops->seek(file, a[1], (int)a[2]);
}

SYSCALL(ftruncate)
{
	struct file *file = fd_get((int)a[0]);
	if (a[1] < 0)
		return -EINVAL;
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (!file->ops->truncate || (file->flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	file_get(file);
	int err = file->ops->truncate(file, (uint64_t)a[1]);
	if (!err)
		fs_event_file(file, IN_MODIFY);
	file_put(file);
	return err;
}

SYSCALL(truncate)
{
	struct walk walk;
	int err = a[1] < 0 ? -EINVAL : path_at(AT_FDCWD, (const char *)a[0], WALK_FOLLOW, &walk);
	if (err)
		return err;
	const struct inode *inode = walk.dentry ? walk.dentry->inode : walk.file->inode;
	if (!inode || (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode)))
		err = -EINVAL;
	else if (S_ISDIR(inode->mode))
		err = -EISDIR;
	else if (!(err = inode_permission(inode, LINUX_W_OK)) && !(err = lease_break(inode, O_WRONLY)))
		err = inode->fs->read_only ? -EROFS : process_runs(inode) ? -ETXTBSY : inode_truncate((struct inode *)inode, (uint64_t)a[1]);
	if (!err)
		fs_event((struct inode *)inode, walk.dentry, IN_MODIFY);
	walk_done(&walk);
	return err;
}

SYSCALL(fallocate)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (a[2] < 0 || a[3] <= 0)
		return -EINVAL;
	if (a[1] & ~(long)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
		return -EOPNOTSUPP;
	if ((file->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (a[2] + (uint64_t)a[3] > INT64_MAX)
		return -EFBIG;
	if (file->ops->allocate) {
		file_get(file);
		int err = file->ops->allocate(file, (int)a[1], (uint64_t)a[2], (uint64_t)a[3]);
		if (!err)
			fs_event_file(file, IN_MODIFY);
		file_put(file);
		return err;
	}
	if (file->ops != &regular_ops)
		return file->inode && S_ISDIR(file->inode->mode) ? -EISDIR : is_pipe(file) ? -ESPIPE : -ENODEV;
	int err = inode_fallocate(file->inode, (int)a[1], (uint64_t)a[2], (uint64_t)a[3]);
	if (!err)
		fs_event_file(file, IN_MODIFY);
	return err;
}

/* But for live volumes everything is in RAM: there is nothing to wait for. */
SYSCALL(fsync)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (file->ops->sync)
		return file->ops->sync(file);
	if (remote_of(file->inode) && S_ISDIR(file->inode->mode))
		return remote_sync_volumes(file->inode);
	return file->inode && (S_ISREG(file->inode->mode) || S_ISDIR(file->inode->mode)) ? 0 : -EINVAL;
}

SYSCALL(fdatasync)
{
	return sys_fsync(a);
}

SYSCALL(syncfs)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	return remote_of(file->inode) ? remote_sync_volumes(file->inode) : 0;
}

SYSCALL(sync_file_range)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if ((a[3] & ~7l) || a[1] < 0 || a[2] < 0 || a[1] > INT64_MAX - a[2])
		return -EINVAL;
	return file->inode && (S_ISREG(file->inode->mode) || S_ISDIR(file->inode->mode) || S_ISBLK(file->inode->mode)) ? 0 : -ESPIPE;
}

SYSCALL(sync)
{
	remote_sync_volumes(NULL);
	return 0;
}

SYSCALL(fadvise64)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	return is_pipe(file) ? -ESPIPE : a[2] < 0 || a[3] < 0 || a[3] > 5 ? -EINVAL : 0;
}

SYSCALL(readahead)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || (file->flags & O_PATH) || (file->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	return file->ops == &regular_ops ? 0 : -EINVAL;
}

/* ---- from file to file ---- */

#define BOUNCE_ORDER 4
#define BOUNCE (4096ul << BOUNCE_ORDER)

/* Straight from where the bytes lie, which for a file of the image is the image. */
static int64_t send_regular(struct file *out, struct file *in, int64_t *from, size_t n, int64_t *to)
{
	static uint8_t zeros[4096] SELDOM_USED;
	size_t done = 0;
	while (done < n) {
		const uint8_t *data;
		size_t run;
		int64_t r = inode_run(in->inode, (uint64_t)*from, &data, &run);
		if (r || !run)
			return done ? (int64_t)done : r;
		run = MIN(MIN(run, n - done), data ? (1ul << 20) : sizeof(zeros));
		r = file_write(out, (uaddr_t)(data ? data : zeros), run, to);
		if (r < 0)
			return done ? (int64_t)done : r;
		*from += r;
		done += (size_t)r;
		if ((size_t)r < run)
			break;
	}
	return (int64_t)done;
}

/* Of what was read the position passes only what could be written: the rest is read again. */
static int64_t send_stream(struct file *out, struct file *in, int64_t *from, size_t n, int64_t *to)
{
	char *bounce = page_alloc(BOUNCE_ORDER);
	if (!bounce)
		return -ENOMEM;
	int64_t start = *from, done = 0, w = 0, r = file_read(in, (uaddr_t)bounce, MIN(n, BOUNCE), from);
	while (r > 0 && done < r) {
		w = file_write(out, (uaddr_t)bounce + (uint64_t)done, (size_t)(r - done), to);
		if (w <= 0)
			break;
		done += w;
	}
	page_free(bounce, BOUNCE_ORDER);
	if (r > 0)
		*from = start + done;
	return done ? done : r < 0 ? r : w;
}

static int64_t send(struct file *out, struct file *in, int64_t *from, size_t n, int64_t *to)
{
	n = MIN(n, MOST_AT_ONCE);
	return in->ops == &regular_ops ? send_regular(out, in, from, n, to) : send_stream(out, in, from, n, to);
}

/* Both ends open for what is asked of them, each with a reference. */
static int take_pair(long in_fd, long out_fd, struct file **in, struct file **out)
{
	int err = take_readable(in_fd, in);
	if (err)
		return err;
	err = take_writable(out_fd, out);
	if (err)
		file_put(*in);
	return err;
}

/* Only from what can be read again: what a pipe or a socket gave and the other side did not take would be lost. */
static int64_t send_from(struct file *out, struct file *in, int64_t *from, size_t n)
{
	return *from < 0 || !in->ops->seek || out->flags & O_APPEND ? -EINVAL : send(out, in, from, n, &out->position);
}

SYSCALL(sendfile)
{
	struct file *in, *out;
	uaddr_t offset = (uaddr_t)a[2];
	int64_t r, from;
	if (offset && user_get(&from, offset))
		return -EFAULT;
	r = take_pair(a[1], a[0], &in, &out);
	if (r)
		return r;
	if (!offset)
		from = in->position;
	else if (!in->ops->seek)
		r = -ESPIPE;
	if (!r)
		r = send_from(out, in, &from, (size_t)a[3]);
	if (!offset)
		in->position = from;
	else if (r >= 0 && user_put(offset, from))
		r = -EFAULT;
	file_put(in);
	file_put(out);
	return r;
}

static bool is_regular(const struct file *file)
{
	return file->inode && S_ISREG(file->inode->mode) && (file->ops == &regular_ops || remote_of(file->inode)); /* not those of /proc, which have no size */
}

static int64_t copy_range(struct file *in, int64_t *from, struct file *out, int64_t *to, uint64_t n)
{
	if (!is_regular(in) || !is_regular(out))
		return -EINVAL;
	if ((uint64_t)*from + n < n || (uint64_t)*to + n < n)
		return -EOVERFLOW;
	if (*from < 0 || *to < 0)
		return -EINVAL;
	if (out->flags & O_APPEND)
		return -EBADF;
	int err = inode_refresh(in->inode);
	if (err)
		return err;
	n = MIN(n, in->inode->size - MIN((uint64_t)*from, in->inode->size));
	if (in->inode == out->inode && (uint64_t)*from < (uint64_t)*to + n && (uint64_t)*to < (uint64_t)*from + n)
		return -EINVAL;
	return send(out, in, from, n, to);
}

static bool is_directory(const struct file *file)
{
	return file->inode && S_ISDIR(file->inode->mode);
}

SYSCALL(copy_file_range)
{
	struct file *in = fd_get((int)a[0]), *out = fd_get((int)a[2]);
	uaddr_t in_offset = (uaddr_t)a[1], out_offset = (uaddr_t)a[3];
	if (in && out && (is_directory(in) || is_directory(out))) /* before how they were opened */
		return -EISDIR;
	int64_t r = take_pair(a[0], a[2], &in, &out), from, to;
	if (r)
		return r;
	from = in->position;
	to = out->position;
	if ((in_offset && user_get(&from, in_offset)) || (out_offset && user_get(&to, out_offset)))
		r = -EFAULT;
	else
		r = a[5] ? -EINVAL : copy_range(in, &from, out, &to, (uint64_t)a[4]);
	if (r > 0) {
		int failed = in_offset ? user_put(in_offset, from) : (in->position = from, 0);
		failed |= out_offset ? user_put(out_offset, to) : (out->position = to, 0);
		r = failed ? -EFAULT : r;
	}
	file_put(in);
	file_put(out);
	return r;
}
