/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation of a migration: every course that it can take, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/migrate_protocol.h"

static const uint8_t uuid[LV_MIGRATE_UUID] = { 1, 2, 3 };

/* ---- frames ---- */

struct said {
	struct lv_migrate_frame frame;
	uint8_t body[32]; /* what the judge looks at; of pieces only the head */
};

static struct said piece(const struct migration *who, enum lv_migrate_type type, uint64_t offset, uint64_t total, uint32_t bytes)
{
	struct said said = { .frame = migrate_frame(who, type, (uint32_t)(sizeof(struct lv_migrate_piece) + bytes)) };
	const struct lv_migrate_piece head = { .offset = offset, .total = total };
	memcpy(said.body, &head, sizeof(head));
	return said;
}

static struct said hello(const struct migration *who, uint16_t oldest, uint16_t newest)
{
	struct said said = { .frame = migrate_frame(who, LV_MIG_HELLO, sizeof(struct lv_migrate_hello)) };
	const struct lv_migrate_hello body = { .oldest = oldest, .newest = newest };
	memcpy(said.body, &body, sizeof(body));
	return said;
}

static struct said word(const struct migration *who, enum lv_migrate_type type, uint32_t value)
{
	struct said said = { .frame = migrate_frame(who, type, 8) };
	memcpy(said.body, &value, sizeof(value));
	return said;
}

static struct said plain(const struct migration *who, enum lv_migrate_type type)
{
	return (struct said){ .frame = migrate_frame(who, type, type == LV_MIG_CONFIG ? 2 : 0) };
}

static uint16_t speaks = 1; /* what both sides say that they do */

static struct said wants(const struct migration *who, uint64_t offset, uint64_t size)
{
	struct said said = { .frame = migrate_frame(who, LV_MIG_WANT, sizeof(struct lv_migrate_want)) };
	const struct lv_migrate_want body = { .offset = offset, .size = size };
	memcpy(said.body, &body, sizeof(body));
	return said;
}

/* One that is sound in itself: an image of two pages, a state of two bytes, memory of one page. */
static struct said sound(const struct migration *who, enum lv_migrate_type type)
{
	switch (type) {
	case LV_MIG_HELLO: return hello(who, who->phase == MIGRATE_BEGUN ? 1 : speaks, speaks);
	case LV_MIG_WANTED: return word(who, type, 1);
	case LV_MIG_RESOLVED: return word(who, type, LV_MIG_SOURCE_RUNS);
	case LV_MIG_IMAGE: return piece(who, type, who->image_at, 2, 1);
	case LV_MIG_MEMORY: return piece(who, type, 0, LV_MIGRATE_PAGE, LV_MIGRATE_PAGE);
	case LV_MIG_STATE: return piece(who, type, who->state_at, 2, 1);
	case LV_MIG_LACKING: return piece(who, type, 0, LV_MIGRATE_PAGE, 1);
	case LV_MIG_WANT: return wants(who, 0, LV_MIGRATE_PAGE);
	default: return plain(who, type);
	}
}

static void setup_pair(struct migration pair[2])
{
	migrate_begin(&pair[0], MIGRATE_SOURCE, uuid);
	migrate_begin(&pair[1], MIGRATE_DESTINATION, NULL);
	for (int i = 0; i < 2; i++)
		migrate_expect(&pair[i], 2);
}

static int pass(struct migration pair[2], enum migrate_side from, const struct said *said)
{
	struct error error;
	int err = migrate_take(&pair[from], from, &said->frame, said->body, NULL, &error);
	return err ? err : migrate_take(&pair[!from], from, &said->frame, said->body, NULL, &error);
}

static void test_whole(void **state)
{
	static const struct { enum migrate_side from; enum lv_migrate_type type; } course[] = {
		{ 0, LV_MIG_HELLO }, { 1, LV_MIG_HELLO }, { 0, LV_MIG_CONFIG }, { 1, LV_MIG_WANTED }, { 0, LV_MIG_IMAGE }, { 0, LV_MIG_IMAGE }, { 0, LV_MIG_ROUND },
		{ 1, LV_MIG_TAKEN }, { 0, LV_MIG_MEMORY }, { 0, LV_MIG_ROUND }, { 1, LV_MIG_TAKEN }, { 0, LV_MIG_MEMORY }, { 0, LV_MIG_STATE },
		{ 0, LV_MIG_STATE }, { 1, LV_MIG_READY }, { 0, LV_MIG_COMMIT }, { 1, LV_MIG_COMMITTED } };
	struct migration pair[2];
	setup_pair(pair);
	for (size_t i = 0; i < sizeof(course) / sizeof(*course); i++) {
		struct said said = sound(&pair[course[i].from], course[i].type);
		assert_int_equal(pass(pair, course[i].from, &said), 0);
		assert_memory_equal(pair[1].uuid, uuid, sizeof(uuid));
	}
	assert_true(migrate_ended(&pair[0]) && migrate_ended(&pair[1]));
	assert_int_equal(migrate_outcome(&pair[0]), LV_MIG_DESTINATION_RUNS);
	assert_int_equal(pair[0].sent, 2 * LV_MIGRATE_PAGE);
}

/* ---- every course ---- */

#define QUEUE 3
struct world { /* both sides, and what is on its way to each */
	struct migration side[2];
	uint8_t queue[2][QUEUE];
	int count[2];
};

struct seen { /* what makes two worlds the same */
	uint8_t phase[2], queue[2][QUEUE], count[2], at[4], post[2], recovers[2], memory[2];
};

#define WORLDS_MAX (1 << 18)
#define SLOTS (4 * WORLDS_MAX)
static struct found { /* every world that can be reached, in the order in which that was found */
	struct world *world;
	struct seen *seen;
	unsigned *slot; /* by hash: number + 1 */
	unsigned count;
} found;

static void reached(const struct world *world)
{
	struct seen one;
	memset(&one, 0, sizeof(one));
	for (int i = 0; i < 2; i++) {
		one.phase[i] = world->side[i].phase;
		one.count[i] = (uint8_t)world->count[i];
		memcpy(one.queue[i], world->queue[i], (size_t)world->count[i]);
		one.post[i] = world->side[i].post;
		one.recovers[i] = world->side[i].recovers;
		one.memory[i] = world->side[i].memory_size != 0;
		one.at[2 * i] = (uint8_t)world->side[i].image_at;
		one.at[2 * i + 1] = (uint8_t)world->side[i].state_at;
	}
	unsigned hash = 2166136261u;
	for (size_t i = 0; i < sizeof(one); i++)
		hash = (hash ^ ((const uint8_t *)&one)[i]) * 16777619u;
	for (; found.slot[hash % SLOTS]; hash++)
		if (!memcmp(&found.seen[found.slot[hash % SLOTS] - 1], &one, sizeof(one)))
			return;
	assert_true(found.count < WORLDS_MAX);
	found.slot[hash % SLOTS] = found.count + 1;
	found.seen[found.count] = one;
	found.world[found.count++] = *world;
}

/* The connection is cut here: at most one side runs, and if the source does not know, it does not. */
static void check_cut(const struct world *world)
{
	enum lv_migrate_outcome source = migrate_outcome(&world->side[0]), destination = migrate_outcome(&world->side[1]);
	if (world->side[0].phase == MIGRATE_ASKED || world->side[0].phase == MIGRATE_RESOLVED || world->side[1].phase == MIGRATE_ASKED || world->side[1].phase == MIGRATE_RESOLVED)
		return; /* these speak of another one */
	bool source_runs = source == LV_MIG_SOURCE_RUNS, destination_runs = destination == LV_MIG_DESTINATION_RUNS;
	assert_false(source_runs && destination_runs);
	/* Nobody runs it only where the source waits to hear what became of it. */
	assert_true(source_runs || destination_runs || source == LV_MIG_UNDECIDED);
	if (source == LV_MIG_DESTINATION_RUNS)
		assert_true(destination_runs);
}

static void try_to_say(const struct world *world, int from, enum lv_migrate_type type)
{
	struct world next = *world;
	struct error error;
	struct said said = sound(&next.side[from], type);
	bool ignored = false;
	if (next.count[!from] == QUEUE || (type == LV_MIG_ABANDON && !migrate_may_abandon(&next.side[from])))
		return;
	if (migrate_take(&next.side[from], from, &said.frame, said.body, &ignored, &error) || ignored)
		return;
	next.side[from].rounds = 0; /* their bound has a test of its own */
	next.side[from].in_round = 0;
	next.queue[!from][next.count[!from]++] = type;
	reached(&next);
}

/* What an honest side says is never refused. */
static void hear(const struct world *world, int who)
{
	struct world next = *world;
	struct error error = { 0 };
	if (!next.count[who])
		return;
	struct said said = sound(&next.side[who], next.queue[who][0]);
	int err = migrate_take(&next.side[who], !who, &said.frame, said.body, NULL, &error);
	if (err)
		fail_msg("%s in phase %d of side %d: %s", migrate_type_name(next.queue[who][0]), next.side[who].phase, who, error.text);
	memmove(next.queue[who], next.queue[who] + 1, (size_t)--next.count[who]);
	next.side[who].rounds = 0;
	next.side[who].in_round = 0;
	reached(&next);
}

static void look(const struct world *world)
{
	check_cut(world);
	for (int who = 0; who < 2; who++) {
		hear(world, who);
		for (int type = 1; type < LV_MIG_TYPES; type++)
			try_to_say(world, who, (enum lv_migrate_type)type);
	}
	/* Both have come to an end: the same one. */
	if (migrate_ended(&world->side[0]) && migrate_ended(&world->side[1]))
		assert_int_equal(world->side[0].phase, world->side[1].phase);
}

static void walk(uint16_t version, bool came[2][MIGRATE_RESOLVED + 1])
{
	struct world begin = { 0 };
	speaks = version;
	found = (struct found){ .world = calloc(WORLDS_MAX, sizeof(*found.world)), .seen = calloc(WORLDS_MAX, sizeof(*found.seen)),
		.slot = calloc(SLOTS, sizeof(*found.slot)) };
	setup_pair(begin.side);
	reached(&begin);
	for (unsigned i = 0; i < found.count; i++) {
		struct world world = found.world[i];
		look(&world);
	}
	for (unsigned i = 0; i < found.count; i++)
		for (int who = 0; who < 2; who++)
			came[who][found.world[i].side[who].phase] = true;
	assert_true(found.count > 300);
	free(found.world);
	free(found.seen);
	free(found.slot);
	speaks = 1;
}

static void test_every_course(void **state)
{
	bool old[2][MIGRATE_RESOLVED + 1] = { { 0 } }, came[2][MIGRATE_RESOLVED + 1] = { { 0 } };
	walk(1, old);
	walk(2, came);
	for (int phase = MIGRATE_BEGUN; phase <= MIGRATE_RESOLVED; phase++) {
		const bool later = phase == MIGRATE_RECOVERING || phase == MIGRATE_PUSHING || phase == MIGRATE_PUSHED;
		assert_true(came[0][phase] && came[1][phase]);
		assert_true(old[0][phase] == !later && old[1][phase] == !later);
	}
}

/* ---- what is refused ---- */

static void reach(struct migration pair[2], enum migrate_phase phase)
{
	static const struct { enum migrate_side from; enum lv_migrate_type type; } course[] = { { 0, LV_MIG_HELLO }, { 1, LV_MIG_HELLO }, { 0, LV_MIG_CONFIG }, { 1, LV_MIG_WANTED },
		{ 0, LV_MIG_IMAGE }, { 0, LV_MIG_IMAGE }, { 0, LV_MIG_ROUND }, { 1, LV_MIG_TAKEN } };
	setup_pair(pair);
	for (size_t i = 0; pair[0].phase != phase; i++) {
		assert_true(i < sizeof(course) / sizeof(*course));
		struct said said = sound(&pair[course[i].from], course[i].type);
		assert_int_equal(pass(pair, course[i].from, &said), 0);
	}
}

static void refused(struct migration *who, const struct said *said, int code, const char *text)
{
	struct error error = { 0 };
	struct migration before = *who;
	assert_int_equal(migrate_take(who, MIGRATE_SOURCE, &said->frame, said->body, NULL, &error), code);
	assert_non_null(strstr(error.text, text));
	assert_memory_equal(who, &before, sizeof(before));
}

static void test_frames(void **state)
{
	struct migration pair[2];
	struct said said;
	reach(pair, MIGRATE_MEMORY);
	said = sound(&pair[0], LV_MIG_MEMORY);
	said.frame.magic++;
	refused(&pair[1], &said, -EPROTO, "does not speak of migration");
	said = sound(&pair[0], LV_MIG_MEMORY);
	said.frame.type = 99;
	refused(&pair[1], &said, -EPROTO, "type 99");
	said = sound(&pair[0], LV_MIG_MEMORY);
	said.frame.version = 7;
	refused(&pair[1], &said, -EPROTONOSUPPORT, "version 7, where version 1");
	said = sound(&pair[0], LV_MIG_MEMORY);
	said.frame.uuid[5]++;
	refused(&pair[1], &said, -EPROTO, "of another migration");
	said = sound(&pair[0], LV_MIG_MEMORY);
	said.frame.size = sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA + 1;
	refused(&pair[1], &said, -EPROTO, "MEMORY of 262161 bytes");
	said = plain(&pair[0], LV_MIG_COMMIT);
	refused(&pair[1], &said, -EPROTO, "COMMIT, which the source cannot say now");
}

static void test_versions(void **state)
{
	struct migration pair[2];
	struct said said;
	setup_pair(pair);
	said = hello(&pair[0], LV_MIGRATE_VERSION + 1, LV_MIGRATE_VERSION + 2);
	refused(&pair[1], &said, -EPROTONOSUPPORT, "speaks versions 3 to 4 of the migration protocol, this one 1 to 2");
	said = hello(&pair[0], 2, 1);
	refused(&pair[1], &said, -EPROTO, "versions 2 to 1");
	said = hello(&pair[0], 1, 9);
	assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	assert_int_equal(pair[1].version, LV_MIGRATE_VERSION);
}

static void test_pieces(void **state)
{
	struct migration pair[2];
	struct said said;
	reach(pair, MIGRATE_IMAGE);
	said = piece(&pair[0], LV_MIG_IMAGE, 1, 2, 1);
	refused(&pair[1], &said, -EPROTO, "IMAGE with 1 bytes at 1 of 2");
	said = piece(&pair[0], LV_MIG_IMAGE, 0, 2, 3);
	refused(&pair[1], &said, -EPROTO, "IMAGE with 3 bytes at 0 of 2");
	said = plain(&pair[0], LV_MIG_ROUND);
	refused(&pair[1], &said, -EPROTO, "before the end of the image");
	reach(pair, MIGRATE_MEMORY);
	said = piece(&pair[0], LV_MIG_MEMORY, LV_MIGRATE_PAGE, LV_MIGRATE_PAGE, LV_MIGRATE_PAGE);
	refused(&pair[1], &said, -EPROTO, "MEMORY with 4096 bytes at 4096 of 4096");
	said = piece(&pair[0], LV_MIG_MEMORY, 1, 2 * LV_MIGRATE_PAGE, LV_MIGRATE_PAGE);
	refused(&pair[1], &said, -EPROTO, "at 1 of 8192");
	said = piece(&pair[0], LV_MIG_MEMORY, UINT64_MAX - LV_MIGRATE_PAGE + 1, LV_MIGRATE_MEMORY_MAX, LV_MIGRATE_PAGE);
	refused(&pair[1], &said, -EPROTO, "MEMORY with");
	said = piece(&pair[0], LV_MIG_MEMORY, 0, 2 * LV_MIGRATE_MEMORY_MAX, LV_MIGRATE_PAGE);
	refused(&pair[1], &said, -EPROTO, "MEMORY with");
	said = piece(&pair[0], LV_MIG_STATE, 0, LV_MIGRATE_STATE_MAX + 1, 1);
	refused(&pair[1], &said, -EPROTO, "STATE with 1 bytes at 0 of");
}

static void test_bounds(void **state)
{
	struct migration pair[2];
	struct said said, taken;
	reach(pair, MIGRATE_MEMORY);
	said = sound(&pair[0], LV_MIG_MEMORY);
	assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	refused(&pair[1], &said, -EPROTO, "more memory in one round than there is");
	said = plain(&pair[0], LV_MIG_ROUND);
	taken = plain(&pair[1], LV_MIG_TAKEN);
	for (int i = 0; i < LV_MIGRATE_ROUNDS; i++) {
		assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
		assert_int_equal(pass(pair, MIGRATE_DESTINATION, &taken), 0);
	}
	refused(&pair[1], &said, -EPROTO, "more than 64 rounds");
}

/* Memory after the switch: only where it was agreed, and within what there is. */
static void test_later(void **state)
{
	struct migration pair[2];
	struct said said;
	reach(pair, MIGRATE_MEMORY);
	said = piece(&pair[0], LV_MIG_LACKING, 0, LV_MIGRATE_PAGE, 1);
	refused(&pair[1], &said, -EPROTO, "LACKING in version 1");
	speaks = 2;
	reach(pair, MIGRATE_MEMORY);
	said = piece(&pair[0], LV_MIG_LACKING, 0, LV_MIGRATE_PAGE, 2);
	refused(&pair[1], &said, -EPROTO, "LACKING with 2 bytes at 0 of 4096");
	said = piece(&pair[0], LV_MIG_LACKING, LV_MIGRATE_PAGE, LV_MIGRATE_PAGE, 1);
	refused(&pair[1], &said, -EPROTO, "LACKING with");
	said = piece(&pair[0], LV_MIG_LACKING, UINT64_MAX - LV_MIGRATE_PAGE + 1, LV_MIGRATE_MEMORY_MAX, 1);
	refused(&pair[1], &said, -EPROTO, "LACKING with");
	for (int i = 0; i < 2; i++) {
		said = sound(&pair[0], LV_MIG_STATE);
		assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	}
	said = sound(&pair[0], LV_MIG_MEMORY);
	refused(&pair[1], &said, -EPROTO, "MEMORY after the state, where none was lacking");
	reach(pair, MIGRATE_MEMORY);
	said = sound(&pair[0], LV_MIG_LACKING);
	assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	for (int i = 0; i < 2; i++) {
		said = sound(&pair[0], LV_MIG_STATE);
		assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	}
	const struct { uint64_t offset, size; } wrong[] = { { 0, 2 * LV_MIGRATE_PAGE }, { LV_MIGRATE_PAGE, LV_MIGRATE_PAGE }, { 1, LV_MIGRATE_PAGE }, { 0, 0 }, { UINT64_MAX - LV_MIGRATE_PAGE + 1, LV_MIGRATE_PAGE } };
	struct error error;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		said = wants(&pair[1], wrong[i].offset, wrong[i].size);
		assert_int_equal(migrate_take(&pair[0], MIGRATE_DESTINATION, &said.frame, said.body, NULL, &error), -EPROTO);
	}
	said = sound(&pair[1], LV_MIG_WANT);
	assert_int_equal(pass(pair, MIGRATE_DESTINATION, &said), 0);
	said = sound(&pair[0], LV_MIG_MEMORY);
	assert_int_equal(pass(pair, MIGRATE_SOURCE, &said), 0);
	refused(&pair[1], &said, -EPROTO, "more memory in one round than there is");
	speaks = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_every_course), cmocka_unit_test(test_frames), cmocka_unit_test(test_versions),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_bounds), cmocka_unit_test(test_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
