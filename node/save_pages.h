/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages a VM that goes on from its saved files writes first: kept beside them, so that the next ones have these at once (docs/state.md). */
#ifndef LV_NODE_SAVE_PAGES_H
#define LV_NODE_SAVE_PAGES_H

#include "node/save_dir.h"

#define SAVE_PAGES_SEEN_MS 1000 /* after so long it has come to rest, or to what it does all the time */

/*
 * Asks the VM in vm_dir, which goes on from save, and writes down what it tells. What was there before is replaced as a whole. 0, or a negative errno with a message and
 * nothing changed: -ENOENT, -ECONNREFUSED: it has ended.
 */
int save_pages_learn(const struct save *save, int vm_dir, struct error *error);

#endif
