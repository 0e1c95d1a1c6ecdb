/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical pages. Touching a page for the first time costs the host a page and 24 us, so nothing is kept inside free
 * pages: each 2 MiB block of RAM that is in use has a bitmap of its free pages and one of those that hold old data.
 * Pages with old data are handed out first (the host backs them already); clean pages are known to be zero.
 *
 * There are two pools. The first LV_RAM_SMALL bytes are backed by the host page by page: small programs live there.
 * The rest is backed by 2 MiB pages: what wants whole ones takes them there first, everybody else when the first is full.
 */
#include "libos/mm/space.h"

#define BLOCK_SHIFT 21
#define BLOCK_SIZE (1ull << BLOCK_SHIFT)
#define BLOCK_PAGES 512
#define WORDS 8
#define MAX_ORDER 9
#define BLOCKS_MAX (LV_RAM_MAX / BLOCK_SIZE)
#define NONE 0xffffu

#define GROW_FIRST (16ull << 20)
#define GROW_MOST (256ull << 20)
#define FETCH_LEAST 4 /* pages that make an exit worth it */
#define RELEASE_ORDER 4 /* blocks of 64 KiB and more go back to the host */
#define RELEASE_IDLE (1ull << 20)
#define RELEASE_BUSY (32ull << 20)
#define RELEASE_PAUSE (100 * 1000000ull)
#define KEPT_MOST (512ull << 10)

struct block {
	uint64_t free[WORDS];
	uint64_t dirty[WORDS]; /* of free pages: contents are not zero */
	uint16_t next, prev;   /* in the list of its bound */
	uint8_t bound;         /* no free run is of a higher order; MAX_ORDER + 1: in no list */
	uint16_t *sharers;     /* by page: how many have it beside one; NULL: nobody forked yet */
};
#define PER_PAGE (LV_PAGE / sizeof(struct block))

static struct block *block_page[BLOCKS_MAX / PER_PAGE + 1] __attribute__((section(".bss..grows")));
enum { SMALL, LARGE, POOLS };
static uint16_t list[POOLS][MAX_ORDER + 1];
static uint64_t next[POOLS];  /* the first block that is not described yet: all of its pages are free and zero */
static bool ready;
static uint64_t ram_end;      /* as the lists know it */
static uint64_t used;  /* bytes */
static uint64_t dirty_bytes;  /* free, but still with the host */
static uint64_t grow_step = GROW_FIRST;
static uint64_t last_release;
bool page_last_too;

static void set_used(uint64_t bytes)
{
	used = bytes;
	shared_page->memory_used = bytes;
}

static unsigned pool_of(uint64_t index)
{
	return index < LV_RAM_SMALL / BLOCK_SIZE ? SMALL : LARGE;
}

static uint64_t pool_end(unsigned pool)
{
	return pool == SMALL ? LV_RAM_SMALL / BLOCK_SIZE : BLOCKS_MAX;
}

static struct block *block_at(uint64_t index)
{
	return block_page[index / PER_PAGE] + index % PER_PAGE;
}

static uint64_t block_address(uint64_t index)
{
	return LV_RAM + index * BLOCK_SIZE;
}

/* ---- lists by the largest free run ---- */

static void list_remove(uint64_t index)
{
	struct block *block = block_at(index);

	if (block->bound > MAX_ORDER)
		return;
	if (block->prev != NONE)
		block_at(block->prev)->next = block->next;
	else
		list[pool_of(index)][block->bound] = block->next;
	if (block->next != NONE)
		block_at(block->next)->prev = block->prev;
	block->bound = MAX_ORDER + 1;
}

static void list_insert(uint64_t index, int bound)
{
	struct block *block = block_at(index);
	uint16_t *first;

	if (block->bound == bound)
		return;
	list_remove(index);
	if (bound < 0)
		return;
	block->bound = bound;
	block->prev = NONE;
	first = &list[pool_of(index)][bound];
	block->next = *first;
	if (block->next != NONE)
		block_at(block->next)->prev = index;
	*first = index;
}

/* Bit i of the answer: pages [i, i + 2^order) of the word are all set, i a multiple of 2^order (at most 6). */
static uint64_t runs_of(uint64_t word, unsigned order)
{
	static const uint64_t starts[] = { ~0ull, 0x5555555555555555ull, 0x1111111111111111ull, 0x0101010101010101ull,
		0x0001000100010001ull, 0x0000000100000001ull, 1 };

	for (unsigned i = 0; i < order; i++)
		word &= word >> (1u << i);
	return word & starts[order];
}

static int run_find(const uint64_t *map, unsigned order)
{
	unsigned step;

	if (order <= 6) {
		for (unsigned w = 0; w < WORDS; w++) {
			uint64_t runs = map[w] ? runs_of(map[w], order) : 0;

			if (runs)
				return w * 64 + __builtin_ctzll(runs);
		}
		return -1;
	}
	step = 1u << (order - 6);
	for (unsigned w = 0; w < WORDS; w += step) {
		uint64_t all = ~0ull;

		for (unsigned i = 0; i < step; i++)
			all &= map[w + i];
		if (all == ~0ull)
			return w * 64;
	}
	return -1;
}

static int largest_run(const struct block *block)
{
	int order = MAX_ORDER;

	while (order >= 0 && run_find(block->free, order) < 0)
		order--;
	return order;
}

/* ---- bits ---- */

static uint64_t mask_of(unsigned first, unsigned count)
{
	return (count >= 64 ? ~0ull : (1ull << count) - 1) << first;
}

/* Counts the bits of map in [first, first + count), after setting (1) or clearing (0) them, or neither (-1). */
static unsigned bits(uint64_t *map, unsigned first, unsigned count, int set)
{
	unsigned were = 0;

	while (count) {
		unsigned in_word = MIN(64 - first % 64, count);
		uint64_t mask = mask_of(first % 64, in_word), *word = &map[first / 64];

		were += __builtin_popcountll(*word & mask);
		if (set == 1)
			*word |= mask;
		else if (set == 0)
			*word &= ~mask;
		first += in_word;
		count -= in_word;
	}
	return were;
}

/* ---- fresh memory ---- */

/* The description of a block lies in its first free page if there is no room for it yet. */
static bool block_open(unsigned pool)
{
	uint64_t index = next[pool], start = block_address(index), taken = index ? device_page->more_end : device_page->heap_start, first = 0, last;
	struct block *block;

	if (index >= pool_end(pool) || start >= ram_end)
		return false;
	last = MIN(BLOCK_SIZE, ram_end - start) / LV_PAGE;
	if (start < taken)
		first = MIN((ALIGN_UP(taken, LV_PAGE) - start) / LV_PAGE, last);
	next[pool]++;
	if (!block_page[index / PER_PAGE]) {
		if (first == last) /* nothing of this block is ours */
			return block_open(pool);
		block_page[index / PER_PAGE] = (struct block *)(start + first++ * LV_PAGE);
		set_used(used + LV_PAGE);
	}
	block = block_at(index);
	block->bound = MAX_ORDER + 1;
	bits(block->free, first, last - first, 1);
	list_insert(index, largest_run(block));
	return true;
}

static void extend_block(uint64_t index, uint64_t end)
{
	uint64_t start = block_address(index), to = MIN(end, start + BLOCK_SIZE);
	struct block *block = block_at(index);

	bits(block->free, (ram_end - start) / LV_PAGE, (to - ram_end) / LV_PAGE, 1);
	list_insert(index, largest_run(block));
}

/* The monitor may have added RAM in the middle of a described block. */
static void ram_extend(uint64_t end)
{
	uint64_t index = (ram_end - LV_RAM) / BLOCK_SIZE;

	if (ram_end % BLOCK_SIZE && index < next[pool_of(index)] && end > ram_end)
		extend_block(index, end);
	ram_end = end;
}

static bool ram_grow(void)
{
	uint64_t step = MIN(grow_step, device_page->ram_limit - MIN(device_page->ram_size, device_page->ram_limit));

	for (; step >= BLOCK_SIZE; step = ALIGN_DOWN(step / 2, BLOCK_SIZE)) {
		if (hypercall(LV_HC_GROW, step) != 0)
			continue;
		grow_step = MIN(grow_step * 2, GROW_MOST);
		space_window_grew();
		ram_extend(LV_RAM + ALIGN_DOWN(device_page->ram_size, LV_PAGE));
		return true;
	}
	return false;
}

static void page_init(void)
{
	ready = true;
	for (unsigned i = 0; i <= MAX_ORDER; i++)
		list[SMALL][i] = list[LARGE][i] = NONE;
	next[LARGE] = pool_end(SMALL);
	ram_end = LV_RAM + ALIGN_DOWN(device_page->ram_size, LV_PAGE);
}

void mm_configured(void)
{
	if (!ready)
		page_init();
	ram_extend(LV_RAM + ALIGN_DOWN(device_page->ram_size, LV_PAGE));
}

/* ---- allocation ---- */

/* Only old pages are written: touching clean ones would cost what zeroing saves. */
static void zero_dirty(const struct block *block, uint64_t address, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		if (block->dirty[i / 64] >> i % 64 & 1)
			memset((void *)(address + i * LV_PAGE), 0, LV_PAGE);
}

static void *take(uint64_t index, unsigned order, unsigned count, bool zero)
{
	struct block *block = block_at(index);
	int page = run_find(block->dirty, order);

	if (page < 0)
		page = run_find(block->free, order);
	if (page < 0)
		return NULL;
	if (zero)
		zero_dirty(block, block_address(index), page, count);
	bits(block->free, page, count, 0);
	dirty_bytes -= bits(block->dirty, page, count, 0) * LV_PAGE;
	set_used(used + count * LV_PAGE);
	return (void *)(block_address(index) + page * LV_PAGE);
}

static void *alloc_from(unsigned pool, unsigned order, unsigned count, bool zero)
{
	do {
		for (unsigned bound = order; bound <= MAX_ORDER; bound++) {
			uint64_t index;

			while ((index = list[pool][bound]) != NONE) {
				void *page = take(index, order, count, zero);

				if (page)
					return page;
				list_insert(index, largest_run(block_at(index)));
			}
		}
	} while (block_open(pool));
	return NULL;
}

/*
 * The last pages are no system call's: what programs make (files without data, messages, sockets) may use up the rest, and whoever asks for more of it is
 * told. A program that touches a page has to be killed where there is none for it, and libos says so.
 */
static bool kept(void)
{
	return !page_last_too && page_free_bytes() < MIN(page_total_bytes() / 32, KEPT_MOST);
}

static void *alloc_run(uint64_t count, bool zero)
{
	unsigned order = count <= 1 ? 0 : 64 - __builtin_clzll(count - 1), first = order == MAX_ORDER ? LARGE : SMALL;

	if (count == 0 || count > BLOCK_PAGES || kept())
		return NULL;
	if (!ready)
		page_init();
	do {
		void *page = alloc_from(first, order, count, zero);

		if (!page)
			page = alloc_from(!first, order, count, zero);
		if (page)
			return page;
	} while (ram_grow());
	return NULL;
}

void *page_alloc_run(uint64_t count)
{
	return alloc_run(count, false);
}

void *page_alloc_run_zeroed(uint64_t count)
{
	return alloc_run(count, true);
}

/* Memory beyond the small pool comes in 2 MiB pages anyway; what is dirty was there before. */
void *page_alloc_run_soon(uint64_t count)
{
	uint64_t dirty_before = dirty_bytes;
	char *page = alloc_run(count, true);

	if (page && dirty_bytes == dirty_before && pool_of(((uint64_t)page - LV_RAM) / BLOCK_SIZE) == SMALL)
		page_fetch(page, NULL, count);
	return page;
}

void *page_alloc(unsigned order)
{
	return alloc_run(1ull << order, false);
}

void *page_alloc_zeroed(unsigned order)
{
	return alloc_run(1ull << order, true);
}

void *page_alloc_last(void)
{
	page_last_too = true;
	void *page = page_alloc(0);
	page_last_too = false;
	return page;
}

/* Pages of one block. */
static void give_back(uint64_t index, unsigned first, unsigned count)
{
	struct block *block = block_at(index);

	ASSERT(bits(block->free, first, count, 1) == 0);
	bits(block->dirty, first, count, 1);
	list_insert(index, largest_run(block));
}

/* ---- pages of several processes ---- */

static uint16_t *sharers_of(uint64_t at)
{
	struct block *block = block_at((at - LV_RAM) >> BLOCK_SHIFT);

	return block->sharers ? &block->sharers[at % BLOCK_SIZE / LV_PAGE] : NULL;
}

bool page_share(void *page, uint64_t count)
{
	for (uint64_t at = (uint64_t)page; count; at += LV_PAGE, count--) {
		struct block *block = block_at((at - LV_RAM) >> BLOCK_SHIFT);

		/* What is shared of a run already is given up page by page, by whoever has the run. */
		if (!block->sharers && !(block->sharers = kzalloc(BLOCK_PAGES * sizeof(*block->sharers))))
			return false;
		++*sharers_of(at);
	}
	return true;
}

bool page_is_shared(const void *page)
{
	const uint16_t *sharers = sharers_of((uint64_t)page);

	return sharers && *sharers;
}

/* How many of these pages, all in one block, from the first on nobody else has (*shared false), or somebody, who is one fewer now. */
static unsigned run_of(uint64_t at, unsigned most, bool *shared)
{
	uint16_t *sharers = sharers_of(at);
	unsigned n = 0;

	*shared = sharers && *sharers;
	if (!sharers)
		return most;
	while (n < most && (sharers[n] != 0) == *shared)
		if (*shared)
			sharers[n++]--;
		else
			n++;
	return n;
}

void page_free_run(void *page, uint64_t count)
{
	uint64_t at = (uint64_t)page;

	ASSERT(at >= device_page->heap_start && at + count * LV_PAGE <= ram_end && at % LV_PAGE == 0);
	while (count) {
		unsigned first = (at - LV_RAM) / LV_PAGE % BLOCK_PAGES;
		bool shared;
		unsigned n = run_of(at, MIN(BLOCK_PAGES - first, count), &shared);

		if (!shared) {
			set_used(used - n * LV_PAGE);
			dirty_bytes += n * LV_PAGE;
			give_back((at - LV_RAM) >> BLOCK_SHIFT, first, n);
		}
		at += n * LV_PAGE;
		count -= n;
	}
	if (dirty_bytes >= RELEASE_BUSY && dirty_bytes >= used / 2)
		page_release();
}

void page_free(void *page, unsigned order)
{
	page_free_run(page, 1ull << order);
}

void page_fetch(void *to, const void *from, uint64_t count)
{
	bool many = count >= FETCH_LEAST && count * LV_PAGE <= LV_FETCH_MAX;

	if (many) {
		shared_page->arg[1] = (uint64_t)from;
		shared_page->arg[2] = count * LV_PAGE;
		if (hypercall(LV_HC_FETCH, (uint64_t)to) == 0)
			return;
	}
	if (from)
		memcpy(to, from, count * LV_PAGE);
}

uint64_t page_free_bytes(void)
{
	uint64_t total = page_total_bytes();

	return total - MIN(total, used);
}

/* The monitor may set another limit at any time. */
uint64_t page_total_bytes(void)
{
	uint64_t early_end = LV_RAM + LV_RAM_EARLY, more = device_page->more_end > early_end ? device_page->more_end - early_end : 0;

	return device_page->ram_limit - (device_page->heap_start - LV_RAM) - more;
}

/* ---- giving memory back to the host ---- */

struct release {
	unsigned count;
	uint64_t bytes;
};

/* What the host did not take holds what it held. */
static void release_failed(struct release *release)
{
	for (unsigned i = 0; i < release->count; i++) {
		uint64_t start = shared_page->release[i].gpa, end = start + shared_page->release[i].len;

		for (uint64_t at = start; at < end; at += LV_PAGE << RELEASE_ORDER)
			bits(block_at((at - LV_RAM) >> BLOCK_SHIFT)->dirty, at % BLOCK_SIZE / LV_PAGE, 1u << RELEASE_ORDER, 1);
		release->bytes -= end - start;
	}
}

static void release_send(struct release *release)
{
	if (release->count && hypercall(LV_HC_RELEASE, release->count) < 0)
		release_failed(release);
	release->count = 0;
}

static void release_add(struct release *release, uint64_t start, uint64_t len)
{
	volatile struct lv_range *last = release->count ? &shared_page->release[release->count - 1] : NULL;

	release->bytes += len;
	if (last && last->gpa + last->len == start) {
		last->len += len;
		return;
	}
	if (release->count == LV_RELEASE_SLOTS)
		release_send(release);
	shared_page->release[release->count].gpa = start;
	shared_page->release[release->count].len = len;
	release->count++;
}

static void release_block(struct release *release, uint64_t index)
{
	struct block *block = block_at(index);

	for (unsigned w = 0; w < WORDS; w++) {
		uint64_t runs = block->dirty[w] ? runs_of(block->dirty[w], RELEASE_ORDER) : 0;

		for (; runs; runs &= runs - 1) {
			unsigned first = w * 64 + __builtin_ctzll(runs);

			bits(block->dirty, first, 1u << RELEASE_ORDER, 0);
			release_add(release, block_address(index) + first * LV_PAGE, LV_PAGE << RELEASE_ORDER);
		}
	}
}

bool page_release(void)
{
	struct release release = { 0 };

	for (unsigned pool = 0; pool < POOLS; pool++)
		for (uint64_t i = pool ? pool_end(pool - 1) : 0; i < next[pool]; i++)
			if (block_page[i / PER_PAGE])
				release_block(&release, i);
	release_send(&release);
	dirty_bytes -= release.bytes;
	last_release = clock_monotonic();
	return release.bytes != 0;
}

/*
 * For the scheduler when it is about to wait: only what is worth an exit, and not again soon, so that a program that
 * allocates in bursts does not pay for it at each burst.
 */
bool page_release_idle(void)
{
	if (dirty_bytes < RELEASE_IDLE || clock_monotonic() - last_release < RELEASE_PAUSE)
		return false;
	return page_release();
}
