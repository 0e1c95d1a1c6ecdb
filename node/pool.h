/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shells of one flavour that wait to be claimed. All in the thread of one loop, and nothing here waits: a pool is refilled one shell at a time, a
 * moment after the last request, so that requests are not held up by what is for later ones. Its children are taken away when they have ended,
 * by whoever comes first, the pool or its process' own handler.
 */
#ifndef LV_NODE_POOL_H
#define LV_NODE_POOL_H

#include "abi/control.h"
#include "base/loop.h"
#include "node/shell.h"

#define POOL_NAME 32
#define POOL_MOST 4096

#define POOL_TEMPLATE 40
struct pool_plan { /* what a user can set */
	char name[POOL_NAME];
	char template[POOL_TEMPLATE]; /* of which its shells are copies already, but for who they are: for nothing else; what follows is the template's, but for the bounds. Empty: none */
	uint64_t memory; /* bytes that a VM of it may have, at most */
	uint64_t room;   /* bytes of an image that needs no memory slot of its own; a larger one fits, too, and takes longer */
	uint64_t ram;    /* the same of RAM that a VM has at once: one that goes on from a state */
	unsigned least, most; /* shells, whatever the demand */
};

struct pool_wish { /* what a request must have */
	uint64_t memory;
	uint64_t image, ram; /* better with room for these; bytes */
	struct shell_build build;
};

struct pool_state {
	unsigned ready, making, wanted;
	uint64_t made, failed, ended; /* shells, ever; that ended unclaimed by themselves */
	uint64_t claims[LV_CLAIMS];   /* by what came of them */
	uint64_t make_ns;  /* how long one takes, on the average */
	uint64_t saved_ns; /* what requests did not have to wait for */
	bool pressed;      /* memory is short: it gives back and makes none */
	char error[128];   /* why the last one could not be made; empty: it could */
};

struct pool;

/*
 * dir: the state directory; cpuid: the machine's cache in it, -1: none; both borrowed. absent: its template may be, which pool_look tells; it has shells when it is there again.
 * NULL with a message, out of memory or the template's. It begins to make shells in the loop.
 */
struct pool *pool_new(struct loop *loop, const struct pool_plan *plan, int dir, int cpuid, bool absent, struct error *error);
/* Ends what nobody has claimed. NULL is accepted. */
void pool_free(struct pool *pool);
const struct pool_plan *pool_plan(const struct pool *pool);
/* Other bounds; the rest of the plan is what it was. */
void pool_bound(struct pool *pool, unsigned least, unsigned most);
void pool_look(const struct pool *pool, struct pool_state *state);
/* Are its shells copies of what the wish is a clone of? No others can be that quickly. */
bool pool_ahead(const struct pool *pool, const struct pool_wish *wish);
/* Has it what the wish needs, if only there were one? Otherwise no claim of it would be a hit. */
bool pool_fits(const struct pool *pool, const struct pool_wish *wish);
/* Has it room for all that is better had? */
bool pool_suits(const struct pool *pool, const struct pool_wish *wish);
/* A claim may come in a moment: to make a shell, for which the loop stands still for half a millisecond, waits until after that. */
void pool_expect(struct pool *pool);
/* LV_CLAIM_HIT: *shell is the caller's. Or why not, which is counted. */
enum lv_claim pool_claim(struct pool *pool, const struct pool_wish *wish, struct shell *shell);
/* Who claimed a shell has not waited for it: it was no hit, but LV_CLAIM_LATE. The shell ends when the caller closes its socket. */
void pool_untaken(struct pool *pool);
/* Resident memory of the monitors that are ready, bytes; reads a file for each. */
uint64_t pool_memory(const struct pool *pool);

#endif
