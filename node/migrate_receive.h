/* SPDX-License-Identifier: Apache-2.0 */
/* The destination of a migration: from a connection to a VM that runs here, or to nothing. */
#ifndef LV_NODE_MIGRATE_RECEIVE_H
#define LV_NODE_MIGRATE_RECEIVE_H

#include "base/error.h"
#include "node/migrate_places.h"
#include "node/state.h"
#include "node/tls_link.h"

struct migrate_arrival { /* what came; for who reports it */
	char *host; /* whose VM it was, as this host calls it; NULL: nobody that is known */
	char id[STATE_ID + 1];
	char *name;
	bool asked;   /* it was a question about an older migration */
	bool arrived; /* the VM runs here */
};

/*
 * Serves one connection to its end, secured first within a few seconds. Takes socket. 0: a VM has come, or a question was answered; or a negative errno with a
 * message, and nothing is left of the VM here. Free arrival in both cases.
 */
int migrate_receive(const struct state *state, int socket, const struct migrate_places *places, struct migrate_arrival *arrival, struct error *error);
void migrate_arrival_free(struct migrate_arrival *arrival);

#endif
