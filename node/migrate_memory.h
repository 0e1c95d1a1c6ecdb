/* SPDX-License-Identifier: Apache-2.0 */
/* The source's part in which memory and state are sent: from a VM that runs to one that stands still, of which the other side has all. */
#ifndef LV_NODE_MIGRATE_MEMORY_H
#define LV_NODE_MIGRATE_MEMORY_H

#include "node/migrate_push.h"
#include "node/migrate_rounds.h"
#include "node/migrate_wire.h"
#include "node/migrate_wish.h"

struct copying {
	struct wire *wire;
	const struct vm_info *info;
	const struct migrate_wish *wish;
	struct migrate_report *report;
	bool disks; /* it has some: before it is told that all is sent, the other side may have them */
	int connection; /* to the monitor: the VM stands still as long as it lives, once it did; -1: the VM runs */
	struct moment moment; /* the last one */
	struct moment first;  /* post-copy: the one before it */
	struct push push;     /* likewise: what is lacking there */
	struct pieces pieces; /* in which that is sent */
	bool ahead; /* the monitor was asked for the first look, into that */
	uint64_t stopped_ns;  /* when it was asked to stand still */
	struct migrate_round last; /* that was sent */
	unsigned throttle;         /* percent, from the next look on */
};

/* Says how far it is. */
void copying_tell(void *copying, const char *step, uint64_t done, uint64_t total);
/* It will be run: the first look at memory, which takes its time, can be had meanwhile. */
void copying_ahead(void *copying);
/* All that was sent has arrived. */
int copying_round_end(struct copying *copy, struct error *error);
/* As the wish says: 0, and the VM stands still, all of it is sent, and the READY has not come yet. Whatever it answers, copying_let_go. */
int copying_run(struct copying *copy, struct error *error);
/* Waits for this word, and sends meanwhile what the other side asks for. */
int copying_expect(struct copying *copy, enum lv_migrate_type type, struct error *error);
/* The VM runs there: sends what is lacking. 0: it has all of it. */
int copying_push(struct copying *copy, struct error *error);
/* Likewise, of all that was looked at, once more. */
int copying_push_all(struct copying *copy, const struct changes *all, struct error *error);
void copying_free(struct copying *copy);
/* The VM goes on, if it ran before. */
void copying_let_go(struct copying *copy);

#endif
