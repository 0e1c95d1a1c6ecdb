/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations to this host that no process works on any more. */
#ifndef LV_NODE_MIGRATE_SWEEP_H
#define LV_NODE_MIGRATE_SWEEP_H

#include "base/error.h"
#include "node/migrate_record.h"
#include "node/state.h"

/*
 * Goes through the records of migrations whose process has gone: those that had taken COMMIT are completed, of the others what is left is removed. For who comes
 * by; those that are under way are left alone, and no guest is waited for.
 */
void migrate_sweep(const struct state *state);
/* Has the VM of a record that has taken COMMIT run, if it does not yet. */
int migrate_finish(const struct state *state, const struct migrate_record *record, struct error *error);
/*
 * Afterwards, of one that runs: PID 1 of a Linux guest is told what time it is, since that stood still on the way. The library OS knows. Waits for the guest, some
 * seconds: for the process of that one connection, when it has nothing else to do.
 */
void migrate_renew(const struct state *state, const struct migrate_record *record);
/* Of a record whose process has gone, and which has not taken COMMIT: what is left of the VM goes, then the record. */
void migrate_discard(const struct state *state, struct migrate_record *record);

#endif
