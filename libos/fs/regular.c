/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files: pages in RAM over what the image has. A page is copied from the image when it is written for the first time. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define PAGE 4096ull
#define SIZE_MOST (1ull << 46)
#define RESERVE_RUN 64 /* pages that fallocate takes at once */
#define LEFT_FREE (1ull << 20) /* what files leave for all else: a program whose disk is full has to be able to say so */

static const void *page_at(struct inode *inode, uint64_t index)
{
	if (!inode->pages.count)
		return NULL;
	void **slot = store_slot(&inode->pages, index, false);
	return slot ? *slot : NULL;
}

int inode_run(struct inode *inode, uint64_t offset, const uint8_t **data, size_t *len)
{
	*data = NULL;
	*len = 0;
	if (offset >= inode->size)
		return 0;
	uint64_t end = inode->size;
	const uint8_t *page = page_at(inode, offset / PAGE);
	if (page) {
		*data = page + offset % PAGE;
		*len = MIN(PAGE - offset % PAGE, end - offset);
		return 0;
	}
	uint64_t next = store_next(&inode->pages, offset / PAGE);
	if (next < end / PAGE + 1)
		end = MIN(end, next * PAGE);
	*len = end - offset;
	if (offset >= inode->lower_size)
		return 0;
	size_t run;
	int err = image_map(inode->lower, offset, data, &run);
	*len = MIN(MIN(end, inode->lower_size) - offset, run);
	return err;
}

int64_t inode_read(struct inode *inode, uint64_t offset, uaddr_t to, size_t n)
{
	size_t done = 0;
	while (done < n) {
		const uint8_t *data;
		size_t run;
		int err = inode_run(inode, offset + done, &data, &run);
		if (err)
			return err;
		if (!run)
			break;
		run = MIN(run, n - done);
		size_t moved = data ? buffer_put(to + done, data, run) : buffer_zero(to + done, run);
		done += moved;
		if (moved < run)
			return done ? (int64_t)done : -EFAULT;
	}
	return (int64_t)done;
}

static uint64_t left_free(void)
{
	return MIN(LEFT_FREE, page_total_bytes() / 16);
}

/* Told outside, too: many programs have no words for it. */
static int full(void)
{
	shared_page->files_full++;
	return -ENOSPC;
}

/* So many pages more, if its file system may have them. */
static bool room_take(const struct inode *inode, uint64_t pages)
{
	struct fs_room *room = inode->fs->room;
	if (room && pages > room->most - MIN(room->most, room->used))
		return false;
	if (room)
		room->used += pages;
	return true;
}

static void room_give(const struct inode *inode, uint64_t pages)
{
	if (inode->fs->room)
		inode->fs->room->used -= pages;
}

void inode_cut(struct inode *inode, uint64_t from, uint64_t to)
{
	uint64_t before = inode->pages.count;
	store_cut(&inode->pages, from, to);
	room_give(inode, before - inode->pages.count);
}

/* Fills a new page with what the file has there now. */
static int fill_page(struct inode *inode, uint64_t offset, char *page)
{
	int64_t r = inode_read(inode, offset, (uaddr_t)page, PAGE);
	if (r < 0)
		return (int)r;
	memset(page + r, 0, PAGE - (size_t)r);
	return 0;
}

/* The page at index, as one that may be written; whole: the caller overwrites all of it. */
static int own_page(struct inode *inode, uint64_t index, bool whole, char **page)
{
	void **slot = store_slot(&inode->pages, index, true);
	if (!slot || (!*slot && page_free_bytes() < left_free()))
		return full();
	if (!*slot) {
		bool covers = index * PAGE < inode->lower_size; /* bytes of the image, which others may see in place now */
		char *new = whole || covers ? page_alloc(0) : page_alloc_zeroed(0);
		int err = new ? 0 : full();
		if (new && !room_take(inode, 1))
			err = -ENOSPC;
		if (!err && !whole && covers)
			err = fill_page(inode, index * PAGE, new);
		if (!err && covers)
			mm_file_cut(inode, index * PAGE);
		if (err) {
			if (new)
				page_free(new, 0);
			return err;
		}
		*slot = new;
		inode->pages.count++;
	}
	*page = *slot;
	return 0;
}

int64_t inode_write(struct inode *inode, uint64_t offset, uaddr_t from, size_t n)
{
	size_t done = 0;
	int err = 0;
	if (offset >= SIZE_MOST)
		return -EFBIG;
	n = MIN(n, SIZE_MOST - offset);
	while (done < n) {
		uint64_t at = offset + done;
		size_t take = MIN(PAGE - at % PAGE, n - done);
		char *page;
		bool fresh = take == PAGE && !page_at(inode, at / PAGE); /* then nobody fills it but this write */
		err = own_page(inode, at / PAGE, take == PAGE, &page);
		if (err)
			break;
		size_t moved = buffer_get(page + at % PAGE, from + done, take);
		if (moved < take) {
			if (fresh) /* the program's buffer ends inside the page: the file keeps what it had there */
				inode_cut(inode, at / PAGE, at / PAGE + 1);
			done += fresh ? 0 : moved;
			err = -EFAULT;
			break;
		}
		done += take;
	}
	if (done) {
		if (offset + done > inode->size)
			inode->size = offset + done;
		inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	}
	return done ? (int64_t)done : err;
}

/* Zeroes [from, to) inside one page, if there is anything but zeros. */
static int zero_inside(struct inode *inode, uint64_t from, uint64_t to)
{
	char *page;
	if (from >= to || (!page_at(inode, from / PAGE) && from >= inode->lower_size))
		return 0;
	int err = own_page(inode, from / PAGE, false, &page);
	if (!err)
		memset(page + from % PAGE, 0, to - from);
	return err;
}

int inode_truncate(struct inode *inode, uint64_t size)
{
	int err = size > inode->size ? file_size_allowed(size) : 0;
	if (err || size > SIZE_MOST)
		return err ? err : -EFBIG;
	if (remote_of(inode))
		return inode_change(inode, &(struct attr_change){ .what = CHANGE_SIZE, .size = size });
	if ((size < inode->size && (inode->seals & F_SEAL_SHRINK)) || (size > inode->size && (inode->seals & F_SEAL_GROW)))
		return -EPERM;
	if (size < inode->size) {
		mm_file_cut(inode, ALIGN_UP(size, PAGE));
		inode_cut(inode, ALIGN_UP(size, PAGE) / PAGE, UINT64_MAX);
		inode->size = size;
		inode->lower_size = MIN(inode->lower_size, size);
		char *page = (char *)page_at(inode, size / PAGE);
		if (page && size % PAGE)
			memset(page + size % PAGE, 0, PAGE - size % PAGE);
	}
	inode->size = size;
	inode_drop_set_id(inode);
	inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

/* A hole: whole pages go, and must hide the image's. */
static int punch(struct inode *inode, uint64_t from, uint64_t to)
{
	to = MIN(to, inode->size);
	if (from >= to)
		return 0;
	uint64_t first = ALIGN_UP(from, PAGE), last = ALIGN_DOWN(to, PAGE);
	int err = zero_inside(inode, from, MIN(first, to));
	if (!err && last >= first)
		err = zero_inside(inode, last, to);
	if (err || first >= last)
		return err;
	for (uint64_t at = first; !err && at < MIN(last, inode->lower_size); at += PAGE)
		err = zero_inside(inode, at, at + PAGE);
	uint64_t keep = MAX(first, ALIGN_UP(MIN(inode->lower_size, last), PAGE));
	if (!err && keep < last) {
		mm_file_cut(inode, keep);
		inode_cut(inode, keep / PAGE, last / PAGE);
	}
	return err;
}

/* Fresh pages for a run of holes. */
static int reserve_run(struct inode *inode, uint64_t index, uint64_t count)
{
	if (!room_take(inode, count))
		return -ENOSPC;
	char *pages = page_alloc_run_zeroed(count);
	if (!pages)
		return room_give(inode, count), -ENOSPC;
	for (uint64_t i = 0; i < count; i++) {
		void **slot = store_slot(&inode->pages, index + i, true);
		if (!slot) {
			room_give(inode, count - i);
			for (; i < count; i++)
				page_free(pages + i * PAGE, 0);
			return -ENOSPC;
		}
		*slot = pages + i * PAGE;
		inode->pages.count++;
	}
	return 0;
}

/*
 * Pages for [from, to), so that writing there cannot fail for want of memory; what lies in the image has its place
 * already. All or nothing, but for what other pages the tree of pages itself needs.
 */
static int reserve(struct inode *inode, uint64_t from, uint64_t to)
{
	uint64_t last = ALIGN_UP(to, PAGE) / PAGE, need = 0;
	for (uint64_t index = from / PAGE; index < last; index++)
		need += !page_at(inode, index) && index * PAGE >= inode->lower_size;
	if (need * PAGE + left_free() > page_free_bytes())
		return need ? full() : 0;
	for (uint64_t index = from / PAGE; index < last;) {
		uint64_t run = 0;
		while (index + run < last && run < RESERVE_RUN && !page_at(inode, index + run) && (index + run) * PAGE >= inode->lower_size)
			run++;
		int err = run ? reserve_run(inode, index, run) : 0;
		if (err)
			return err;
		index += MAX(run, 1);
	}
	return 0;
}

static int check_fallocate(const struct inode *inode, int mode, uint64_t end)
{
	int what = mode & ~FALLOC_FL_KEEP_SIZE;
	if ((what && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE) || mode == FALLOC_FL_PUNCH_HOLE)
		return -EOPNOTSUPP;
	if (end > SIZE_MOST)
		return -EFBIG;
	if (what && (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	if (what != FALLOC_FL_PUNCH_HOLE && end > inode->size && (inode->seals & F_SEAL_GROW))
		return -EPERM;
	return end > inode->size && !(mode & FALLOC_FL_KEEP_SIZE) ? file_size_allowed(end) : 0;
}

int inode_fallocate(struct inode *inode, int mode, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len;
	int err = check_fallocate(inode, mode, end);
	if (!err && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		err = punch(inode, offset, end);
	if (!err && !(mode & FALLOC_FL_PUNCH_HOLE))
		err = len > page_free_bytes() + inode->pages.count * PAGE + inode->lower_size ? -ENOSPC : reserve(inode, offset, end);
	if (err)
		return err;
	if (end > inode->size && !(mode & FALLOC_FL_KEEP_SIZE))
		inode->size = end;
	inode_drop_set_id(inode);
	inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

/* ---- limits and seals ---- */

int file_size_allowed(uint64_t size)
{
	struct siginfo_k info = { .code = SI_KERNEL };
	if (size <= process_limit(RLIMIT_FSIZE))
		return 0;
	signal_send(current, SIGXFSZ, &info);
	return -EFBIG;
}

int inode_check_shared_map(const struct inode *inode, uint32_t prot)
{
	return (prot & PROT_WRITE) && (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ? -EPERM : 0;
}

/* Is this a shared mapping through which the file is or could become written? */
static bool maps_for_writing(const struct vma *vma, const void *inode)
{
	if (!vma->file || vma->file->inode != inode || !(vma->flags & MAP_SHARED) || (vma->file->flags & O_ACCMODE) != O_RDWR)
		return false;
	return (vma->prot & PROT_WRITE) || !(vma->file->inode->seals & F_SEAL_FUTURE_WRITE);
}

int inode_seal(struct inode *inode, uint32_t add)
{
	if (add & ~(uint32_t)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EINVAL;
	if (inode->seals & F_SEAL_SEAL)
		return -EPERM;
	if ((add & F_SEAL_WRITE) && !(inode->seals & F_SEAL_WRITE) && mm_any(maps_for_writing, inode))
		return -EBUSY;
	inode->seals |= add;
	return 0;
}

/* ---- as a file ---- */

static int64_t regular_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	int64_t r = inode_read(file->inode, (uint64_t)*position, to, n);
	if (r > 0)
		*position += r;
	return r;
}

static int64_t regular_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct inode *inode = file->inode;
	if (file->flags & O_APPEND)
		*position = (int64_t)inode->size;
	uint64_t limit = process_limit(RLIMIT_FSIZE);
	int err = n && (uint64_t)*position >= limit ? file_size_allowed((uint64_t)*position + n) : 0;
	if (err)
		return err;
	n = MIN(n, limit - MIN((uint64_t)*position, limit));
	if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (inode->seals & F_SEAL_GROW && (uint64_t)*position + n > inode->size) { /* whole pages that fit are written, as Linux goes */
		uint64_t end = ALIGN_DOWN(inode->size, LV_PAGE);
		if ((uint64_t)*position >= end)
			return -EPERM;
		n = end - (uint64_t)*position;
	}
	int64_t r = inode_write(inode, (uint64_t)*position, from, n);
	if (r > 0)
		inode_drop_set_id(inode);
	if (r > 0)
		*position += r;
	return r;
}

/* The end of the run of data, or of holes, that begins at offset. */
static uint64_t run_end(struct inode *inode, uint64_t offset, bool hole)
{
	while (offset < inode->size) {
		const uint8_t *data;
		size_t len;
		if (inode_run(inode, offset, &data, &len) || !len || (data == NULL) != hole)
			break;
		offset += len;
	}
	return offset;
}

static int64_t regular_seek(struct file *file, int64_t offset, int whence)
{
	struct inode *inode = file->inode;
	int64_t size = (int64_t)inode->size;
	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		offset = (int64_t)((uint64_t)offset + (uint64_t)file->position);
		break;
	case SEEK_END:
		offset = (int64_t)((uint64_t)offset + (uint64_t)size);
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (offset < 0 || offset >= size)
			return -ENXIO;
		offset = (int64_t)run_end(inode, (uint64_t)offset, whence == SEEK_DATA);
		if (whence == SEEK_DATA && offset >= size)
			return -ENXIO;
		break;
	default:
		return -EINVAL;
	}
	if (offset < 0)
		return -EINVAL;
	file->position = offset;
	return offset;
}

static int regular_truncate(struct file *file, uint64_t size)
{
	return inode_truncate(file->inode, size);
}

/* Whoever may write through this file, or shares a RAM file, must see the page that others write. */
static uint64_t regular_map_page(struct file *file, uint64_t offset, bool for_write)
{
	struct inode *inode = file->inode;
	if (offset >= inode->size)
		return 0;
	const void *page = page_at(inode, offset / PAGE);
	if (page && for_write) /* the first write since it was mapped: the rest go by unseen */
		inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	if (page)
		return (uint64_t)page;
	const uint8_t *data;
	size_t len;
	if (!for_write && (file->flags & O_ACCMODE) == O_RDONLY && offset < inode->lower_size &&
	    (offset + PAGE <= inode->lower_size || inode->lower_size == inode->size) &&
	    !image_map(inode->lower, offset, &data, &len) && data && (uint64_t)data % PAGE == 0 &&
	    (len >= PAGE || offset + len == inode->size))
		return (uint64_t)data;
	char *own;
	if (own_page(inode, offset / PAGE, false, &own))
		return 0;
	if (for_write)
		inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	return (uint64_t)own;
}

/* What is there already, without making anything. */
static uint64_t regular_present_page(struct file *file, uint64_t offset)
{
	return offset < file->inode->size ? (uint64_t)page_at(file->inode, offset / PAGE) : 0;
}

const struct file_ops regular_ops = {
	.kind = "file",
	.read = regular_read,
	.write = regular_write,
	.seek = regular_seek,
	.truncate = regular_truncate,
	.map_page = regular_map_page,
	.present_page = regular_present_page,
};
