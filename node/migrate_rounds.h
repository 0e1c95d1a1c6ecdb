/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory as it was at moments: pre-copy sends what one moment has that the one before had not. Where its monitor can, it tells, and the VM runs meanwhile (LV_CTL_LOOK). Otherwise that is found by
 * comparing, page by page, which costs a second copy of the memory and a stop for each.
 */
#ifndef LV_NODE_MIGRATE_ROUNDS_H
#define LV_NODE_MIGRATE_ROUNDS_H

#include "node/migrate_pieces.h"
#include "node/vm_info.h"

struct moment { /* MOMENT_NONE */
	int state, memory; /* files in memory */
	uint64_t state_size, size; /* bytes */
	const uint8_t *map;        /* of the memory; NULL: empty */
};
#define MOMENT_NONE ((const struct moment){ .state = -1, .memory = -1 })

/*
 * Before the VM stands still: files for another one, with room in memory for what before has, which it will have, too. 0 or a negative errno with a message. Drop the moment in
 * every case.
 */
int moment_prepare(const struct moment *before, struct moment *moment, struct error *error);
/*
 * Has the VM stand still, and takes it all down. The connection that keeps it so (vm_save_to), the caller's; or a negative errno with a message.
 */
int moment_take(const struct vm_info *info, struct moment *moment, struct error *error);
/*
 * A look at one that runs, or the last one, for which it stands still; has of memory what was written since the look before on this connection; -1: the first, with all of it, which opens the
 * connection, the caller's. In two halves, between which it is written. throttle: percent of the time that its
 * processors stand still from then on. -EOPNOTSUPP: the monitor, or its host's kernel, cannot tell.
 */
int moment_ask(const struct vm_info *info, int *connection, const struct moment *moment, bool last, unsigned throttle, struct error *error);
int moment_look(const struct vm_info *info, int *connection, struct moment *moment, struct error *error);
void moment_drop(struct moment *moment);

struct changes { /* zero-initialised: none */
	struct change { uint64_t at, size; } *run; /* bytes, whole pages; at most LV_MIGRATE_DATA each */
	size_t count, room;
	uint64_t bytes; /* of all */
};
/* What differs from before (MOMENT_NONE: from zeroes). Free in every case. */
int moment_compare(const struct moment *before, const struct moment *now, struct changes *changes, struct error *error);
/* Does a look have that page? */
bool moment_has(const struct moment *moment, uint64_t at);
/* All that a look has. */
int moment_data(const struct moment *now, struct changes *changes, struct error *error);
/* Sends it. */
int moment_send(struct pieces *pieces, const struct moment *now, const struct changes *changes, struct error *error);
void changes_free(struct changes *changes);

#endif
