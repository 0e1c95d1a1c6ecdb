/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of a live volume. Reads come from pages that are kept, writes go to the host before they return, and what a program writes through a
 * shared mapping goes there with msync, fsync, munmap, close and at its end.
 */
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define PAGE REMOTE_PAGE
#define PIECE_PAGES (REMOTE_PIECE / PAGE)

/* ---- pages ---- */

/* So many pages from the first on that are not there, as far as the file goes. */
static uint64_t missing(struct inode *inode, uint64_t first, uint64_t most)
{
	uint64_t end = ALIGN_UP(inode->size, PAGE) / PAGE, count = 0;
	while (count < most && first + count < end && !remote_page(inode, first + count))
		count++;
	return count;
}

static int64_t ask_read(struct file *file, uint64_t offset, void *to, uint32_t n)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct ring_buffer buffer = { .data = to, .len = n, .device_writes = true };
	const struct fuse_read_in in = { .fh = remote_file(file)->fh, .offset = offset, .size = n };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .pages = &buffer, .page_count = 1 };
	return remote_ask(remote->remote, FUSE_READ, remote->node, &words);
}

/* Reads pages that are not there, the first among them: answer->pages, the caller's, with answer->n. NULL: the file has none there (0), or -errno. */
static int64_t ask_missing(struct file *file, uint64_t first, uint64_t most, struct remote_answer *answer)
{
	struct remote_inode *remote = remote_inode(file->inode);
	uint64_t count = missing(file->inode, first, MIN(most, PIECE_PAGES));
	*answer = (struct remote_answer){ .first = first };
	if (!count)
		return 0;
	remote_make_room(count, remote);
	char *pages = page_alloc_run(count);
	if (!pages && (count = 1, remote_make_room(UINT64_MAX / 2, NULL), !(pages = page_alloc_run(1))))
		return -ENOMEM;
	*answer = (struct remote_answer){ .first = first, .count = count, .pages = pages, .changes = remote->changes };
	answer->n = ask_read(file, first * PAGE, pages, (uint32_t)(count * PAGE));
	return answer->n;
}

/* Brings pages in: how many came, or -errno. */
static int64_t fetch(struct file *file, uint64_t first, uint64_t most)
{
	struct remote_answer answer;
	int64_t r = ask_missing(file, first, most, &answer);
	return answer.pages ? remote_keep_answer(file->inode, &answer) : r;
}

/* ---- reading ---- */

/* How many pages to ask for: what is wanted, and more where the file is gone through. */
static uint64_t ahead(const struct remote_file *private, uint64_t offset, size_t n)
{
	uint64_t want = (offset % PAGE + n + PAGE - 1) / PAGE;
	return offset == private->next && offset ? MAX(want, PIECE_PAGES) : offset ? want : MAX(want, 4);
}

static int64_t read_direct(struct file *file, uint64_t offset, uaddr_t to, size_t n)
{
	uint64_t count = MIN(ALIGN_UP(n, PAGE) / PAGE, PIECE_PAGES);
	char *pages = count ? page_alloc_run(count) : NULL;
	size_t done = 0;
	int64_t r = pages || !n ? 0 : -ENOMEM;
	while (!r && done < n) {
		size_t want = MIN(n - done, count * PAGE);
		int64_t got = ask_read(file, offset + done, pages, (uint32_t)want);
		size_t moved = got > 0 ? buffer_put(to + done, pages, (size_t)got) : 0;
		done += moved;
		r = got < 0 ? got : moved < (size_t)got ? -EFAULT : 0;
		if ((size_t)moved < want)
			break;
	}
	if (pages)
		page_free_run(pages, count);
	return done ? (int64_t)done : r;
}

/* What a write has overtaken is not kept, but it is what the file had while it was being read: were it asked for again, who reads what others write all the while would ask for ever. */
static int64_t put_overtaken(const struct remote_answer *answer, uint64_t offset, uaddr_t to, size_t n)
{
	int64_t r = answer->n < 0 ? answer->n : 0;
	if (answer->n > (int64_t)(offset % PAGE)) {
		size_t run = MIN(n, (size_t)answer->n - offset % PAGE), moved = buffer_put(to, answer->pages + offset % PAGE, run);
		r = moved ? (int64_t)moved : -EFAULT;
	}
	page_free_run(answer->pages, answer->count);
	return r;
}

static int64_t read_kept(struct file *file, uint64_t offset, uaddr_t to, size_t n)
{
	struct inode *inode = file->inode;
	struct remote_file *private = remote_file(file);
	size_t done = 0;
	int64_t r = 0;
	while (done < n && offset + done < inode->size) {
		uint64_t at = offset + done;
		char *page = remote_page(inode, at / PAGE);
		if (!page) {
			struct remote_answer answer;
			r = ask_missing(file, at / PAGE, ahead(private, at, n - done), &answer);
			bool overtaken = answer.pages && answer.changes != remote_inode(inode)->changes;
			if (overtaken)
				r = put_overtaken(&answer, at, to + done, n - done);
			else if (answer.pages)
				r = remote_keep_answer(inode, &answer);
			if (r <= 0) /* the file is shorter than it was */
				break;
			if (overtaken) {
				done += (size_t)r;
				private->next = offset + done;
			}
			continue;
		}
		size_t run = MIN(MIN(PAGE - at % PAGE, n - done), inode->size - at);
		remote_hold(remote_inode(inode)); /* the buffer may be a mapping of a volume, too */
		size_t moved = buffer_put(to + done, page + at % PAGE, run);
		remote_let_go(remote_inode(inode));
		done += moved;
		private->next = offset + done;
		if (moved < run) {
			r = -EFAULT;
			break;
		}
	}
	return done ? (int64_t)done : r;
}

static int64_t remote_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	int64_t r = remote_refresh(file->inode);
	if (r)
		return r;
	if (file->flags & O_DIRECT && !remote_inode(file->inode)->dirty_count)
		r = read_direct(file, (uint64_t)*position, to, n);
	else
		r = read_kept(file, (uint64_t)*position, to, n);
	if (r > 0)
		*position += r;
	return r;
}

/* ---- writing ---- */

/* from: identity-mapped. Bytes that the host took. */
static int64_t ask_write(struct file *file, uint64_t offset, const void *from, uint32_t n)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_write_in in = { .fh = remote_file(file)->fh, .offset = offset, .size = n };
	struct fuse_write_out out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .send = from, .send_size = n, .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	int64_t r = remote_ask(remote->remote, FUSE_WRITE, remote->node, &words);
	return r < 0 ? r : out.size > n ? -EIO : (int64_t)out.size;
}

/* Pages that are kept show what was written. */
static void into_pages(struct inode *inode, uint64_t offset, const char *from, size_t n)
{
	remote_inode(inode)->changes++;
	for (size_t done = 0, run; done < n; done += run) {
		char *page = remote_page(inode, (offset + done) / PAGE);
		run = MIN(PAGE - (offset + done) % PAGE, n - done);
		if (page)
			memcpy(page + (offset + done) % PAGE, from + done, run);
	}
}

/* What is left of a vector. */
struct source {
	const struct iovec *vector;
	int count;
	size_t used; /* of the first one */
};

/* Pieces as small as a line of a log go to the host together: so much as there is of n bytes, less where memory is missing. */
static size_t gather(char *to, size_t n, struct source *from)
{
	size_t done = 0;
	while (done < n && from->count) {
		size_t want = MIN(n - done, from->vector->iov_len - from->used);
		size_t moved = buffer_get(to + done, (uaddr_t)from->vector->iov_base + from->used, want);
		done += moved;
		from->used += moved;
		if (moved < want)
			break;
		if (from->used == from->vector->iov_len) {
			from->vector++;
			from->count--;
			from->used = 0;
		}
	}
	return done;
}

static int64_t write_piece(struct file *file, uint64_t offset, struct source *from, char *bounce, size_t n)
{
	struct inode *inode = file->inode;
	size_t moved = gather(bounce, n, from);
	int64_t r = moved ? ask_write(file, offset, bounce, (uint32_t)moved) : -EFAULT;
	if (r <= 0)
		return r;
	into_pages(inode, offset, bounce, (size_t)r);
	inode->size = MAX(inode->size, offset + (uint64_t)r);
	remote_inode(inode)->wrote = true; /* its time is another one, and we know why */
	remote_stale(inode);
	remote_file(file)->wrote = true;
	return r;
}

static int64_t write_all(struct file *file, struct source from, size_t n, int64_t *position)
{
	uint64_t count = MIN(ALIGN_UP(n, PAGE) / PAGE, PIECE_PAGES), limit = process_limit(RLIMIT_FSIZE);
	size_t done = 0;
	int64_t r = file->flags & O_APPEND ? remote_refresh(file->inode) : 0;
	if (r || !n)
		return r;
	if (file->flags & O_APPEND)
		*position = (int64_t)file->inode->size;
	if ((uint64_t)*position >= limit && (r = file_size_allowed((uint64_t)*position + n)))
		return r;
	n = MIN(n, limit - MIN((uint64_t)*position, limit));
	char *bounce = page_alloc_run(count);
	if (!bounce && (count = 1, !(bounce = page_alloc_run(1))))
		return -ENOMEM;
	while (done < n) {
		size_t piece = MIN(n - done, count * PAGE);
		r = write_piece(file, (uint64_t)*position, &from, bounce, piece);
		if (r <= 0)
			break;
		done += (size_t)r;
		*position += r;
		if ((size_t)r < piece)
			break;
	}
	page_free_run(bounce, count);
	return done ? (int64_t)done : r;
}

static int64_t remote_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	const struct iovec whole = { .iov_base = (void *)from, .iov_len = n };
	return write_all(file, (struct source){ &whole, 1, 0 }, n, position);
}

static int64_t remote_gather(struct file *file, const struct iovec *vector, int count, int64_t *position)
{
	size_t n = 0;
	for (int i = 0; i < count; i++)
		n += vector[i].iov_len;
	return write_all(file, (struct source){ vector, count, 0 }, n, position);
}

/* ---- shared mappings ---- */

static uint64_t remote_map_page(struct file *file, uint64_t offset, bool for_write)
{
	void *page = offset < file->inode->size ? remote_page(file->inode, offset / PAGE) : NULL;
	return page && (!for_write || remote_mark_dirty(file, offset / PAGE)) ? (uint64_t)page : 0;
}

static int remote_fetch_page(struct file *file, uint64_t offset)
{
	if (remote_page(file->inode, offset / PAGE) && offset < file->inode->size)
		return 0;
	int64_t r = remote_refresh(file->inode);
	if (!r && offset < file->inode->size)
		r = fetch(file, offset / PAGE, ahead(remote_file(file), offset, PAGE));
	if (r > 0)
		remote_file(file)->next = offset + PAGE;
	return r < 0 ? (int)r : 1;
}

/*
 * All pages leave the address space first, and are clean from then on: what is written there meanwhile faults, and makes its page dirty anew. Who
 * comes while they are on their way waits for them, as his own may be among them.
 */
int remote_write_inode(struct inode *inode)
{
	struct remote_inode *remote = remote_inode(inode);
	while (remote->writing)
		if (wait_on(&remote->written, 0))
			return -EINTR;
	if (!remote->dirty_count)
		return 0;
	int err = 0;
	uint64_t *dirty = remote->dirty, words = remote->dirty_words;
	struct file *writer = remote->writer;
	remote->dirty = NULL;
	remote->dirty_words = remote->dirty_count = 0;
	remote->writer = NULL;
	remote->writing = true;
	remote_hold(remote);
	mm_file_cut(inode, 0);
	for (uint64_t index = 0; index / 64 < words; index++) {
		char *page = dirty[index / 64] >> index % 64 & 1 ? remote_page(inode, index) : NULL;
		if (!page || index * PAGE >= inode->size)
			continue;
		uint32_t n = (uint32_t)MIN(PAGE, inode->size - index * PAGE);
		int64_t r = ask_write(writer, index * PAGE, page, n);
		if (r != (int64_t)n && !err)
			err = r < 0 ? (int)r : -EIO;
	}
	kfree(dirty);
	remote_let_go(remote);
	remote->wrote = true;
	remote_stale(inode);
	if (!remote->write_error)
		remote->write_error = err;
	remote->writing = false;
	wake_all(&remote->written, 0);
	file_put(writer);
	return err;
}

/* The same, for who tells of errors, those of others too: once. */
static int write_and_tell(struct inode *inode)
{
	struct remote_inode *remote = remote_inode(inode);
	int err = remote_write_inode(inode);
	if (err == -EINTR)
		return err;
	err = remote->write_error;
	remote->write_error = 0;
	return err;
}

static int remote_sync(struct file *file)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_fsync_in in = { .fh = remote_file(file)->fh };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in) };
	file_get(file);
	int err = write_and_tell(file->inode);
	int64_t r = remote_ask(remote->remote, FUSE_FSYNC, remote->node, &words);
	file_put(file);
	return err ? err : r < 0 ? (int)r : 0;
}

static int remote_write_back(struct file *file)
{
	file_get(file);
	int err = remote_write_inode(file->inode);
	err = err ? err : remote_inode(file->inode)->write_error; /* of who wrote before, munmap(2) for one */
	file_put(file);
	return err;
}

/* close(2): what the host says only then. */
static int remote_flush(struct file *file)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_flush_in in = { .fh = remote_file(file)->fh, .lock_owner = (uint64_t)process_id() };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in) };
	int err = write_and_tell(file->inode);
	if (!remote_file(file)->wrote && !remote->locked)
		return err;
	remote_file(file)->wrote = false;
	int64_t r = remote_ask(remote->remote, FUSE_FLUSH, remote->node, &words);
	return err ? err : r < 0 ? (int)r : 0;
}

/* Who has a lock sees what the one before wrote. */
static int remote_lock(struct file *file, uint64_t owner, bool whole, int type, int64_t first, int64_t last)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_lk_in in = { .fh = remote_file(file)->fh, .owner = owner, .lk_flags = whole ? FUSE_LK_FLOCK : 0,
		.lk = { .start = (uint64_t)first, .end = (uint64_t)last, .type = (uint32_t)type, .pid = (uint32_t)process_id() } };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in) };
	int err = type == F_UNLCK ? remote_write_inode(file->inode) : 0;
	int64_t r = remote_ask(remote->remote, FUSE_SETLK, remote->node, &words);
	if (r >= 0 && type != F_UNLCK) {
		remote_file(file)->locked = true;
		remote->locked |= !whole;
		remote->wrote = false;
		remote_drop_pages(remote);
		remote_stale(file->inode);
	}
	return r < 0 ? (int)r : err;
}

/* ---- the rest ---- */

static int remote_truncate(struct file *file, uint64_t size)
{
	const struct fuse_setattr_in in = { .valid = FATTR_SIZE | FATTR_FH, .fh = remote_file(file)->fh, .size = size };
	int err = size > file->inode->size ? file_size_allowed(size) : 0;
	if (err)
		return err;
	err = remote_setattr(file->inode, &in);
	if (!err)
		remote_drop_pages(remote_inode(file->inode));
	return err;
}

static int remote_allocate(struct file *file, int mode, uint64_t offset, uint64_t len)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_fallocate_in in = { .fh = remote_file(file)->fh, .offset = offset, .length = len, .mode = (uint32_t)mode };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in) };
	int err = remote_write_inode(file->inode);
	int64_t r = err ? err : remote_ask(remote->remote, FUSE_FALLOCATE, remote->node, &words);
	remote_stale(file->inode);
	remote_drop_pages(remote);
	return r < 0 ? (int)r : 0;
}

static int64_t seek_data(struct file *file, int64_t offset, int whence)
{
	struct remote_inode *remote = remote_inode(file->inode);
	const struct fuse_lseek_in in = { .fh = remote_file(file)->fh, .offset = (uint64_t)offset, .whence = (uint32_t)whence };
	struct fuse_lseek_out out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	if (offset < 0)
		return -ENXIO;
	int64_t r = remote_write_inode(file->inode);
	if (!r)
		r = remote_ask(remote->remote, FUSE_LSEEK, remote->node, &words);
	return r < 0 ? r : out.offset > INT64_MAX ? -EIO : (int64_t)out.offset;
}

static int64_t remote_seek(struct file *file, int64_t offset, int whence)
{
	int64_t base = whence == SEEK_CUR ? file->position : 0;
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		file_get(file);
		offset = seek_data(file, offset, whence);
		if (offset >= 0)
			file->position = offset;
		file_put(file);
		return offset;
	}
	if (whence == SEEK_END) {
		file_get(file);
		int err = remote_refresh(file->inode);
		base = (int64_t)file->inode->size;
		file_put(file);
		if (err)
			return err;
	} else if (whence != SEEK_SET && whence != SEEK_CUR) {
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &offset) || offset < 0)
		return -EINVAL;
	return file->position = offset;
}

const struct file_ops remote_file_ops = {
	.kind = "file",
	.read = remote_read,
	.write = remote_write,
	.gather = remote_gather,
	.seek = remote_seek,
	.truncate = remote_truncate,
	.allocate = remote_allocate,
	.sync = remote_sync,
	.write_back = remote_write_back,
	.flush = remote_flush,
	.lock = remote_lock,
	.map_page = remote_map_page,
	.fetch_page = remote_fetch_page,
	.release = remote_release,
};
