/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each side of a migration has on disk, so that a killed process leaves no doubt about who runs the VM. The destination: migrations/UUID beside the
 * VMs' directories, locked for as long as the process lives that receives. The source: "migration" in the VM's directory, there while it has
 * said COMMIT and does not know what came of it; such a VM is paused, and is not resumed as others are.
 */
#ifndef LV_NODE_MIGRATE_RECORD_H
#define LV_NODE_MIGRATE_RECORD_H

#include <stdbool.h>

#include "abi/migrate.h"
#include "base/error.h"
#include "node/state.h"

struct stat;

#define MIGRATE_HEX (2 * LV_MIGRATE_UUID)
#define MIGRATE_MARK "migration"
#define MIGRATE_KEPT_DAYS 7 /* the destination forgets a VM that has left it; whoever asks later is told that there was no such migration */

/* HAS_RUN: it has taken COMMIT, too, and what followed from that is done: the VM may have left since, and come by another migration, of which this one says nothing. */
enum migrate_step { MIGRATE_RECEIVING, MIGRATE_HAS_COMMITTED, MIGRATE_HAS_RUN };

struct migrate_record { /* MIGRATE_RECORD_NONE; its lock is held */
	int dir, fd; /* dir: of the records */
	char uuid[MIGRATE_HEX + 1];
	enum migrate_step step;
	char id[STATE_ID + 1]; /* of the VM; empty: none yet */
	bool paused; /* the VM is to stay so */
};
#define MIGRATE_RECORD_NONE ((struct migrate_record){ .dir = -1, .fd = -1 })

/* A new one. -EEXIST: this migration was here before. Close in every case. */
int migrate_record_create(const struct state *state, const uint8_t uuid[LV_MIGRATE_UUID], struct migrate_record *record, struct error *error);
/* One that is there. -ENOENT: none, without message; -EBUSY: somebody works on it. Close in every case. */
int migrate_record_open(const struct state *state, const char *uuid, struct migrate_record *record, struct error *error);
/* Says step, id and paused; on disk when this returns. */
int migrate_record_write(struct migrate_record *record, struct error *error);
/* Of one that has committed: the VM runs. If that cannot be written, it is done again by whoever comes by. */
void migrate_record_done(struct migrate_record *record);
void migrate_record_remove(struct migrate_record *record);
void migrate_record_close(struct migrate_record *record);
/* Calls each(context, uuid) for all; 0 or what each answered. */
int migrate_record_each(const struct state *state, int (*each)(void *context, const char *uuid), void *context);
/* Was a file, of which this is said, last written more than MIGRATE_KEPT_DAYS ago? */
bool migrate_is_old(const struct stat *file);

struct migrate_mark { /* zero: none */
	char host[STATE_NAME + 1];
	uint8_t uuid[LV_MIGRATE_UUID];
	bool paused; /* it was before the migration, and stays so if it goes on here */
	bool post;   /* its memory was still to be sent after the switch */
	bool switched; /* and that was made: it runs there, and needs what is here */
	bool old;    /* read: written so long ago that the destination may have forgotten it */
};
/* If it fails, the one that was there may be there still. */
int migrate_mark_write(int vm_dir, const struct migrate_mark *mark, struct error *error);
/* False: there is none. */
bool migrate_mark_read(int vm_dir, struct migrate_mark *mark);
void migrate_mark_remove(int vm_dir);

#endif
