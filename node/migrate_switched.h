/* SPDX-License-Identifier: Apache-2.0 */
/* The destination of a migration whose memory comes after the switch: the rest of the conversation from the state's end on, and one that goes on after its connection was lost. */
#ifndef LV_NODE_MIGRATE_SWITCHED_H
#define LV_NODE_MIGRATE_SWITCHED_H

#include "node/migrate_arrive.h"
#include "node/migrate_wire.h"

/* READY, COMMIT, COMMITTED, and until all memory is there. vm->committed says how far it came. */
int switched_run(struct wire *wire, struct arriving *vm, struct error *error);
/* RECOVER has come. */
int switched_recover(const struct state *state, struct wire *wire, struct error *error);

#endif
