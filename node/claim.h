/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming a shell from the pools of lightvmd, if there is one. */
#ifndef LV_NODE_CLAIM_H
#define LV_NODE_CLAIM_H

#include "abi/control.h"
#include "node/shell.h"

/*
 * A connection to the daemon, the caller's; negative: there is none, and *claim says how that is told. It waits CLAIM_MS at most, as does each that follows.
 */
#define CLAIM_MS 50
int claim_open(enum lv_claim *claim);
struct claim_wish { /* bytes */
	uint64_t memory; /* that it may have */
	uint64_t ahead[2];   /* of the memory that it is a clone of, device and inode; 0: none */
	uint64_t image, ram; /* its image, and what it has at once (0: as little as any): with room for these it starts quicker */
};
/*
 * One for a VM of the library OS, in two halves, since whoever asks has more to prepare. Asks: LV_CLAIM_HIT, which is to be
 * taken; a connection that is closed in its place ends the shell. Takes: LV_CLAIM_HIT, *shell is the caller's, no child of it.
 * Anything else says why there is none, and a cold start is what follows: nothing of this is an error.
 */
enum lv_claim claim_ask(int daemon, const struct claim_wish *asked);
enum lv_claim claim_take(int daemon, struct shell *shell);

#endif
