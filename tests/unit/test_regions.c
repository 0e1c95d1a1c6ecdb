/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of regions against a plain model, a sorted array that is searched from end to end, after random operations. */
#include "tests/unit/mm_world.h"

#define STEPS 20000
#define MOST 400
#define PLACES 1024 /* of a page each, in which regions lie: few, so that they touch, and gaps have every size */

struct model_region {
	uint64_t start, end;
	uint32_t prot;
};

static struct model_region model[MOST + 1];
static int count;

static int model_from(uint64_t addr)
{
	int i = 0;

	while (i < count && model[i].end <= addr)
		i++;
	return i;
}

static void model_insert(int i, struct model_region region)
{
	memmove(model + i + 1, model + i, (count++ - i) * sizeof(*model));
	model[i] = region;
}

static void model_remove(int i)
{
	memmove(model + i, model + i + 1, (--count - i) * sizeof(*model));
}

/* Gap by gap, from the lowest one on. */
static uint64_t model_find(uint64_t low, uint64_t high, uint64_t len, uint64_t align)
{
	uint64_t best = 0;

	for (int i = 0; i <= count; i++) {
		uint64_t from = MAX(low, i ? model[i - 1].end : 0), to = MIN(high, i < count ? model[i].start : high);

		if (from < to && to - from >= len && ALIGN_DOWN(to - len, align) >= from)
			best = ALIGN_DOWN(to - len, align);
	}
	return best;
}

/* What each region says of those below it is so; how many levels there are. */
static int check_tree(const struct vma *vma, uint64_t *low, uint64_t *high, uint64_t *gap)
{
	const struct vma *child[2] = { vma->links.left, vma->links.right };
	int depth[2] = { 0 };

	*low = vma->start;
	*high = vma->end;
	*gap = 0;
	for (int side = 0; side < 2; side++) {
		uint64_t first, last, between;

		if (!child[side])
			continue;
		assert_ptr_equal(child[side]->links.up, vma);
		assert_true(child[side]->links.rank <= vma->links.rank);
		depth[side] = check_tree(child[side], &first, &last, &between);
		assert_true(side ? first >= vma->end : last <= vma->start);
		*gap = MAX(*gap, MAX(between, side ? first - vma->end : vma->start - last));
		*(side ? high : low) = side ? last : first;
	}
	assert_int_equal(vma->links.low, *low);
	assert_int_equal(vma->links.high, *high);
	assert_int_equal(vma->links.gap, *gap);
	return 1 + MAX(depth[0], depth[1]);
}

static void check_same(void)
{
	const struct vma *vma = mm_first();
	uint64_t low, high, gap;

	assert_int_equal(space->count, count);
	for (int i = 0; i < count; i++, vma = mm_next(vma)) {
		assert_non_null(vma);
		assert_int_equal(vma->start, model[i].start);
		assert_int_equal(vma->end, model[i].end);
		assert_int_equal(vma->prot, model[i].prot);
	}
	assert_null(vma);
	if (space->regions) {
		assert_null(space->regions->links.up);
		check_tree(space->regions, &low, &high, &gap);
	}
}

static void check_places(uint64_t base)
{
	uint64_t len = (1 + rand() % 12) * LV_PAGE, align = LV_PAGE << rand() % 5, at = base + rand() % (PLACES * LV_PAGE), reach = rand() % (64 * LV_PAGE);
	int i = model_from(at);
	const struct vma *vma = vma_from(at), *holds = mm_find(at);

	assert_int_equal(vma ? vma->start : 0, i < count ? model[i].start : 0);
	assert_int_equal(holds ? holds->start : 0, i < count && model[i].start <= at ? model[i].start : 0);
	mm_set_top(ALIGN_DOWN(at, LV_PAGE));
	/* Below the place from which the search starts there is always room: below all regions. */
	assert_int_equal(space_find(len, align), model_find(SPACE_FIND_LOW, ALIGN_DOWN(at, LV_PAGE), len, align));
	assert_int_equal(space_find_low(len), model_find(SPACE_31_END / 2, SPACE_31_END, len, LV_PAGE));
	assert_int_equal(space_find_near(at, reach), model_find(at - reach, at + reach, LV_PAGE, LV_PAGE));
}

static void put_in(uint64_t start, uint64_t end)
{
	struct vma region = { .start = start, .end = end, .prot = rand() % 2, .flags = ANON };
	int i = model_from(start);

	if (count == MOST || (i < count && model[i].start < end))
		return;
	assert_non_null(vma_add(&region));
	model_insert(i, (struct model_region){ start, end, region.prot });
}

static void split(uint64_t addr)
{
	int i = model_from(addr);

	if (count == MOST)
		return;
	assert_int_equal(vma_split(addr), 0);
	if (i == count || model[i].start >= addr)
		return;
	model_insert(i, model[i]);
	model[i].end = model[i + 1].start = addr;
}

static void grow(uint64_t addr)
{
	int i = model_from(addr);

	if (i == count || model[i].start > addr)
		return;
	model[i].end = i + 1 < count ? model[i + 1].start : model[i].end + LV_PAGE;
	vma_set_end(mm_find(addr), model[i].end);
}

static void join(uint64_t start, uint64_t end)
{
	vma_join(start, end);
	for (int i = 0; i + 1 < count;) {
		if (model[i].end >= start && model[i].end <= end && model[i].end == model[i + 1].start && model[i].prot == model[i + 1].prot) {
			model[i].end = model[i + 1].end;
			model_remove(i + 1);
		} else {
			i++;
		}
	}
}

static void take_out(uint64_t addr)
{
	int i = model_from(addr);

	if (i == count || model[i].start > addr)
		return;
	vma_remove(mm_find(addr));
	model_remove(i);
}

static void step(uint64_t base)
{
	uint64_t at = base + rand() % PLACES * LV_PAGE, len = (1 + rand() % 8) * LV_PAGE;

	switch (rand() % 9) {
	case 0: case 1: case 2: case 3:
		return put_in(at, at + len);
	case 4:
		return split(at);
	case 5:
		return grow(at);
	case 6:
		return join(at, at + len);
	default:
		return take_out(at);
	}
}

static void all_out(void)
{
	while (count)
		take_out(model[rand() % count].start);
	check_same();
}

static void test_random(void **state)
{
	(void)state;
	srand(11);
	for (int n = 0; n < STEPS; n++) {
		step(SPACE_31_END / 2 + (2048 - PLACES) * LV_PAGE);
		check_same();
		check_places(SPACE_31_END / 2 + (2048 - PLACES) * LV_PAGE);
	}
	assert_true(count > 50);
	all_out();
}

/* Nothing of it depends on the order in which they come: from above, from below, from both ends. */
static void test_many(void **state)
{
	enum { MANY = 65530 };
	uint64_t before = used(), low, high, gap;

	(void)state;
	for (int way = 0; way < 3; way++) {
		for (int n = 0; n < MANY; n++) {
			int place = way == 0 ? MANY - 1 - n : way == 1 ? n : n % 2 ? MANY - 1 - n / 2 : n / 2;
			struct vma region = { .start = SPACE_FIND_LOW + place * 2 * LV_PAGE, .flags = ANON };

			region.end = region.start + LV_PAGE;
			assert_non_null(vma_add(&region));
		}
		assert_int_equal(space->count, MANY);
		assert_true(check_tree(space->regions, &low, &high, &gap) < 64);
		mm_set_top(high);
		assert_int_equal(space_find(LV_PAGE, LV_PAGE), high - 2 * LV_PAGE);
		assert_int_equal(space_find(2 * LV_PAGE, LV_PAGE), SPACE_TOP - 2 * LV_PAGE);
		while (space->regions)
			vma_remove(way ? space->regions : mm_first());
	}
	assert_int_equal(space->count, 0);
	assert_true(used() <= before + HUGE_PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random), cmocka_unit_test(test_many) };

	return cmocka_run_group_tests(tests, world_set_up, NULL);
}
