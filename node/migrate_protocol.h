/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation of a migration (abi/migrate.h) as a state machine without any input or output. Each side has one, and shows it every frame that it sends and
 * every frame that comes; both are judged by the same rules, so that neither side can go on from another place than the other.
 *
 * Who runs the VM follows from it alone: before COMMIT a failure leaves the source running; the destination runs once it has taken COMMIT; a source that
 * has said COMMIT and heard nothing knows nothing, stays paused and asks (RESOLVE) when it meets the destination again.
 */
#ifndef LV_NODE_MIGRATE_PROTOCOL_H
#define LV_NODE_MIGRATE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/migrate.h"
#include "base/error.h"

enum migrate_side { MIGRATE_SOURCE, MIGRATE_DESTINATION };

enum migrate_phase { /* what was said last, by whom it matters */
	MIGRATE_BEGUN,     /* nothing */
	MIGRATE_GREETED,   /* the source's HELLO */
	MIGRATE_AGREED,    /* the destination's */
	MIGRATE_OFFERED,   /* CONFIG */
	MIGRATE_IMAGE,     /* WANTED: the image is on its way */
	MIGRATE_IMAGE_END, /* ROUND after it */
	MIGRATE_MEMORY,    /* memory is on its way */
	MIGRATE_ROUND_END, /* ROUND after it */
	MIGRATE_STATE,     /* the state is on its way */
	MIGRATE_COMPLETE,  /* its last piece */
	MIGRATE_READY,
	MIGRATE_COMMIT,
	MIGRATE_ASKED,     /* RESOLVE */
	MIGRATE_LEAVING_SOURCE, /* the source said ABANDON */
	MIGRATE_LEAVING_DESTINATION, /* the destination did, or both */
	MIGRATE_RECOVERING, /* RECOVER */
	MIGRATE_PUSHING,    /* COMMITTED, and memory is still on its way */
	MIGRATE_PUSHED,     /* ROUND after it */
	/* the ends */
	MIGRATE_COMMITTED,
	MIGRATE_ABANDONED,
	MIGRATE_RESOLVED,
};

struct migration { /* of one side */
	enum migrate_side side;
	enum migrate_phase phase;
	uint16_t version; /* chosen; 1 before */
	bool asks;        /* it was RESOLVE: this is about an older migration of the same name */
	bool recovers;    /* it was RECOVER: the switch was made in a conversation before this one */
	bool post;        /* LACKING was said, or RECOVER: memory comes after the switch */
	uint8_t uuid[LV_MIGRATE_UUID];
	uint64_t image_size; /* who reads or writes CONFIG says it (migrate_expect) */
	uint64_t image_at, memory_size, state_at, state_size; /* memory_size: as said last, it may grow */
	uint64_t sent, in_round; /* bytes of memory: of all rounds, and of this one */
	unsigned rounds;
	enum lv_migrate_outcome outcome; /* of RESOLVED */
};

/* uuid NULL: a destination, which takes that of the first frame. */
void migrate_begin(struct migration *migration, enum migrate_side side, const uint8_t uuid[LV_MIGRATE_UUID]);
/* What CONFIG said. */
void migrate_expect(struct migration *migration, uint64_t image_size);
/* The header of a frame of this migration. */
struct lv_migrate_frame migrate_frame(const struct migration *migration, enum lv_migrate_type type, uint32_t size);
/*
 * The header of a frame that came: may its body be read? How long it may be depends on its type alone, so that memory for it is bounded. 0, or -EPROTO,
 * -EPROTONOSUPPORT with a message.
 */
int migrate_check(const struct migration *migration, const struct lv_migrate_frame *frame, struct error *error);
/*
 * A whole frame that from has said: 0, and the migration is where it leads to; or -EPROTO and others with a message, and it is where it was. A frame that
 * crossed an ABANDON is taken and leads nowhere: *ignored, NULL: not wanted.
 */
int migrate_take(struct migration *migration, enum migrate_side from, const struct lv_migrate_frame *frame, const void *body, bool *ignored, struct error *error);

/* If the connection ended here, who runs the VM? UNDECIDED: the source cannot know. */
enum lv_migrate_outcome migrate_outcome(const struct migration *migration);
bool migrate_ended(const struct migration *migration);
/* Has the VM been switched to the destination, and memory is still to come? */
bool migrate_is_pushing(const struct migration *migration);
/* Did either side say ABANDON? */
bool migrate_is_leaving(const struct migration *migration);
/* May this side still say ABANDON? */
bool migrate_may_abandon(const struct migration *migration);
const char *migrate_type_name(unsigned type);

#endif
