/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of a file in RAM, by index. Sparse: what was never written takes no memory. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"

#define FAN_BITS 9
#define FAN (1u << FAN_BITS)

static unsigned height_for(uint64_t index)
{
	unsigned height = 1;
	while (index >> (FAN_BITS * height))
		height++;
	return height;
}

static bool store_grow(struct page_store *store, unsigned height)
{
	if (!store->root) {
		store->root = page_alloc_zeroed(0);
		store->height = store->root ? height : 0;
		return store->root;
	}
	while (store->height < height) {
		void **node = page_alloc_zeroed(0);
		if (!node)
			return false;
		node[0] = store->root;
		store->root = node;
		store->height++;
	}
	return true;
}

void **store_slot(struct page_store *store, uint64_t index, bool make)
{
	if (index < STORE_DIRECT)
		return &store->direct[index];
	unsigned height = height_for(index);
	if (store->height < height && (!make || !store_grow(store, height)))
		return NULL;
	void **node = store->root;
	for (unsigned level = store->height - 1; level > 0; level--) {
		void **next = &node[(index >> (FAN_BITS * level)) & (FAN - 1)];
		if (!*next && make)
			*next = page_alloc_zeroed(0);
		if (!*next)
			return NULL;
		node = *next;
	}
	return &node[index & (FAN - 1)];
}

/* The first page at or after index in this node, which begins at base. */
static uint64_t node_next(void *const *node, unsigned level, uint64_t base, uint64_t index)
{
	uint64_t step = 1ull << (FAN_BITS * level);
	for (unsigned i = index > base ? (unsigned)((index - base) / step) : 0; i < FAN; i++) {
		uint64_t start = base + i * step;
		if (!node[i])
			continue;
		uint64_t found = level ? node_next(node[i], level - 1, start, index) : start;
		if (found != UINT64_MAX)
			return found;
	}
	return UINT64_MAX;
}

uint64_t store_next(const struct page_store *store, uint64_t index)
{
	if (!store->count)
		return UINT64_MAX;
	for (; index < STORE_DIRECT; index++)
		if (store->direct[index])
			return index;
	if (!store->root || index >> (FAN_BITS * store->height))
		return UINT64_MAX;
	return node_next(store->root, store->height - 1, 0, index);
}

/* Frees [from, to) below this node; true if the node is empty afterwards. */
static bool node_cut(struct page_store *store, void **node, unsigned level, uint64_t base, uint64_t from, uint64_t to)
{
	uint64_t step = 1ull << (FAN_BITS * level);
	bool empty = true;
	for (unsigned i = 0; i < FAN; i++) {
		uint64_t start = base + i * step;
		if (!node[i])
			continue;
		bool gone = start < to && start + step > from;
		if (gone && level)
			gone = node_cut(store, node[i], level - 1, start, from, to);
		else if (gone)
			store->count--;
		if (gone) {
			page_free(node[i], 0);
			node[i] = NULL;
		} else {
			empty = false;
		}
	}
	return empty;
}

void store_cut(struct page_store *store, uint64_t from, uint64_t to)
{
	if (!store->count && !store->root)
		return;
	for (uint64_t i = from; i < STORE_DIRECT && i < to; i++) {
		if (!store->direct[i])
			continue;
		page_free(store->direct[i], 0);
		store->direct[i] = NULL;
		store->count--;
	}
	if (!store->root || !node_cut(store, store->root, store->height - 1, 0, from, to))
		return;
	page_free(store->root, 0);
	store->root = NULL;
	store->height = 0;
}
