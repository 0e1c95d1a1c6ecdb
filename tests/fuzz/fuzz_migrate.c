/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile host says while a VM moves: any frames, to either side, which answers when it is its turn. No frame leads past what it has to say before, lets a body
 * be read that is longer than its type's, or has a piece outside of its file.
 * fuzz-sources: node/migrate_protocol.c base/error.c base/text.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/migrate_protocol.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static uint8_t body[64];

static void fill(struct input *in, struct lv_migrate_frame *frame, const struct migration *who)
{
	static const uint32_t sizes[] = { 0, 2, 8, 17, 16 + 4096, 16 + LV_MIGRATE_DATA, LV_MIGRATE_DATA + 17, UINT32_MAX };
	uint8_t type = take(in), kind = take(in);
	*frame = migrate_frame(who, (enum lv_migrate_type)(type % (LV_MIG_TYPES + 1)), sizes[take(in) % 8]);
	if (kind & 16)
		frame->version = take(in);
	if (kind & 32)
		frame->uuid[0] ^= take(in);
	if (kind & 64)
		frame->size = take_word(in);
	for (size_t i = 0; i < sizeof(body); i += 4) {
		uint8_t how = i < 16 ? take(in) : 0;
		uint32_t word = how & 1 ? take_word(in) : how >> 4;
		word <<= how & 2 ? 12 : 0;
		memcpy(body + i, &word, sizeof(word));
	}
}

static void check(const struct migration *before, const struct migration *now, const struct lv_migrate_frame *frame, int err)
{
	if (err) {
		MUST(!memcmp(before, now, sizeof(*now)));
		return;
	}
	MUST(!migrate_ended(before) && now->phase <= MIGRATE_RESOLVED);
	MUST(frame->size <= LV_MIGRATE_CONFIG_MAX);
	MUST(now->image_at <= now->image_size && now->state_at <= now->state_size && now->state_size <= LV_MIGRATE_STATE_MAX);
	MUST(now->memory_size <= LV_MIGRATE_MEMORY_MAX && now->in_round <= now->memory_size && now->rounds <= LV_MIGRATE_ROUNDS);
	MUST(now->phase != MIGRATE_COMMIT || (before->phase == MIGRATE_READY && frame->type == LV_MIG_COMMIT));
	MUST(now->phase != MIGRATE_COMMITTED || before->phase == MIGRATE_COMMIT || before->phase == MIGRATE_PUSHED);
	MUST(now->phase != MIGRATE_PUSHING || now->post);
	MUST(now->phase != MIGRATE_COMPLETE || now->state_at == now->state_size);
	if (migrate_outcome(before) == LV_MIG_DESTINATION_RUNS && !before->asks)
		MUST(migrate_outcome(now) == LV_MIG_DESTINATION_RUNS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct migration who;
	struct error error;
	uint8_t first = take(&in);
	migrate_begin(&who, first & 1, NULL);
	migrate_expect(&who, first >> 1);
	while (in.at < in.end) {
		struct lv_migrate_frame frame;
		struct migration before = who;
		enum migrate_side from = take(&in) & 1;
		fill(&in, &frame, &who);
		if (from == who.side && frame.type == LV_MIG_ABANDON && !migrate_may_abandon(&who))
			continue;
		check(&before, &who, &frame, migrate_take(&who, from, &frame, body, NULL, &error));
	}
	return 0;
}
