/* SPDX-License-Identifier: Apache-2.0 */
/* libos' memory manager on the host, against a plain model of what each page should hold after random operations. */
#include "tests/unit/mm_world.h"

/* Where mappings are made by address. */
#define PAGES 64
#define AREA 0x2000000000ull
#define FAR 0x2040000000ull

/* ---- pages ---- */

static void test_pages_are_zero(void **state)
{
	for (int round = 0; round < 50; round++) {
		unsigned order = round % 10;
		uint64_t *page = page_alloc_zeroed(order);

		assert_non_null(page);
		assert_int_equal((uint64_t)page % (LV_PAGE << order), 0);
		for (uint64_t i = 0; i < (LV_PAGE << order) / 8; i++)
			assert_int_equal(page[i], 0);
		memset(page, 0xee, LV_PAGE << order);
		page_free(page, order);
	}
}

struct held {
	uint64_t *at;
	uint64_t pages;
};

static void test_pages_random(void **state)
{
	static struct held held[300];
	uint64_t before = used();

	srand(1);
	for (int step = 0; step < 20000; step++) {
		struct held *h = &held[rand() % 300];

		if (h->at) {
			for (uint64_t i = 0; i < h->pages; i++)
				assert_int_equal(h->at[i * 512], (uint64_t)h->at + i);
			page_free_run(h->at, h->pages);
			h->at = NULL;
			continue;
		}
		h->pages = rand() % 20 ? 1 + rand() % 16 : 1 + rand() % 512;
		h->at = page_alloc_run(h->pages);
		for (uint64_t i = 0; h->at && i < h->pages; i++)
			h->at[i * 512] = (uint64_t)h->at + i;
	}
	for (int i = 0; i < 300; i++)
		if (held[i].at)
			page_free_run(held[i].at, held[i].pages);
	assert_int_equal(used(), before);
	assert_int_equal(shared_page->memory_used, before);
}

static void test_pages_run_out(void **state)
{
	static void *all[RAM_LIMIT / LV_PAGE];
	uint64_t count = 0, before = used();

	while ((all[count] = page_alloc(0)))
		count++;
	/* Some of it is left for what must not fail; */
	assert_in_range(page_free_bytes(), MIN(page_total_bytes() / 32, 512ull << 10) - LV_PAGE, MIN(page_total_bytes() / 32, 512ull << 10) + LV_PAGE);
	assert_null(page_alloc_zeroed(0));
	assert_null(page_alloc(9));
	while ((all[count] = page_alloc_last()))
		count++;
	/* and then all of it was usable, but for what describes it. */
	assert_true((count + 16) * LV_PAGE + before >= page_total_bytes());
	assert_null(page_alloc(0));
	for (uint64_t i = 0; i < count; i++)
		page_free(all[i], 0);
	assert_true(page_release() || released);
	assert_non_null(all[0] = page_alloc(9));
	page_free(all[0], 9);
}

static void test_release(void **state)
{
	uint64_t *page, before;

	page_release();
	before = released;
	page = page_alloc(9);
	memset(page, 0xff, HUGE_PAGE);
	page_free(page, 9);
	now += NS_PER_S;
	assert_true(page_release_idle());
	assert_int_equal(released - before, HUGE_PAGE);
	assert_false(page_release_idle());
}

/* What the monitor did not take back keeps its contents, and is cleared before the program gets it. */
static void test_release_fails(void **state)
{
	uint64_t *page, before;

	page_release();
	before = released;
	page = page_alloc(9);
	memset(page, 0xff, HUGE_PAGE);
	page_free(page, 9);
	release_fails = true;
	now += NS_PER_S;
	assert_false(page_release());
	release_fails = false;
	page = page_alloc_zeroed(9);
	for (size_t i = 0; i < HUGE_PAGE / sizeof(*page); i++)
		assert_int_equal(page[i], 0);
	page[7] = 1;
	page_free(page, 9);
	assert_true(page_release());
	assert_int_equal(released - before, HUGE_PAGE);
}

static void test_double_free(void **state)
{
	jmp_buf here;
	void *page = page_alloc(0);

	page_free(page, 0);
	if (setjmp(here) == 0) {
		expect_panic = &here;
		page_free(page, 0);
		fail_msg("freeing twice was not noticed");
	}
	expect_panic = NULL;
	/* The panic came half-way: put the accounts right again. */
	page_alloc(0);
}

/* ---- small objects ---- */

static void test_slab(void **state)
{
	static struct { uint8_t *at; size_t size; } held[500];

	srand(2);
	for (int step = 0; step < 100000; step++) {
		int i = rand() % 500;
		size_t size = rand() % 10 ? rand() % 600 : rand() % 9000;

		if (held[i].at) {
			for (size_t n = 0; n < held[i].size; n++)
				assert_int_equal(held[i].at[n], (uint8_t)(i + n));
			if (rand() % 4 == 0) {
				held[i].at = krealloc(held[i].at, size);
				for (size_t n = 0; n < size && n < held[i].size; n++)
					assert_int_equal(held[i].at[n], (uint8_t)(i + n));
				held[i].size = size;
			} else {
				kfree(held[i].at);
				held[i].at = NULL;
				continue;
			}
		} else {
			held[i].at = kmalloc(held[i].size = size);
		}
		assert_non_null(held[i].at);
		assert_int_equal((uint64_t)held[i].at % 16, 0);
		for (size_t n = 0; n < held[i].size; n++)
			held[i].at[n] = i + n;
	}
	for (int i = 0; i < 500; i++)
		kfree(held[i].at);
	kfree(NULL);
}

static void test_slab_is_compact(void **state)
{
	uint64_t before = used();
	void *p[40];

	for (int i = 0; i < 40; i++)
		p[i] = kmalloc(20 + i * 5);
	assert_true(used() - before <= 4 * LV_PAGE);
	for (int i = 0; i < 40; i++)
		kfree(p[i]);
}

/* ---- mappings ---- */

static void test_map_basics(void **state)
{
	uint64_t a = map(0, 10000, RW, ANON), before = used();

	assert_int_equal(a % LV_PAGE, 0);
	assert_int_equal(peek(a), 0);
	assert_int_equal(poke(a + 9999, 7), 0);
	assert_int_equal(peek(a + 9999), 7);
	assert_int_equal(peek(a + 3 * LV_PAGE), -1001); /* SEGV_MAPERR */
	assert_int_equal(mm_protect(a, LV_PAGE, PROT_READ), 0);
	assert_int_equal(poke(a, 1), 2); /* SEGV_ACCERR */
	assert_int_equal(peek(a), 0);
	assert_int_equal(mm_protect(a, 3 * LV_PAGE, PROT_NONE), 0);
	assert_int_equal(peek(a + 9999), -1002);
	assert_int_equal(mm_protect(a, 3 * LV_PAGE, RW), 0);
	assert_int_equal(peek(a + 9999), 7); /* PROT_NONE keeps what was there */
	assert_int_equal(space->count, 1);
	assert_int_equal(mm_drop(a, a + 3 * LV_PAGE, false), 0);
	assert_int_equal(peek(a + 9999), 0);
	assert_int_equal(mm_unmap(a, 10000), 0);
	assert_true(used() < before);
	assert_int_equal(space->count, 0);
}

static void test_map_refuses(void **state)
{
	assert_int_equal(mm_map(0, 0, RW, ANON, NULL, 0, NULL), -EINVAL);
	assert_int_equal(mm_map(0, LV_PAGE, RW, MAP_ANONYMOUS, NULL, 0, NULL), -EINVAL);
	assert_int_equal(mm_map(0, RAM_LIMIT * 2, RW, ANON, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(mm_map(0, ~0ull, PROT_NONE, ANON, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(mm_map(LV_RAM, LV_PAGE, RW, ANON | MAP_FIXED, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(mm_map(LV_WINDOW - LV_PAGE, 2 * LV_PAGE, RW, ANON | MAP_FIXED, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(mm_map(0, LV_PAGE, RW, ANON | MAP_FIXED, NULL, 0, NULL), -EPERM);
	assert_int_equal(mm_map(0x100001, LV_PAGE, RW, ANON | MAP_FIXED, NULL, 0, NULL), -EINVAL);
	assert_int_equal(mm_map(~0ull << 12, LV_PAGE * 2, RW, ANON | MAP_FIXED, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(mm_unmap(1, LV_PAGE), -EINVAL);
	assert_int_equal(mm_unmap(LV_PAGE, 0), -EINVAL);
	assert_int_equal(mm_protect(0x100000, LV_PAGE, RW), -ENOMEM);
	/* Reservations may be larger than RAM. */
	uint64_t a = map(0, 64ull << 30, PROT_NONE, ANON), b = map(0, 1ull << 40, RW, ANON | MAP_NORESERVE);

	assert_int_equal(mm_map(a, LV_PAGE, RW, ANON | MAP_FIXED_NOREPLACE, NULL, 0, NULL), -EEXIST);
	assert_int_equal(mm_unmap(a, 64ull << 30), 0);
	assert_int_equal(mm_unmap(b, 1ull << 40), 0);
}

static void test_hints(void **state)
{
	uint64_t a = map(0xc000000000, LV_PAGE, RW, ANON), b = map(0xc000000000, LV_PAGE, RW, ANON);
	uint64_t c = map(LV_RAM, LV_PAGE, RW, ANON);

	assert_int_equal(a, 0xc000000000);
	assert_true(b != a && b < SPACE_TOP);
	assert_true(c < SPACE_TOP);
	assert_int_equal(mm_unmap(a, LV_PAGE), 0);
	assert_int_equal(mm_unmap(b, LV_PAGE), 0);
	assert_int_equal(mm_unmap(c, LV_PAGE), 0);
}

static void test_file_private(void **state)
{
	int64_t a = mm_map(0, (IMAGE_PAGES + 2) * LV_PAGE, RW, MAP_PRIVATE, &image_file, 0, NULL);

	assert_true(a > 0);
	assert_int_equal(file_refs, 2);
	for (uint64_t i = 0; i < IMAGE_PAGES; i++)
		assert_int_equal(peek(a + i * LV_PAGE), i + 1);
	assert_int_equal(poke(a + 5 * LV_PAGE, 200), 0);
	assert_int_equal(peek(a + 5 * LV_PAGE), 200);
	assert_int_equal(peek(a + 5 * LV_PAGE + 1), 6);
	assert_int_equal(*(uint8_t *)(IMAGE + 5 * LV_PAGE), 6); /* the image is untouched */
	assert_int_equal(peek(a + IMAGE_PAGES * LV_PAGE), -1000 + 2); /* SIGBUS: BUS_ADRERR */
	assert_int_equal(mm_protect(a, 8 * LV_PAGE, PROT_READ), 0);
	assert_int_equal(file_refs, 3);
	assert_int_equal(peek(a + 5 * LV_PAGE), 200);
	assert_int_equal(mm_protect(a, 8 * LV_PAGE, RW), 0);
	assert_int_equal(file_refs, 2);
	assert_int_equal(poke(a, 9), 0);
	assert_int_equal(*(uint8_t *)IMAGE, 1);
	assert_int_equal(mm_drop(a, a + 8 * LV_PAGE, false), 0);
	assert_int_equal(peek(a), 1);
	assert_int_equal(mm_unmap(a, (IMAGE_PAGES + 2) * LV_PAGE), 0);
	assert_int_equal(file_refs, 1);
}

static void test_file_shared(void **state)
{
	int64_t a = mm_map(0, 4 * LV_PAGE, RW, MAP_SHARED, &ram_file, 0, NULL), before;
	int64_t b = mm_map(0, 4 * LV_PAGE, PROT_READ, MAP_SHARED, &ram_file, 0, NULL);

	assert_int_equal(poke(a + LV_PAGE, 55), 0);
	assert_int_equal(peek(b + LV_PAGE), 55);
	assert_int_equal(ram_pages[LV_PAGE], 55);
	assert_int_equal(poke(b + LV_PAGE, 5), 2);
	before = used();
	assert_int_equal(mm_unmap(a, 4 * LV_PAGE), 0);
	assert_int_equal(mm_unmap(b, 4 * LV_PAGE), 0);
	assert_true(used() <= (uint64_t)before);
	assert_int_equal(ram_pages[LV_PAGE], 55); /* the pages are the file's */
}

static void test_large_pages(void **state)
{
	uint64_t size = 16ull << 20, a = map(0, size, RW, ANON), before = used();
	unsigned level, large = 0;

	assert_int_equal(a % HUGE_PAGE, 0);
	for (uint64_t at = 0; at < size; at += LV_PAGE)
		assert_int_equal(poke(a + at, at >> 12), 0);
	for (uint64_t at = 0; at < size; at += HUGE_PAGE) {
		walk_entry(a + at, &level);
		large += level == 1;
	}
	assert_int_equal(large, 7);
	/* A hole in the middle of a large page. */
	assert_int_equal(mm_unmap(a + 5 * HUGE_PAGE + 3 * LV_PAGE, LV_PAGE), 0);
	assert_int_equal(mm_protect(a + 6 * HUGE_PAGE + LV_PAGE, LV_PAGE, PROT_READ), 0);
	for (uint64_t at = 0; at < size; at += LV_PAGE)
		assert_int_equal(peek(a + at), at == 5 * HUGE_PAGE + 3 * LV_PAGE ? -1001 : (int)(uint8_t)(at >> 12));
	assert_int_equal(poke(a + 6 * HUGE_PAGE + LV_PAGE, 1), 2);
	/* Away, large pages and all. */
	int64_t b = mm_remap(a + 2 * HUGE_PAGE, 2 * HUGE_PAGE, 4 * HUGE_PAGE, MREMAP_MAYMOVE, 0);

	assert_true(b > 0);
	for (uint64_t at = 0; at < 2 * HUGE_PAGE; at += LV_PAGE)
		assert_int_equal(peek(b + at), (uint8_t)((at + 2 * HUGE_PAGE) >> 12));
	assert_int_equal(peek(a + 2 * HUGE_PAGE), -1001);
	assert_int_equal(mm_unmap(a, size), 0);
	assert_int_equal(mm_unmap(b, 4 * HUGE_PAGE), 0);
	assert_true(used() <= before);
}

static void test_out_of_memory(void **state)
{
	uint64_t size = RAM_LIMIT - (4 << 20), a = map(0, size, RW, ANON), at, b;
	int r = 0;

	b = map(0, size, RW, ANON);
	for (at = 0; at < size && !r; at += LV_PAGE)
		r = poke(a + at, 1);
	for (at = 0; at < size && !r; at += LV_PAGE)
		r = poke(b + at, 1);
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(mm_unmap(a, size), 0);
	assert_int_equal(poke(b + at - LV_PAGE, 1), 0);
	assert_int_equal(mm_unmap(b, size), 0);
}

/* All memory is given out, and then each second page of it free again: there is a good deal of it, and no two in a row. Puts down what is still held; how many. */
static uint64_t take_each_second(void **held)
{
	static void *all[RAM_LIMIT / LV_PAGE];
	uint64_t count = 0, kept = 0;

	while ((all[count] = page_alloc_last()))
		count++;
	for (uint64_t i = 0; i < count; i++)
		if ((uint64_t)all[i] / LV_PAGE % 2)
			held[kept++] = all[i];
		else
			page_free(all[i], 0);
	return kept;
}

/* A copy of several runs of pages, of which the first finds memory and the next does not: what was made of it is the program's, once, and goes with the region. */
static void copied_in_part(uint64_t where)
{
	const uint64_t length = (IMAGE_PAGES + 2) * LV_PAGE; /* too much to be copied at once */
	unsigned level;

	assert_int_equal(mm_map(where, length, RW, MAP_PRIVATE | MAP_FIXED, &image_file, 0, NULL), where);
	assert_int_equal(poke(where + LV_PAGE, 200), 0); /* no run for all: this page alone */
	assert_false(*walk_entry(where, &level) & LV_PTE_P);
	assert_false(*walk_entry(where + 2 * LV_PAGE, &level) & LV_PTE_P);
	uint64_t before = used();
	assert_int_equal(poke(where, 100), 0); /* a run of one, what is there, and a run for which there is no memory */
	assert_false(*walk_entry(where + 2 * LV_PAGE, &level) & LV_PTE_P);
	assert_int_equal(used(), before + LV_PAGE);
	assert_int_equal(peek(where), 100);
	assert_int_equal(peek(where + 1), 1);
	assert_int_equal(peek(where + LV_PAGE), 200);
	assert_int_equal(mm_unmap(where, length), 0);
}

static void test_file_copied_in_part(void **state)
{
	static void *held[RAM_LIMIT / LV_PAGE];
	uint64_t kept = take_each_second(held);

	copied_in_part(AREA); /* page tables may stay */
	uint64_t before = used();
	copied_in_part(AREA);
	assert_int_equal(used(), before);
	for (uint64_t i = 0; i < kept; i++)
		page_free(held[i], 0);
}

static void test_brk(void **state)
{
	mm_set_brk(0x500000);
	assert_int_equal(mm_brk(0), 0x500000);
	assert_int_equal(mm_brk(0x500010), 0x500010);
	assert_int_equal(poke(0x50000f, 3), 0);
	assert_int_equal(mm_brk(0x540010), 0x540010);
	assert_int_equal(peek(0x50000f), 3);
	assert_int_equal(space->count, 1);
	assert_string_equal(mm_first()->name, "[heap]");
	map(0x560000, LV_PAGE, RW, ANON | MAP_FIXED);
	assert_int_equal(mm_brk(0x561000), 0x540010); /* something is in the way */
	assert_int_equal(mm_brk(0x500000), 0x500000);
	assert_int_equal(mm_brk(0x4fffff), 0x500000);
	assert_int_equal(mm_unmap(0x560000, LV_PAGE), 0);
	assert_int_equal(space->count, 0);
}

/* ---- against the model ---- */


static struct { bool mapped; uint32_t prot; int byte; } model[2 * PAGES];

static uint64_t model_va(int page)
{
	return page < PAGES ? AREA + page * LV_PAGE : FAR + (page - PAGES) * LV_PAGE;
}

static void model_check(void)
{
	for (int i = 0; i < 2 * PAGES; i++) {
		int want = !model[i].mapped ? -1001 : !model[i].prot ? -1002 : model[i].byte;

		assert_int_equal(peek(model_va(i) + 100), want);
		if (model[i].mapped && model[i].prot == RW && rand() % 8 == 0) {
			model[i].byte = rand() & 0xff;
			assert_int_equal(poke(model_va(i) + 100, model[i].byte), 0);
		}
	}
	check_sorted();
}

static void model_remap(int from, int n, int to)
{
	int64_t r = mm_remap(model_va(from), n * LV_PAGE, n * LV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, model_va(to));

	if (r < 0)
		return;
	for (int i = 0; i < n; i++) {
		model[to + i] = model[from + i];
		model[from + i].mapped = false;
	}
}

static void model_step(void)
{
	static const uint32_t prots[] = { PROT_NONE, PROT_READ, RW, RW };
	int side = rand() % 2 * PAGES, from = side + rand() % PAGES, n = 1 + rand() % (side + PAGES - from);
	uint32_t prot = prots[rand() % 4];
	bool covered = mm_covered(model_va(from), model_va(from) + n * LV_PAGE);
	int first = rand() % (IMAGE_PAGES - 1), what = rand() % 6;

	switch (what) {
	case 0:
		map(model_va(from), n * LV_PAGE, prot, ANON | MAP_FIXED);
		for (int i = from; i < from + n; i++)
			model[i].mapped = true, model[i].prot = prot, model[i].byte = 0;
		break;
	case 1:
		n = MIN(n, IMAGE_PAGES - first);
		assert_true(mm_map(model_va(from), n * LV_PAGE, prot, MAP_PRIVATE | MAP_FIXED, &image_file, first * LV_PAGE, NULL) > 0);
		for (int i = from; i < from + n; i++)
			model[i].mapped = true, model[i].prot = prot, model[i].byte = first + (i - from) + 1;
		break;
	case 2:
		assert_int_equal(mm_unmap(model_va(from), n * LV_PAGE), 0);
		for (int i = from; i < from + n; i++)
			model[i].mapped = false;
		break;
	case 3:
	case 4:
		assert_int_equal(mm_protect(model_va(from), n * LV_PAGE, prot), covered ? 0 : -ENOMEM);
		for (int i = from; covered && i < from + n; i++)
			model[i].prot = prot;
		break;
	case 5:
		model_remap(from, n, rand() % (PAGES - MIN(n, PAGES - 1)) + (side ? 0 : PAGES));
		break;
	}
}

static void become(uint32_t restored)
{
	page_of_devices->restored = restored;
	for (struct generation_hook *hook = generation_hooks; hook; hook = hook->next)
		hook->changed();
}

/* MADV_WIPEONFORK: of a clone, and of nobody else; also what is locked, moved, of a large page, or joined with what is not wiped. */
static void test_wiped_in_clones(void **state)
{
	const uint64_t va = 0x500000000, large = 0x600000000, moved = 0x700000000;

	map(va, 8 * LV_PAGE, RW, ANON | MAP_FIXED);
	map(large, 2 * HUGE_PAGE, RW, ANON | MAP_FIXED);
	for (int i = 0; i < 8; i++)
		poke(va + i * LV_PAGE, 7);
	for (int i = 0; i < 4; i++)
		poke(large + i * HUGE_PAGE / 2, 8);
	assert_int_equal(mm_wipe_in_clones(va + LV_PAGE, va + 5 * LV_PAGE, true), 0);
	assert_int_equal(mm_wipe_in_clones(va + 3 * LV_PAGE, va + 4 * LV_PAGE, false), 0);
	assert_int_equal(mm_mark(va, va + 2 * LV_PAGE, MAP_LOCKED, true), 0);
	assert_int_equal(mm_wipe_in_clones(large + HUGE_PAGE / 2, large + HUGE_PAGE, true), 0);
	assert_int_equal(mm_remap(va + 4 * LV_PAGE, LV_PAGE, LV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved), moved);
	become(0);
	become(LV_RESTORED_RESET_CONNECTIONS);
	assert_int_equal(peek(va + LV_PAGE), 7);
	become(LV_RESTORED_CLONE);
	static const int want[] = { 7, 0, 0, 7, -1001, 7, 7, 7 };
	for (int i = 0; i < 8; i++)
		assert_int_equal(peek(va + i * LV_PAGE), want[i]);
	assert_int_equal(peek(moved), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(peek(large + i * HUGE_PAGE / 2), i == 1 ? 0 : 8);
	assert_int_equal(poke(va + LV_PAGE, 9), 0);
	become(0);
	assert_int_equal(peek(va + LV_PAGE), 9);
	/* what is not the program's own alone cannot be wiped */
	assert_true(mm_map(large, LV_PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &image_file, 0, NULL) > 0);
	assert_int_equal(mm_wipe_in_clones(large, large + LV_PAGE, true), -EINVAL);
	map(large, LV_PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
	assert_int_equal(mm_wipe_in_clones(large, large + LV_PAGE, true), -EINVAL);
	assert_int_equal(mm_unmap(va, 8 * LV_PAGE) | mm_unmap(large, 2 * HUGE_PAGE) | mm_unmap(moved, LV_PAGE), 0);
	page_of_devices->restored = 0;
}

static void test_model(void **state)
{
	uint64_t before;

	srand(3);
	before = used();
	for (int step = 0; step < 4000; step++) {
		model_step();
		model_check();
	}
	assert_int_equal(mm_unmap(AREA, PAGES * LV_PAGE), 0);
	assert_int_equal(mm_unmap(FAR, PAGES * LV_PAGE), 0);
	assert_int_equal(space->count, 0);
	assert_int_equal(file_refs, 1);
	/* No page was lost; one page of small objects more or less is fine. */
	assert_true(used() <= before + 4 * LV_PAGE);
}

/* A page that others have, too, is free when all have given it back; the pages beside it are free before. */
static void test_shared_pages(void **state)
{
	char *page = page_alloc(2);
	uint64_t before = used();

	assert_false(page_is_shared(page));
	assert_true(page_share(page + LV_PAGE, 2));
	assert_true(page_share(page + LV_PAGE, 1));
	before = used(); /* the counts themselves take memory */
	assert_true(page_is_shared(page + LV_PAGE));
	assert_false(page_is_shared(page));
	page_free(page, 2);
	assert_int_equal(used(), before - 2 * LV_PAGE);
	page_free(page + LV_PAGE, 0);
	assert_true(!page_is_shared(page + LV_PAGE) && !page_is_shared(page + 2 * LV_PAGE));
	assert_int_equal(used(), before - 2 * LV_PAGE);
	page_free_run(page + LV_PAGE, 2);
	assert_int_equal(used(), before - 4 * LV_PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_are_zero), cmocka_unit_test(test_pages_random), cmocka_unit_test(test_slab),
		cmocka_unit_test(test_slab_is_compact), cmocka_unit_test(test_map_basics), cmocka_unit_test(test_map_refuses),
		cmocka_unit_test(test_hints), cmocka_unit_test(test_file_private),
		cmocka_unit_test(test_file_shared), cmocka_unit_test(test_large_pages), cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_file_copied_in_part), cmocka_unit_test(test_brk), cmocka_unit_test(test_model), cmocka_unit_test(test_wiped_in_clones), cmocka_unit_test(test_pages_run_out),
		cmocka_unit_test(test_release), cmocka_unit_test(test_release_fails), cmocka_unit_test(test_double_free), cmocka_unit_test(test_shared_pages),
	};

	return cmocka_run_group_tests(tests, world_set_up, NULL);
}
