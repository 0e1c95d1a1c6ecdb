/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving end of migrations: it listens, and starts a process for each connection, which alone reads what comes. */
#ifndef LV_NODE_HOST_SERVE_H
#define LV_NODE_HOST_SERVE_H

#include "base/error.h"
#include "base/spawn.h"
#include "node/migrate_places.h"
#include "node/state.h"

#define SERVE_AT_ONCE 16 /* connections; further ones wait */

struct serving {
	const struct state *state;
	int listening;
	struct migrate_places places;
	struct spawned child[SERVE_AT_ONCE];
};

/* Checks that this host has a key, completes or clears what killed processes have left, and listens. End with serve_close in every case. */
int serve_open(struct serving *serving, const struct state *state, const char *address, const struct migrate_places *places, struct error *error);
/*
 * One round: waits for a connection, or the end of one, until stop can be read: -ECANCELED then. What a process that was killed has left is cleared when it ends.
 * Otherwise 0, or a negative errno with a message that it cannot go on.
 */
int serve_once(struct serving *serving, int stop, struct error *error);
/* Ends the processes, too, and clears what they leave. */
void serve_close(struct serving *serving);

#endif
