/* SPDX-License-Identifier: Apache-2.0 */
/* The destination of a VM whose memory comes after the switch: what its monitor waits for is asked for, what comes is put into its file (abi/memory_later.h). */
#ifndef LV_NODE_MIGRATE_COMING_H
#define LV_NODE_MIGRATE_COMING_H

#include <stdbool.h>
#include <stdint.h>

#include "node/migrate_wire.h"

#define COMING_SOCKET "pager-" /* in the VM's directory, and after it the UUID of the migration: who brings memory of another one finds nobody who waits for it */

struct coming { /* COMING_NONE */
	struct wire *wire;
	int memory; /* the file; owned */
	int pager;  /* connected to the monitor */
	uint8_t *lacking, *asked; /* a bit for each page; lacking NULL: not known, so that the source is asked for all */
	uint64_t pages;
	bool early; /* something is in asked that could not be asked for yet */
};
#define COMING_NONE ((struct coming){ .memory = -1, .pager = -1 })

/* /dev/userfaultfd, opened. -EACCES, -ENOENT and others: this user may not wait for faults, or this kernel has no such device. */
int coming_device(void);
/* LACKING has come: whoever calls knows that a VM may have so much. */
int coming_lacking(struct coming *coming, const struct lv_migrate_piece *piece, const uint8_t *bits, size_t size, struct error *error);
/* The state is there: a listening socket for the monitor, to which we are connected; what is lacking and came before goes from the file, of which a copy is taken. vm_dir: its directory. */
int coming_begin(struct coming *coming, struct wire *wire, int vm_dir, int memory, uint64_t size, struct error *error);
/* One that runs has lost who brought its memory. -ECONNREFUSED, -ENOENT: it waits for none, or not for that of this migration. Others have a message. */
int coming_join(struct coming *coming, struct wire *wire, int vm_dir, struct error *error);
/* Whether its monitor has something to say: it waits for a page. */
int coming_hear(struct coming *coming, struct error *error);
/* MEMORY has come. */
int coming_take(struct coming *coming, const struct lv_migrate_piece *piece, const uint8_t *data, size_t size, struct error *error);
/* ROUND has come, and with it all there is. */
int coming_end(struct coming *coming, struct error *error);
void coming_free(struct coming *coming);

#endif
