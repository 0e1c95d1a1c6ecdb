/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files: pages in RAM over what the image has. A page is copied from the image when it is written for the first time. */
#include "libos/mm/mm.h"
#include "libos/fs/vfs.h"

#define PAGE 4096ull
#define SIZE_MOST (1ull << 46)


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
	int r = image_map(inode->lower, offset, data, &run);
	*len = MIN(MIN(end, inode->lower_size) - offset, run);
	return r;
}

int64_t inode_read(struct inode *inode, uint64_t offset, uaddr_t to, size_t n)
{
	size_t done = 0;
	while (done < n) {
		const uint8_t *data;
		size_t run;
		int r = inode_run(inode, offset + done, &data, &run);
		if (r)
			return r;
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

/* Fills a new page with what the file has there now. */
static int fill_page(struct inode *inode, uint64_t offset, char *page)
{
	int64_t r = offset < inode->lower_size ? inode_read(inode, offset, (uaddr_t)page, PAGE) : 0;
	if (r < 0)
		return (int)r;
	memset(page + r, 0, PAGE - (size_t)r);
	return 0;
}

/* The page at index, as one that may be written; whole: the caller overwrites all of it. */
static int own_page(struct inode *inode, uint64_t index, bool whole, char **page)
{
	void **slot = store_slot(&inode->pages, index, true);
	if (!slot)
		return -ENOSPC;
	if (!*slot) {
		char *new = page_alloc(0);
		int r = new ? 0 : -ENOSPC;
		if (new && !whole)
			r = fill_page(inode, index * PAGE, new);
		if (r) {
			if (new)
				page_free(new, 0);
			return r;
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
	int r = 0;
	if (offset >= SIZE_MOST)
		return -EFBIG;
	n = MIN(n, SIZE_MOST - offset);
	while (done < n) {
		uint64_t at = offset + done;
		size_t take = MIN(PAGE - at % PAGE, n - done);
		char *page;
		bool fresh = take == PAGE && !page_at(inode, at / PAGE); /* then nobody fills it but this write */
		r = own_page(inode, at / PAGE, take == PAGE, &page);
		if (r)
			break;
		size_t moved = buffer_get(page + at % PAGE, from + done, take);
		if (moved < take) {
			if (fresh) /* the program's buffer ends inside the page: the file keeps what it had there */
				store_cut(&inode->pages, at / PAGE, at / PAGE + 1);
			done += fresh ? 0 : moved;
			r = -EFAULT;
			break;
		}
		done += take;
	}
	if (done) {
		if (offset + done > inode->size)
			inode->size = offset + done;
		inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	}
	return done ? (int64_t)done : r;
}

/* Zeroes [from, to) inside one page, if there is anything but zeros. */
static int zero_inside(struct inode *inode, uint64_t from, uint64_t to)
{
	char *page;
	if (from >= to || (!page_at(inode, from / PAGE) && from >= inode->lower_size))
		return 0;
	int r = own_page(inode, from / PAGE, false, &page);
	if (!r)
		memset(page + from % PAGE, 0, to - from);
	return r;
}

int inode_truncate(struct inode *inode, uint64_t size)
{
	if (size > SIZE_MOST)
		return -EFBIG;
	if ((inode->seals & F_SEAL_WRITE) || (size < inode->size && (inode->seals & F_SEAL_SHRINK)) ||
	    (size > inode->size && (inode->seals & F_SEAL_GROW)))
		return -EPERM;
	if (size < inode->size) {
		mm_file_cut(inode, ALIGN_UP(size, PAGE));
		store_cut(&inode->pages, ALIGN_UP(size, PAGE) / PAGE, UINT64_MAX);
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
	int r = zero_inside(inode, from, MIN(first, to));
	if (!r && last >= first)
		r = zero_inside(inode, last, to);
	if (r || first >= last)
		return r;
	for (uint64_t at = first; !r && at < MIN(last, inode->lower_size); at += PAGE)
		r = zero_inside(inode, at, at + PAGE);
	uint64_t keep = MAX(first, ALIGN_UP(MIN(inode->lower_size, last), PAGE));
	if (!r && keep < last) {
		mm_file_cut(inode, keep);
		store_cut(&inode->pages, keep / PAGE, last / PAGE);
	}
	return r;
}

int inode_fallocate(struct inode *inode, int mode, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (end > SIZE_MOST || end < offset)
		return -EFBIG;
	if (inode->seals & F_SEAL_WRITE)
		return -EPERM;
	if (end > inode->size && !(mode & FALLOC_FL_KEEP_SIZE) && (inode->seals & F_SEAL_GROW))
		return -EPERM;
	int r = 0;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		r = punch(inode, offset, end);
	else if (len > page_free_bytes()) /* pages come when they are written; only the promise is made here */
		r = -ENOSPC;
	if (!r && end > inode->size && !(mode & FALLOC_FL_KEEP_SIZE))
		inode->size = end;
	inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
	return r;
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
	if (inode->seals && ((inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
			     ((inode->seals & F_SEAL_GROW) && (uint64_t)*position + n > inode->size)))
		return -EPERM;
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

const struct file_ops regular_ops = {
	.kind = "file",
	.read = regular_read,
	.write = regular_write,
	.seek = regular_seek,
	.truncate = regular_truncate,
	.map_page = regular_map_page,
};
