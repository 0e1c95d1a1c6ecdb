/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM is to move to another host, and what it took. */
#ifndef LV_NODE_MIGRATE_WISH_H
#define LV_NODE_MIGRATE_WISH_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/migrate.h"

enum migrate_mode { MIGRATE_STOP_AND_COPY, MIGRATE_PRE_COPY, MIGRATE_POST_COPY, MIGRATE_HYBRID };

struct migrate_progress {
	const char *step;     /* "image", "memory", "state"; a static text */
	unsigned round;       /* of memory, from 1 on */
	unsigned throttle;    /* percent of the time that its processors stand still meanwhile */
	uint64_t done, total; /* bytes of this step, and round */
	uint64_t speed;       /* bytes a second; 0: not known yet */
};

struct migrate_wish {
	const char *host; /* its name */
	enum migrate_mode mode;
	uint64_t bandwidth;       /* bytes a second, at most; 0: all there is */
	uint64_t max_downtime_ns; /* pre-copy goes on until it expects less; 0: the default */
	uint64_t memory;          /* bytes, the most that it may have there; 0: as here */
	unsigned max_throttle;    /* pre-copy: percent of the time that its processors may stand still while it writes faster than the link carries */
	bool relay;               /* no encryption by the kernel */
	bool compare;             /* as where the host's kernel cannot tell what is written */
	void (*progress)(void *context, const struct migrate_progress *progress); /* NULL: not wanted */
	void *context;
};

#define MIGRATE_ROUNDS 16 /* of pre-copy, at most, the last one among them */

struct migrate_report { /* what became of it, and what it took */
	enum lv_migrate_outcome outcome;
	uint64_t total_ns, downtime_ns; /* downtime: from its standing still here to word that it goes on there */
	uint64_t image_bytes, memory_bytes, state_bytes;
	unsigned rounds;
	struct migrate_round {
		uint64_t bytes, ns; /* until all of it was there, but for the last one */
		unsigned throttle;  /* percent, meanwhile */
	} round[MIGRATE_ROUNDS];
	const char *instead; /* why it was pre-copy in place of post-copy; a static text, NULL: it was not */
	uint64_t pushed_bytes; /* after the switch; part of memory_bytes */
	bool pre_copy, converged; /* pre-copy: it was expected to stand still for no longer than it may */
	bool compares; /* the monitor could not tell what is written while it runs; two copies were compared, or one was all */
	bool kernel_sends;
	char cipher[40];
};

#endif
