/* SPDX-License-Identifier: Apache-2.0 */
/* The source of a VM that has been switched to the other host before its memory was there: what that asks for is sent first, and all the rest meanwhile. */
#ifndef LV_NODE_MIGRATE_PUSH_H
#define LV_NODE_MIGRATE_PUSH_H

#include "node/migrate_rounds.h"

struct push { /* PUSH_NONE */
	const struct moment *moment[2]; /* what is in the second is newer; NULL: there is none */
	uint8_t *lacking; /* a bit for each page, the lowest first */
	uint64_t pages, at; /* all; where the next one is looked for */
	uint64_t left;      /* pages */
};
#define PUSH_NONE ((struct push){ .lacking = NULL })

/* Nothing is lacking yet. Free in every case. */
int push_begin(struct push *push, const struct moment *older, const struct moment *newer, struct error *error);
void push_add(struct push *push, const struct changes *changes, uint64_t from, uint64_t to); /* what of these lies in memory's [from, to) */
void push_free(struct push *push);
/* Sends what is lacking of memory's [from, to). */
int push_send(struct push *push, struct pieces *pieces, uint64_t from, uint64_t to, struct error *error);
/* LACKING, of all pages that are. */
int push_tell(const struct push *push, struct wire *wire, struct error *error);
/* Answers WANT, which has come, with what is lacking of it. */
int push_answer(struct push *push, struct pieces *pieces, struct error *error);
/* All that is lacking, with answers in between; ROUND; returns when the other side has taken it. */
int push_all(struct push *push, struct pieces *pieces, struct error *error);

#endif
