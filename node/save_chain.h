/* SPDX-License-Identifier: Apache-2.0 */
/* A saved VM that holds only what changed since another one, its parent, goes on with that one's memory below its own: with a chain of them, down to a whole one. */
#ifndef LV_NODE_SAVE_CHAIN_H
#define LV_NODE_SAVE_CHAIN_H

#include "abi/vm_records.h"
#include "node/save_dir.h"

struct save_chain { /* all zero: none */
	int memory[LV_VM_BELOW_MAX]; /* for reading, owned: the parent's, and what lies below it */
	unsigned count;
};

/*
 * Opens what save is a difference from: nothing, if it is whole. 0 or a negative errno with a message that names the parent: missing, another one by now (-ESTALE), damaged, or one too
 * many (-ELOOP). Close in each case.
 */
int save_chain_open(struct save_chain *chain, const struct save *save, struct error *error);
void save_chain_close(struct save_chain *chain);
/* That save is the parent: path and digest. 0 or a negative errno with a message. */
int save_chain_parent(const struct save *save, struct save_parent *parent, struct error *error);
/* Is what is at path save itself, or one that it is a difference from? */
bool save_chain_uses(const struct save_chain *chain, const struct save *save, const char *path);
/* -EBUSY with a message that names one in the user's place that is a difference from what is at path; 0: none is. */
int save_needed(const char *path, struct error *error);
/* save_remove(), if it is not needed. */
int save_give_up(const char *path, struct error *error);

#endif
