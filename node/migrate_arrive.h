/* SPDX-License-Identifier: Apache-2.0 */
/* The VM that comes, on the destination: what was said of it is checked, what comes of it is kept, and then it stands here, hidden and paused. */
#ifndef LV_NODE_MIGRATE_ARRIVE_H
#define LV_NODE_MIGRATE_ARRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/launch.h"
#include "node/migrate_coming.h"
#include "node/migrate_places.h"
#include "node/migrate_record.h"
#include "node/save_dir.h"
#include "tinyx/cache.h"
#include "tinyx/stage.h"

struct arriving {
	const struct state *state;
	struct migrate_record record;
	struct migrate_places places; /* of which its files may be */
	int initrd;        /* of a Linux guest, the one that was looked at; -1: none */
	json_t *disks;     /* which files they are, as the source said */
	struct save save; /* its files are in memory */
	struct vm_config config;
	struct vm_dir dir;
	struct shell shell; /* its monitor, from the offer on, until it is told what to run */
	int theirs;         /* its end of the socket to it; -1: none */
	struct launch launch;
	struct coming coming; /* memory that comes after the switch */
	bool whole; /* its configuration is complete: image, kernel and files are open */
	bool prepared, launched; /* the directory is there; a monitor was started */
	bool committed;          /* the VM is this host's: nothing is taken away any more */
	struct cache cache;
	struct stage image; /* being written, into the cache */
};

/* NULL: out of memory. */
struct arriving *arriving_new(void);
/* Makes the record of the migration. */
int arriving_begin(struct arriving *vm, const struct state *state, const uint8_t uuid[LV_MIGRATE_UUID], const struct migrate_places *places, struct error *error);
/* The manifest: all that can be known now is checked now. */
int arriving_offer(struct arriving *vm, const void *text, size_t size, bool *wants_image, struct error *error);
/* Pieces of the image, one after the other; then its end: it has to be what the manifest says, and is in the cache afterwards. */
int arriving_image(struct arriving *vm, uint64_t offset, const void *data, size_t size, struct error *error);
int arriving_image_end(struct arriving *vm, struct error *error);
/* Once all that it needs is here: a directory and a name, both hidden, and a monitor that makes ready what it can, while memory comes. Nothing if it is not, or if there is one already. */
int arriving_ahead(struct arriving *vm, struct error *error);
int arriving_memory(struct arriving *vm, uint64_t offset, const void *data, size_t size, uint64_t total, struct error *error);
/* Whether memory may come after the switch. */
bool arriving_may_wait(const struct arriving *vm);
/* Which of it will come later. */
int arriving_lacking(struct arriving *vm, const struct lv_migrate_piece *piece, const uint8_t *bits, size_t size, struct error *error);
int arriving_state(struct arriving *vm, uint64_t offset, const void *data, size_t size, struct error *error);
/* All is there but memory that comes later: its monitor will wait for that. Before arriving_start. */
int arriving_later(struct arriving *vm, struct wire *wire, struct error *error);
/* All is there: returns when the VM stands here, paused and hidden. memory_size: of the file. */
int arriving_start(struct arriving *vm, uint64_t memory_size, struct error *error);
/* The point of no return: what is on disk says so before the VM runs. Whoever answers the source does so afterwards, and notes that it was done. */
int arriving_commit(struct arriving *vm, struct error *error);
/* Frees it. Unless it was committed, nothing is left of it. NULL: nothing. */
void arriving_free(struct arriving *vm);

#endif
