/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two hosts say to each other while a VM moves from one, the source, to the other, the destination (docs/migration.md): frames on one secured
 * connection, little-endian. The connection guards every byte of them, so that they have no checksums of their own; the state in them does (vmm/state/stream.h).
 * A migration is named by a random UUID, which both sides keep. Versions: the source says which it speaks, the destination chooses;
 * each speaks its own and the one before it.
 */
#ifndef LV_ABI_MIGRATE_H
#define LV_ABI_MIGRATE_H

#include <assert.h>
#include <stdint.h>

#define LV_MIGRATE_MAGIC 0x47494d4cu /* "LMIG" */
#define LV_MIGRATE_VERSION 2
#define LV_MIGRATE_OLDEST 1 /* still spoken */
#define LV_MIGRATE_UUID 16

enum lv_migrate_type {
	LV_MIG_HELLO = 1,     /* both: struct lv_migrate_hello. The destination's has its choice in both versions */
	LV_MIG_RESOLVE = 2,   /* source, in place of CONFIG: what became of this migration? */
	LV_MIG_RESOLVED = 3,  /* destination: struct lv_migrate_resolved; the end */
	LV_MIG_CONFIG = 4,    /* source: the manifest, JSON (docs/saved-vms.md): all that has to fit */
	LV_MIG_WANTED = 5,    /* destination, to CONFIG: it fits. struct lv_migrate_wanted: what it lacks */
	LV_MIG_IMAGE = 6,     /* source: struct lv_migrate_piece and bytes, one piece after the other */
	LV_MIG_MEMORY = 7,    /* source: struct lv_migrate_piece and whole pages; what was never sent is zero */
	LV_MIG_ROUND = 8,     /* source: all of the image, or of this look at memory, was sent. No body */
	LV_MIG_TAKEN = 9,     /* destination, to ROUND: all that came is in its place. No body */
	LV_MIG_STATE = 10,    /* source: struct lv_migrate_piece and bytes; memory is complete. Its end is where offset + bytes is total */
	LV_MIG_READY = 11,    /* destination: a VM stands there, paused, with all of it. No body */
	LV_MIG_COMMIT = 12,   /* source: it runs no more, and will not until it hears what became of this. No body */
	LV_MIG_COMMITTED = 13, /* destination: the VM runs here; the end. No body */
	LV_MIG_ABANDON = 14,  /* either, the source before COMMIT, the destination before it has taken that: text, why */
	LV_MIG_ABANDONED = 15, /* the answer: nothing is left of it; the end. No body */
	/* since version 2: memory that comes after the switch */
	LV_MIG_LACKING = 16,   /* source, before STATE: struct lv_migrate_piece and bits, the lowest first, of pages from offset on: what was sent of these, if anything, is not what they have; they come after the switch */
	LV_MIG_WANT = 17,      /* destination, from STATE's end on: struct lv_migrate_want: the VM waits for these; MEMORY answers, among others. After COMMITTED the source sends what is lacking, then ROUND; TAKEN is the end then */
	LV_MIG_RECOVER = 18,   /* source, in place of CONFIG: the connection was lost after the switch. COMMITTED: memory may go on; or RESOLVED */
	LV_MIG_TYPES = 19,
};

struct lv_migrate_frame {
	uint32_t magic;
	uint16_t version; /* of HELLO: 1, whatever is spoken afterwards */
	uint16_t type;    /* enum lv_migrate_type */
	uint32_t size;    /* bytes that follow */
	uint32_t reserved;
	uint8_t uuid[LV_MIGRATE_UUID];
};
static_assert(sizeof(struct lv_migrate_frame) == 32, "migration frame layout");

struct lv_migrate_hello {
	uint16_t oldest, newest; /* versions that are spoken */
	uint32_t reserved;
};
static_assert(sizeof(struct lv_migrate_hello) == 8, "hello layout");

struct lv_migrate_wanted {
	uint32_t image; /* 1: all of it; 0: it is there */
	uint32_t post_copy; /* since version 2: 1: LACKING can be said */
};
static_assert(sizeof(struct lv_migrate_wanted) == 8, "wanted layout");

struct lv_migrate_piece {
	uint64_t offset; /* in the image, in memory (as LV_CTL_SAVE has it), in the state */
	uint64_t total;  /* of the image, of memory, of the state: the same in each piece; memory may grow */
};
static_assert(sizeof(struct lv_migrate_piece) == 16, "piece layout");

struct lv_migrate_want {
	uint64_t offset, size; /* whole pages of memory */
};
static_assert(sizeof(struct lv_migrate_want) == 16, "want layout");

enum lv_migrate_outcome {
	LV_MIG_SOURCE_RUNS = 1, /* the destination has nothing of it, and never will: the source goes on */
	LV_MIG_DESTINATION_RUNS = 2,
	LV_MIG_UNDECIDED = 3, /* the destination still works on it: ask again */
};
struct lv_migrate_resolved {
	uint32_t outcome; /* enum lv_migrate_outcome */
	uint32_t reserved;
};
static_assert(sizeof(struct lv_migrate_resolved) == 8, "resolved layout");

#define LV_MIGRATE_PAGE 4096
#define LV_MIGRATE_DATA (256u << 10) /* bytes of a piece, at most */
#define LV_MIGRATE_CONFIG_MAX (5u << 20)
#define LV_MIGRATE_STATE_MAX (64u << 20)
#define LV_MIGRATE_IMAGE_MAX (1ull << 40)
#define LV_MIGRATE_MEMORY_MAX (1ull << 40) /* of the memory file, whose offsets are addresses */
#define LV_MIGRATE_TEXT_MAX 1024
#define LV_MIGRATE_WANT_MAX (1u << 20) /* bytes that are asked for at once */
#define LV_MIGRATE_ROUNDS 64 /* of memory, at most */

#endif
