/* SPDX-License-Identifier: Apache-2.0 */
/* The source of a migration: a VM that runs here goes on at another host. */
#ifndef LV_NODE_MIGRATE_SEND_H
#define LV_NODE_MIGRATE_SEND_H

#include "node/migrate_wish.h"
#include "node/vm_info.h"

/*
 * Moves the VM. 0: it runs there, and is gone here. A negative errno with a message otherwise; report->outcome says who has it: SOURCE_RUNS: nothing has changed
 * here, and there is nothing of it there; UNDECIDED: it stands still here until migrate_resolve hears or is told.
 */
int migrate_vm(const struct state *state, struct vm_info *info, const struct migrate_wish *wish, struct migrate_report *report, struct error *error);

/* ---- afterwards, of a VM that stands still for not knowing ---- */

/*
 * Asks the other host, and does what follows: *outcome. -ENOENT: this VM does not wait for that. -ESTALE: that host knows of no such migration, which after
 * MIGRATE_KEPT_DAYS may be for having forgotten it; nothing is done.
 */
int migrate_ask(const struct state *state, struct vm_info *info, enum lv_migrate_outcome *outcome, struct error *error);
/*
 * The connection was lost after a switch before memory: the other host gets the rest of it. 0: it has all, and the VM is gone here; report->outcome SOURCE_RUNS: it was never switched, and goes on here.
 * -ENOENT: no such VM; -EAGAIN: the other host does not know yet; -ESTALE: it knows of it no more.
 */
int migrate_recover(const struct state *state, struct vm_info *info, const struct migrate_wish *wish, struct migrate_report *report, struct error *error);
/* A person has decided: it goes on here (paused, if it was before the migration), or it is gone from here. */
int migrate_decide(const struct state *state, struct vm_info *info, enum lv_migrate_outcome outcome, struct error *error);

#endif
