/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of live volumes' files that are kept, which of them the host has not yet, and who loses them when memory is short. */
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"

#define PAGE REMOTE_PAGE

/* Inodes with pages, the one that was read last first. */
static struct {
	struct remote_inode *newest, *oldest;
	uint64_t pages;
} cache SELDOM_USED;

void *remote_page(struct inode *inode, uint64_t index)
{
	void **slot = inode->pages.count ? store_slot(&inode->pages, index, false) : NULL;
	return slot ? *slot : NULL;
}

static void cache_remove(struct remote_inode *inode)
{
	if (!inode->newer && !inode->older && cache.newest != inode)
		return;
	if (inode->newer)
		inode->newer->older = inode->older;
	else
		cache.newest = inode->older;
	if (inode->older)
		inode->older->newer = inode->newer;
	else
		cache.oldest = inode->newer;
	inode->newer = inode->older = NULL;
}

void remote_was_read(struct remote_inode *inode)
{
	if (cache.newest == inode)
		return;
	cache_remove(inode);
	inode->older = cache.newest;
	if (cache.newest)
		cache.newest->newer = inode;
	else
		cache.oldest = inode;
	cache.newest = inode;
}

bool remote_is_dirty(const struct remote_inode *inode, uint64_t index)
{
	return index / 64 < inode->dirty_words && inode->dirty[index / 64] >> index % 64 & 1;
}

/* Pages [from, to), but for those that the host has not yet. */
static void cut(struct remote_inode *remote, uint64_t from, uint64_t to)
{
	struct page_store *pages = &remote->inode.pages;
	uint64_t before = pages->count;
	if (remote->held) {
		remote->drop = true;
		return;
	}
	mm_file_cut(&remote->inode, from * PAGE);
	for (uint64_t at = from, stop; remote->dirty_count && at < to; at = stop + 1) {
		for (stop = at; stop < to && stop / 64 < remote->dirty_words && !remote_is_dirty(remote, stop); stop++)
			;
		if (stop / 64 >= remote->dirty_words)
			stop = to - 1;
		store_cut(pages, at, remote_is_dirty(remote, stop) ? stop : to);
	}
	if (!remote->dirty_count)
		store_cut(pages, from, to);
	cache.pages -= before - pages->count;
	if (!pages->count)
		cache_remove(remote);
}

void remote_drop_pages(struct remote_inode *inode)
{
	inode->changes++;
	if (inode->inode.pages.count)
		cut(inode, 0, UINT64_MAX);
}

void remote_hold(struct remote_inode *inode)
{
	inode->held++;
}

void remote_let_go(struct remote_inode *inode)
{
	if (--inode->held || !inode->drop)
		return;
	inode->drop = false;
	remote_drop_pages(inode);
}

/* A quarter of memory at most; who was read longest ago goes first. */
void remote_make_room(uint64_t pages, const struct remote_inode *keep)
{
	uint64_t most = page_total_bytes() / PAGE / 4;
	for (struct remote_inode *inode = cache.oldest, *newer; inode && cache.pages + pages > most; inode = newer) {
		newer = inode->newer;
		if (inode == keep && cache.newest != cache.oldest)
			continue;
		if (inode->dirty_count && !inode->held) { /* which may wait: the list may be another one then */
			if (remote_write_inode(&inode->inode))
				return;
			newer = cache.oldest;
			continue;
		}
		cut(inode, 0, UINT64_MAX);
	}
}

bool remote_keep_page(struct remote_inode *remote, uint64_t index, char *page)
{
	void **slot = store_slot(&remote->inode.pages, index, true);
	if (!slot || *slot)
		return false;
	*slot = page;
	remote->inode.pages.count++;
	cache.pages++;
	return true;
}

int64_t remote_keep_answer(struct inode *inode, const struct remote_answer *answer)
{
	struct remote_inode *remote = remote_inode(inode);
	const int64_t n = answer->n;
	const uint64_t got = n > 0 ? ALIGN_UP((uint64_t)n, PAGE) / PAGE : 0, good = answer->changes == remote->changes ? got : 0;
	if (!inode->pages.count)
		remote->data_mtime = inode->mtime;
	if (n > 0)
		memset(answer->pages + n, 0, got * PAGE - (uint64_t)n);
	for (uint64_t i = 0; i < answer->count; i++)
		if (i >= good || !remote_keep_page(remote, answer->first + i, answer->pages + i * PAGE))
			page_free(answer->pages + i * PAGE, 0);
	if (inode->pages.count)
		remote_was_read(remote);
	if (n < 0)
		return n;
	return good && !remote_page(inode, answer->first) ? -ENOMEM : (int64_t)got; /* it came, and there was no memory to find it by */
}

bool remote_mark_dirty(struct file *file, uint64_t index)
{
	struct remote_inode *inode = remote_inode(file->inode);
	uint64_t words = index / 64 + 1;
	if (remote_is_dirty(inode, index))
		return true;
	if (words > inode->dirty_words) {
		words = MAX(words, 2 * inode->dirty_words);
		uint64_t *more = krealloc(inode->dirty, words * sizeof(*more));
		if (!more)
			return false;
		memset(more + inode->dirty_words, 0, (words - inode->dirty_words) * sizeof(*more));
		inode->dirty = more;
		inode->dirty_words = words;
	}
	inode->dirty[index / 64] |= 1ull << index % 64;
	if (!inode->dirty_count++) {
		file_get(file);
		inode->writer = file;
	}
	return true;
}

static struct remote_inode *first_dirty(const struct remote_fs *only, unsigned *count)
{
	struct remote_inode *first = NULL;
	*count = 0;
	for (struct remote_inode *inode = cache.oldest; inode; inode = inode->newer) {
		if ((only && inode->remote != only) || (!inode->dirty_count && !inode->writing))
			continue;
		first = first ? first : inode;
		++*count;
	}
	return first;
}

int remote_write_all(const struct remote_fs *only)
{
	unsigned left, now;
	int err = 0;
	/* As many as there are now: who writes all the while does not hold this up for ever. The list may be another one after each. */
	for (struct remote_inode *inode = first_dirty(only, &left); inode && left--; inode = first_dirty(only, &now)) {
		inode_get(&inode->inode);
		int r = remote_write_inode(&inode->inode);
		inode_put(&inode->inode);
		if (r == -EINTR)
			return r;
		err = err ? err : r;
	}
	return err;
}

void remote_end(void)
{
	fs_links_stay(true);
	for (struct remote_inode *inode = cache.newest, *older; inode; inode = older) {
		older = inode->older;
		remote_write_inode(&inode->inode);
	}
	fs_links_stay(false);
}
