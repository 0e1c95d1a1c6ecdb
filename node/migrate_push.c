/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE LV_MIGRATE_PAGE
#define CHUNK 16 /* pages that are sent together, since who asks for one will want its neighbours, and who asks next shall not wait for long */

static bool is_lacking(const struct push *push, uint64_t page)
{
	return push->lacking[page / 8] >> page % 8 & 1;
}

int push_begin(struct push *push, const struct moment *older, const struct moment *newer, struct error *error)
{
	uint64_t size = newer && newer->size > older->size ? newer->size : older->size;
	*push = (struct push){ .moment = { older, newer }, .pages = size / PAGE };
	push->lacking = alloc_zero(push->pages / 8 + 1);
	return push->lacking ? 0 : error_set(error, -ENOMEM, "out of memory");
}

void push_free(struct push *push)
{
	free(push->lacking);
	*push = PUSH_NONE;
}

void push_add(struct push *push, const struct changes *changes, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < changes->count; i++)
		for (uint64_t at = changes->run[i].at; at < changes->run[i].at + changes->run[i].size; at += PAGE) {
			uint64_t page = at / PAGE;
			if (at < from || at >= to || page >= push->pages || is_lacking(push, page))
				continue;
			push->lacking[page / 8] |= (uint8_t)(1u << page % 8);
			push->left++;
		}
}

int push_tell(const struct push *push, struct wire *wire, struct error *error)
{
	uint64_t bytes = (push->pages + 7) / 8;
	int err = 0;
	for (uint64_t at = 0; at < bytes && !err; at += LV_MIGRATE_DATA) {
		const struct lv_migrate_piece piece = { .offset = at * 8 * PAGE, .total = push->pages * PAGE };
		err = wire_send(wire, LV_MIG_LACKING, &piece, sizeof(piece), push->lacking + at, bytes - at < LV_MIGRATE_DATA ? bytes - at : LV_MIGRATE_DATA, error);
	}
	return err;
}

/* What the page had when it was stopped. */
static const uint8_t *contents(const struct push *push, uint64_t page)
{
	const struct moment *newer = push->moment[1];
	return (newer && moment_has(newer, page * PAGE) ? newer : push->moment[0])->map + page * PAGE;
}

/* Of these pages those that are lacking. */
static int send_pages(struct push *push, struct pieces *pieces, uint64_t first, uint64_t end, struct error *error)
{
	int err = 0;
	for (uint64_t page = first; page < end && page < push->pages && !err; page++) {
		if (!is_lacking(push, page))
			continue;
		err = pieces_send(pieces, contents(push, page), page * PAGE, PAGE, push->pages * PAGE, error);
		push->lacking[page / 8] &= (uint8_t)~(1u << page % 8);
		push->left--;
	}
	return err;
}

int push_send(struct push *push, struct pieces *pieces, uint64_t from, uint64_t to, struct error *error)
{
	return send_pages(push, pieces, from / PAGE, to / PAGE, error);
}

int push_answer(struct push *push, struct pieces *pieces, struct error *error)
{
	struct lv_migrate_want want;
	memcpy(&want, pieces->wire->body, sizeof(want));
	uint64_t first = want.offset / PAGE, end = first + want.size / PAGE;
	push->at = end; /* what comes next is likely to be wanted next */
	return send_pages(push, pieces, first, end < first + CHUNK ? first + CHUNK : end, error);
}

static int send_next(struct push *push, struct pieces *pieces, struct error *error)
{
	while (push->left) {
		uint64_t page = push->at < push->pages ? push->at : 0;
		push->at = page + CHUNK;
		uint64_t before = push->left;
		int err = send_pages(push, pieces, page, page + CHUNK, error);
		if (err || push->left != before)
			return err;
	}
	return 0;
}

int push_all(struct push *push, struct pieces *pieces, struct error *error)
{
	struct wire *wire = pieces->wire;
	int err = 0;
	while (push->left && !err) {
		if (!wire_has(wire)) {
			err = send_next(push, pieces, error);
			continue;
		}
		err = wire_expect(wire, LV_MIG_WANT, error);
		if (!err)
			err = push_answer(push, pieces, error);
	}
	if (!err)
		err = wire_send(wire, LV_MIG_ROUND, NULL, 0, NULL, 0, error);
	while (!err && !migrate_ended(&wire->migration)) /* what it asked for before it had all of it */
		err = wire_receive(wire, error);
	return err;
}
