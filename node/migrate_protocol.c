/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_protocol.h"

#include <errno.h>
#include <string.h>

/* ---- what a frame may be, whenever it comes ---- */

static const struct {
	const char *name;
	uint32_t least, most; /* bytes of its body */
} types[LV_MIG_TYPES] = {
	[LV_MIG_HELLO] = { "HELLO", sizeof(struct lv_migrate_hello), sizeof(struct lv_migrate_hello) },
	[LV_MIG_RESOLVE] = { "RESOLVE", 0, 0 },
	[LV_MIG_RESOLVED] = { "RESOLVED", sizeof(struct lv_migrate_resolved), sizeof(struct lv_migrate_resolved) },
	[LV_MIG_CONFIG] = { "CONFIG", 2, LV_MIGRATE_CONFIG_MAX },
	[LV_MIG_WANTED] = { "WANTED", sizeof(struct lv_migrate_wanted), sizeof(struct lv_migrate_wanted) },
	[LV_MIG_IMAGE] = { "IMAGE", sizeof(struct lv_migrate_piece) + 1, sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA },
	[LV_MIG_MEMORY] = { "MEMORY", sizeof(struct lv_migrate_piece) + LV_MIGRATE_PAGE, sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA },
	[LV_MIG_ROUND] = { "ROUND", 0, 0 },
	[LV_MIG_TAKEN] = { "TAKEN", 0, 0 },
	[LV_MIG_STATE] = { "STATE", sizeof(struct lv_migrate_piece) + 1, sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA },
	[LV_MIG_READY] = { "READY", 0, 0 },
	[LV_MIG_COMMIT] = { "COMMIT", 0, 0 },
	[LV_MIG_COMMITTED] = { "COMMITTED", 0, 0 },
	[LV_MIG_ABANDON] = { "ABANDON", 0, LV_MIGRATE_TEXT_MAX },
	[LV_MIG_ABANDONED] = { "ABANDONED", 0, 0 },
	[LV_MIG_LACKING] = { "LACKING", sizeof(struct lv_migrate_piece) + 1, sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA },
	[LV_MIG_WANT] = { "WANT", sizeof(struct lv_migrate_want), sizeof(struct lv_migrate_want) },
	[LV_MIG_RECOVER] = { "RECOVER", 0, 0 },
};

const char *migrate_type_name(unsigned type)
{
	return type < LV_MIG_TYPES && types[type].name ? types[type].name : "a frame of no type";
}

/* ---- who may say what, when, and where that leads to ---- */

static const struct rule {
	enum migrate_phase phase;
	enum migrate_side from;
	enum lv_migrate_type type;
	enum migrate_phase next;
} rules[] = {
	{ MIGRATE_BEGUN, MIGRATE_SOURCE, LV_MIG_HELLO, MIGRATE_GREETED },
	{ MIGRATE_GREETED, MIGRATE_DESTINATION, LV_MIG_HELLO, MIGRATE_AGREED },
	{ MIGRATE_AGREED, MIGRATE_SOURCE, LV_MIG_RESOLVE, MIGRATE_ASKED },
	{ MIGRATE_ASKED, MIGRATE_DESTINATION, LV_MIG_RESOLVED, MIGRATE_RESOLVED },
	{ MIGRATE_AGREED, MIGRATE_SOURCE, LV_MIG_CONFIG, MIGRATE_OFFERED },
	{ MIGRATE_OFFERED, MIGRATE_DESTINATION, LV_MIG_WANTED, MIGRATE_MEMORY }, /* or IMAGE, if that is wanted */
	{ MIGRATE_IMAGE, MIGRATE_SOURCE, LV_MIG_IMAGE, MIGRATE_IMAGE },
	{ MIGRATE_IMAGE, MIGRATE_SOURCE, LV_MIG_ROUND, MIGRATE_IMAGE_END }, /* when all of it was sent */
	{ MIGRATE_IMAGE_END, MIGRATE_DESTINATION, LV_MIG_TAKEN, MIGRATE_MEMORY },
	{ MIGRATE_MEMORY, MIGRATE_SOURCE, LV_MIG_MEMORY, MIGRATE_MEMORY },
	{ MIGRATE_MEMORY, MIGRATE_SOURCE, LV_MIG_ROUND, MIGRATE_ROUND_END },
	{ MIGRATE_ROUND_END, MIGRATE_DESTINATION, LV_MIG_TAKEN, MIGRATE_MEMORY },
	{ MIGRATE_MEMORY, MIGRATE_SOURCE, LV_MIG_LACKING, MIGRATE_MEMORY },
	{ MIGRATE_MEMORY, MIGRATE_SOURCE, LV_MIG_STATE, MIGRATE_STATE }, /* COMPLETE with its last piece */
	{ MIGRATE_STATE, MIGRATE_SOURCE, LV_MIG_STATE, MIGRATE_STATE },
	{ MIGRATE_COMPLETE, MIGRATE_DESTINATION, LV_MIG_READY, MIGRATE_READY },
	{ MIGRATE_READY, MIGRATE_SOURCE, LV_MIG_COMMIT, MIGRATE_COMMIT },
	{ MIGRATE_COMMIT, MIGRATE_DESTINATION, LV_MIG_COMMITTED, MIGRATE_COMMITTED }, /* PUSHING after LACKING */
	{ MIGRATE_COMPLETE, MIGRATE_DESTINATION, LV_MIG_WANT, MIGRATE_COMPLETE }, /* all of these after LACKING only */
	{ MIGRATE_COMPLETE, MIGRATE_SOURCE, LV_MIG_MEMORY, MIGRATE_COMPLETE },
	{ MIGRATE_READY, MIGRATE_DESTINATION, LV_MIG_WANT, MIGRATE_READY },
	{ MIGRATE_READY, MIGRATE_SOURCE, LV_MIG_MEMORY, MIGRATE_READY },
	{ MIGRATE_COMMIT, MIGRATE_DESTINATION, LV_MIG_WANT, MIGRATE_COMMIT },
	{ MIGRATE_COMMIT, MIGRATE_SOURCE, LV_MIG_MEMORY, MIGRATE_COMMIT },
	{ MIGRATE_PUSHING, MIGRATE_DESTINATION, LV_MIG_WANT, MIGRATE_PUSHING },
	{ MIGRATE_PUSHING, MIGRATE_SOURCE, LV_MIG_MEMORY, MIGRATE_PUSHING },
	{ MIGRATE_PUSHING, MIGRATE_SOURCE, LV_MIG_ROUND, MIGRATE_PUSHED },
	{ MIGRATE_PUSHED, MIGRATE_DESTINATION, LV_MIG_WANT, MIGRATE_PUSHED },
	{ MIGRATE_PUSHED, MIGRATE_DESTINATION, LV_MIG_TAKEN, MIGRATE_COMMITTED },
	{ MIGRATE_AGREED, MIGRATE_SOURCE, LV_MIG_RECOVER, MIGRATE_RECOVERING },
	{ MIGRATE_RECOVERING, MIGRATE_DESTINATION, LV_MIG_COMMITTED, MIGRATE_PUSHING },
	{ MIGRATE_RECOVERING, MIGRATE_DESTINATION, LV_MIG_RESOLVED, MIGRATE_RESOLVED },
	{ MIGRATE_LEAVING_SOURCE, MIGRATE_DESTINATION, LV_MIG_ABANDONED, MIGRATE_ABANDONED },
	{ MIGRATE_LEAVING_DESTINATION, MIGRATE_SOURCE, LV_MIG_ABANDONED, MIGRATE_ABANDONED },
};

static const struct rule *find_rule(enum migrate_phase phase, enum migrate_side from, unsigned type)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].phase == phase && rules[i].from == from && rules[i].type == type)
			return &rules[i];
	return NULL;
}

bool migrate_ended(const struct migration *migration)
{
	return migration->phase >= MIGRATE_COMMITTED;
}

bool migrate_is_leaving(const struct migration *migration)
{
	return migration->phase == MIGRATE_LEAVING_SOURCE || migration->phase == MIGRATE_LEAVING_DESTINATION;
}

bool migrate_is_pushing(const struct migration *migration)
{
	return migration->phase == MIGRATE_PUSHING || migration->phase == MIGRATE_PUSHED;
}

static bool may_abandon(enum migrate_phase phase, enum migrate_side side)
{
	if (phase == MIGRATE_RECOVERING)
		return side == MIGRATE_DESTINATION;
	if (phase >= MIGRATE_LEAVING_SOURCE || (phase == MIGRATE_BEGUN && side == MIGRATE_DESTINATION))
		return false;
	return phase < MIGRATE_COMMIT || side == MIGRATE_DESTINATION;
}

bool migrate_may_abandon(const struct migration *migration)
{
	/* A destination that has taken COMMIT has the VM: only one whose ABANDON was on its way before may have said it. */
	return may_abandon(migration->phase, migration->side) && migration->phase != MIGRATE_COMMIT;
}

enum lv_migrate_outcome migrate_outcome(const struct migration *migration)
{
	if (migration->asks || migration->phase == MIGRATE_RESOLVED)
		return migration->phase == MIGRATE_RESOLVED ? migration->outcome : LV_MIG_UNDECIDED;
	switch (migration->phase) {
	case MIGRATE_COMMIT:
		return migration->side == MIGRATE_SOURCE ? LV_MIG_UNDECIDED : LV_MIG_DESTINATION_RUNS;
	case MIGRATE_PUSHING:
	case MIGRATE_PUSHED:
	case MIGRATE_COMMITTED:
		return LV_MIG_DESTINATION_RUNS;
	default: /* what RECOVER is about may have been switched, whatever becomes of this */
		return migration->recovers ? LV_MIG_UNDECIDED : LV_MIG_SOURCE_RUNS;
	}
}

/* ---- frames ---- */

void migrate_begin(struct migration *migration, enum migrate_side side, const uint8_t uuid[LV_MIGRATE_UUID])
{
	*migration = (struct migration){ .side = side, .version = 1 };
	if (uuid)
		memcpy(migration->uuid, uuid, sizeof(migration->uuid));
}

void migrate_expect(struct migration *migration, uint64_t image_size)
{
	migration->image_size = image_size;
}

struct lv_migrate_frame migrate_frame(const struct migration *migration, enum lv_migrate_type type, uint32_t size)
{
	struct lv_migrate_frame frame = { .magic = LV_MIGRATE_MAGIC, .version = type == LV_MIG_HELLO ? 1 : migration->version, .type = type, .size = size };
	memcpy(frame.uuid, migration->uuid, sizeof(frame.uuid));
	return frame;
}

int migrate_check(const struct migration *migration, const struct lv_migrate_frame *frame, struct error *error)
{
	bool first = migration->phase == MIGRATE_BEGUN && migration->side == MIGRATE_DESTINATION;
	if (frame->magic != LV_MIGRATE_MAGIC)
		return error_set(error, -EPROTO, "the other host does not speak of migration");
	if (frame->type >= LV_MIG_TYPES || !types[frame->type].name)
		return error_set(error, -EPROTO, "the other host sent a frame of type %u, which there is not", frame->type);
	if (frame->version != (frame->type == LV_MIG_HELLO ? 1 : migration->version))
		return error_set(error, -EPROTONOSUPPORT, "%s in version %u, where version %u was agreed", types[frame->type].name, frame->version, migration->version);
	if (frame->size < types[frame->type].least || frame->size > types[frame->type].most)
		return error_set(error, -EPROTO, "%s of %u bytes", types[frame->type].name, frame->size);
	if (!first && memcmp(frame->uuid, migration->uuid, sizeof(frame->uuid)))
		return error_set(error, -EPROTO, "%s of another migration", types[frame->type].name);
	return 0;
}

static int take_hello(struct migration *migration, enum migrate_side from, const struct lv_migrate_frame *frame, const void *body, struct error *error)
{
	struct lv_migrate_hello hello;
	memcpy(&hello, body, sizeof(hello));
	if (hello.oldest > hello.newest || (from == MIGRATE_DESTINATION && hello.oldest != hello.newest))
		return error_set(error, -EPROTO, "HELLO with versions %u to %u", hello.oldest, hello.newest);
	if (hello.newest < LV_MIGRATE_OLDEST || hello.oldest > LV_MIGRATE_VERSION)
		return error_set(error, -EPROTONOSUPPORT, "the other host's lightvm speaks versions %u to %u of the migration protocol, this one %u to %u", hello.oldest,
				 hello.newest, LV_MIGRATE_OLDEST, LV_MIGRATE_VERSION);
	migration->version = hello.newest < LV_MIGRATE_VERSION ? hello.newest : LV_MIGRATE_VERSION;
	if (from == MIGRATE_SOURCE)
		memcpy(migration->uuid, frame->uuid, sizeof(migration->uuid));
	return 0;
}

static int wrong_piece(const struct lv_migrate_frame *frame, const struct lv_migrate_piece *piece, struct error *error)
{
	return error_set(error, -EPROTO, "%s with %u bytes at %llu of %llu", types[frame->type].name, (unsigned)(frame->size - sizeof(*piece)),
			 (unsigned long long)piece->offset, (unsigned long long)piece->total);
}

/* Pieces that follow one another: *at is where the next one is. */
static int take_next(const struct lv_migrate_frame *frame, const struct lv_migrate_piece *piece, uint64_t *at, uint64_t total, struct error *error)
{
	uint64_t n = frame->size - sizeof(*piece);
	if (piece->total != total || piece->offset != *at || n > total - *at)
		return wrong_piece(frame, piece, error);
	*at += n;
	return 0;
}

static int take_memory(struct migration *migration, const struct lv_migrate_frame *frame, const struct lv_migrate_piece *piece, struct error *error)
{
	uint64_t n = frame->size - sizeof(*piece);
	if (piece->total < migration->memory_size || piece->total > LV_MIGRATE_MEMORY_MAX || piece->offset > piece->total || n > piece->total - piece->offset ||
	    (piece->offset | n | piece->total) % LV_MIGRATE_PAGE)
		return wrong_piece(frame, piece, error);
	migration->memory_size = piece->total;
	migration->in_round += n;
	migration->sent += n;
	if (migration->in_round > migration->memory_size)
		return error_set(error, -EPROTO, "more memory in one round than there is");
	return 0;
}

static int take_lacking(struct migration *migration, const struct lv_migrate_frame *frame, const struct lv_migrate_piece *piece, struct error *error)
{
	uint64_t bits = (uint64_t)(frame->size - sizeof(*piece)) * 8, first = piece->offset / LV_MIGRATE_PAGE, all = piece->total / LV_MIGRATE_PAGE;
	if (migration->version < 2)
		return error_set(error, -EPROTO, "LACKING in version %u", migration->version);
	if (piece->total < migration->memory_size || piece->total > LV_MIGRATE_MEMORY_MAX || (piece->offset | piece->total) % LV_MIGRATE_PAGE || first > all || bits > all - first + 7)
		return wrong_piece(frame, piece, error);
	migration->memory_size = piece->total;
	return 0;
}

static int take_want(const struct migration *migration, const struct lv_migrate_frame *frame, const void *body, struct error *error)
{
	struct lv_migrate_want want;
	memcpy(&want, body, sizeof(want));
	if (!migration->post || (want.offset | want.size) % LV_MIGRATE_PAGE || !want.size || want.size > LV_MIGRATE_WANT_MAX || want.offset > migration->memory_size ||
	    want.size > migration->memory_size - want.offset)
		return error_set(error, -EPROTO, "%s of %llu bytes at %llu", types[frame->type].name, (unsigned long long)want.size, (unsigned long long)want.offset);
	return 0;
}

static int take_state(struct migration *migration, const struct lv_migrate_frame *frame, const struct lv_migrate_piece *piece, enum migrate_phase *next,
		      struct error *error)
{
	migration->in_round = 0;
	if (!migration->state_at && piece->total <= LV_MIGRATE_STATE_MAX)
		migration->state_size = piece->total;
	int err = take_next(frame, piece, &migration->state_at, migration->state_size, error);
	if (!err && migration->state_at == migration->state_size)
		*next = MIGRATE_COMPLETE;
	return err;
}

/* What a type has to say besides its being there. */
static int take_body(struct migration *migration, enum migrate_side from, const struct lv_migrate_frame *frame, const void *body, enum migrate_phase *next,
		     struct error *error)
{
	struct lv_migrate_piece piece = { 0 };
	struct lv_migrate_wanted wanted;
	struct lv_migrate_resolved resolved;
	if (frame->size >= sizeof(piece))
		memcpy(&piece, body, sizeof(piece));
	switch (frame->type) {
	case LV_MIG_HELLO:
		return take_hello(migration, from, frame, body, error);
	case LV_MIG_WANTED:
		memcpy(&wanted, body, sizeof(wanted));
		if (wanted.image > 1 || (wanted.image && !migration->image_size))
			return error_set(error, -EPROTO, "WANTED with image %u", wanted.image);
		if (wanted.post_copy > (migration->version >= 2))
			return error_set(error, -EPROTO, "WANTED with post-copy %u", wanted.post_copy);
		*next = wanted.image ? MIGRATE_IMAGE : MIGRATE_MEMORY;
		return 0;
	case LV_MIG_IMAGE:
		return take_next(frame, &piece, &migration->image_at, migration->image_size, error);
	case LV_MIG_ROUND:
		if (migration->phase == MIGRATE_IMAGE && migration->image_at != migration->image_size)
			return error_set(error, -EPROTO, "ROUND before the end of the image");
		if (migration->phase == MIGRATE_MEMORY && ++migration->rounds > LV_MIGRATE_ROUNDS)
			return error_set(error, -EPROTO, "more than %d rounds of memory", LV_MIGRATE_ROUNDS);
		migration->in_round = 0;
		return 0;
	case LV_MIG_LACKING:
		migration->post = true;
		return take_lacking(migration, frame, &piece, error);
	case LV_MIG_WANT:
		return take_want(migration, frame, body, error);
	case LV_MIG_RECOVER:
		if (migration->version < 2)
			return error_set(error, -EPROTO, "RECOVER in version %u", migration->version);
		migration->post = migration->recovers = true;
		return 0;
	case LV_MIG_COMMITTED:
		*next = migration->post ? MIGRATE_PUSHING : MIGRATE_COMMITTED;
		migration->in_round = 0;
		return 0;
	case LV_MIG_MEMORY:
		if (migration->phase != MIGRATE_MEMORY && !migration->post)
			return error_set(error, -EPROTO, "MEMORY after the state, where none was lacking");
		return take_memory(migration, frame, &piece, error);
	case LV_MIG_STATE:
		return take_state(migration, frame, &piece, next, error);
	case LV_MIG_RESOLVE:
		migration->asks = true;
		return 0;
	case LV_MIG_RESOLVED:
		memcpy(&resolved, body, sizeof(resolved));
		if (resolved.outcome < LV_MIG_SOURCE_RUNS || resolved.outcome > LV_MIG_UNDECIDED)
			return error_set(error, -EPROTO, "RESOLVED with outcome %u", resolved.outcome);
		migration->outcome = (enum lv_migrate_outcome)resolved.outcome;
		return 0;
	default:
		return 0;
	}
}

/*
 * ABANDON may cross anything that the other side has said before it heard of it, another ABANDON too. The destination's word counts: where it is the one that
 * leaves, its side of the table holds.
 */
static bool crossed(const struct migration *migration, enum migrate_side from, unsigned type)
{
	if (migration->phase == MIGRATE_LEAVING_SOURCE)
		return from == MIGRATE_DESTINATION && type != LV_MIG_ABANDON && type != LV_MIG_ABANDONED && type != LV_MIG_COMMITTED;
	if (migration->phase == MIGRATE_LEAVING_DESTINATION)
		return from == MIGRATE_SOURCE && type != LV_MIG_ABANDONED;
	return false;
}

static bool is_abandon(const struct migration *migration, enum migrate_side from, unsigned type)
{
	if (type != LV_MIG_ABANDON)
		return false;
	if (migration->phase == MIGRATE_LEAVING_SOURCE && from == MIGRATE_DESTINATION)
		return true;
	/* To a destination that has taken COMMIT nobody can say it, and it cannot itself. */
	return may_abandon(migration->phase, from) && !(migration->phase == MIGRATE_COMMIT && migration->side == MIGRATE_DESTINATION);
}

int migrate_take(struct migration *migration, enum migrate_side from, const struct lv_migrate_frame *frame, const void *body, bool *ignored, struct error *error)
{
	struct migration after = *migration;
	int err = migrate_check(migration, frame, error);
	if (ignored)
		*ignored = false;
	if (err)
		return err;
	if (is_abandon(migration, from, frame->type)) {
		migration->phase = from == MIGRATE_SOURCE ? MIGRATE_LEAVING_SOURCE : MIGRATE_LEAVING_DESTINATION;
		return 0;
	}
	if (crossed(migration, from, frame->type)) {
		if (ignored)
			*ignored = true;
		return 0;
	}
	const struct rule *rule = find_rule(migration->phase, from, frame->type);
	if (!rule)
		return error_set(error, -EPROTO, "%s, which the %s cannot say now", types[frame->type].name, from == MIGRATE_SOURCE ? "source" : "destination");
	enum migrate_phase next = rule->next;
	err = take_body(&after, from, frame, body, &next, error);
	if (err)
		return err;
	*migration = after;
	migration->phase = next;
	return 0;
}
