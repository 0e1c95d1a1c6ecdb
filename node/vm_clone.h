/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that runs becomes many: each shares every page that it does not change, and has an identity of its own before its first instruction (docs/saved-vms.md). */
#ifndef LV_NODE_VM_CLONE_H
#define LV_NODE_VM_CLONE_H

#include "node/vm_info.h"
#include "node/net_spec.h"

#define CLONES_MAX 10000

struct clone_wish {
	unsigned count;   /* 1 to CLONES_MAX */
	const char *name; /* of one alone; of more the beginning: NAME-1 and so on. NULL: that of the VM, as the beginning; without one they have none */
	struct net_request net; /* of the first: each has an address, and ports of the host, one higher than the one before */
	bool accept_shared_random;
	bool remove; /* nothing of them stays when they have ended */
	bool paused;
	bool whole; /* the memory of each is copied before it runs, and not shared */
};

struct clone { /* what has become of one */
	char id[STATE_ID + 1], name[STATE_NAME + 1]; /* name empty: none */
	struct error error; /* code 0: it runs */
};

/*
 * The VM stands still for as long as its state is written to memory, and goes on. clones has room for wish->count: each is as if it were alone, and
 * answers for itself; 0 if all run, otherwise the error of the first that does not, with its message. A negative errno before any was made: all of them carry it. -EPERM: its
 * image has a generator of random numbers that would be the same in all of them, which nobody accepted.
 */
int vm_clone(const struct state *state, struct vm_info *info, const struct clone_wish *wish, uint64_t start_ns, struct clone *clones, struct error *error);

#endif
