/* SPDX-License-Identifier: Apache-2.0 */
/* Packing takes a moment the first time: on a terminal, one line that changes says so. */
#ifndef LV_CLI_PACKING_H
#define LV_CLI_PACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "tinyx/packages/debs.h"
#include "tinyx/plan.h"

struct packing {
	struct pack_watch watch; /* for pack_request; its context is this struct, which may not move */
	struct debs_watch steps; /* likewise */
	const char *program;
	uint64_t begun_ms, shown_ms;
	bool shown; /* there is a line on the terminal */
	bool silent; /* it is no terminal */
};

/* program: a path or a name, the caller's as long as it lasts. Nothing is printed unless stderr is a terminal and half a second has gone. */
void packing_init(struct packing *packing, const char *program);
/* Takes the line away. */
void packing_fini(struct packing *packing);

#endif
