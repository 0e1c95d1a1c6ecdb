/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the machine VMs use up, one entry a limit: how many more of them it lets start, and how it is raised. Read from /proc, /sys and the
 * control groups at the time of the call; nobody reserves anything, so another program may take what was counted.
 */
#ifndef LV_NODE_MACHINE_LIMITS_H
#define LV_NODE_MACHINE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "node/net_spec.h"
#include "node/state.h"

#define LIMIT_IDLE_MEMORY (1u << 20) /* of the host, for a VM whose program sleeps: bench/memory, bench/many */

struct limits_need { /* of one VM */
	uint64_t memory;            /* bytes of the host */
	bool is_linux;              /* kind of guest */
	unsigned vcpus;             /* threads that run it, at least 1 */
	const struct net_spec *net; /* NULL: none */
};

struct limit {
	char name[64];       /* as an administrator knows it: "kernel.pid_max", "RLIMIT_NPROC", "ports of bridge br0" */
	uint64_t most, used; /* in its unit; used may be more than most */
	uint64_t each;       /* of it, for one VM of those that were asked about: at least 1 */
	uint64_t room;       /* VMs more that it lets start */
	char fix[160];       /* a command that raises it, or what to do instead; empty: nothing short of another machine */
};

#define LIMITS_MAX 24

/*
 * Fills in those that this machine has, the one that ends first before the others. state: where the VMs' directories are made; NULL: not
 * looked at. How many there are, at least one (memory), or -ENOMEM or -EIO with a message: /proc is not there.
 */
int limits_read(const struct limits_need *need, const struct state *state, struct limit limit[LIMITS_MAX], struct error *error);

/*
 * For a start that failed: where that is how an exhausted machine refuses, and there is no room for one VM more, the error's text goes on with
 * which limit is used up and how it is raised.
 */
void limits_explain(const struct limits_need *need, struct error *error);

/* A VM of the library OS that only sleeps, without a network. */
extern const struct limits_need limits_idle;

#endif
