/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming a shell from the pools of lightvmd, if there is one. */
#ifndef LV_NODE_CLAIM_H
#define LV_NODE_CLAIM_H

#include "abi/control.h"
#include "node/shell.h"

/*
 * One for a VM of the library OS with so many bytes of memory and an image of so many. LV_CLAIM_HIT: *shell is the caller's, no child of it;
 * anything else says why there is none, and a cold start is what follows: nothing of this is an error. Waits CLAIM_MS for a daemon at most.
 */
#define CLAIM_MS 50
enum lv_claim claim_shell(uint64_t memory, uint64_t image, struct shell *shell);

#endif
