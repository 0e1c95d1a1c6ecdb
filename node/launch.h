/* SPDX-License-Identifier: Apache-2.0 */
/* From a validated configuration to a running monitor, and to its end. */
#ifndef LV_NODE_LAUNCH_H
#define LV_NODE_LAUNCH_H

#include "abi/control.h"
#include "base/spawn.h"
#include "node/link.h"
#include "node/vm_config.h"
#include "node/state.h"

struct launch { /* LAUNCH_NONE: nothing started */
	const struct vm_config *config;
	struct vm_dir *vm;
	struct net_link net;
	int configured; /* connected: how the monitor was told what to run; says when that has begun, or ends */
	enum lv_claim claim; /* whether the monitor was ready before, or why not */
	uint64_t claim_ns;   /* when we had it; 0: it is a child of ours */
	int control; /* listening socket, until the monitor has it */
	int vsock; /* Linux guests: listening socket, likewise; -1: none */
	int initrd; /* Linux guests: our archive with the VM's configuration, -1: none */
	int cpuid; /* the machine's CPUID cache */
	int log, messages; /* console.log, monitor.log (detached), -1: none */
	struct spawned monitor;
};
#define LAUNCH_NONE ((struct launch){ .net = NET_LINK_NONE, .configured = -1, .control = -1, .vsock = -1, .initrd = -1, .cpuid = -1, .log = -1, \
	.messages = -1, .monitor = SPAWNED_NONE })

/* A directory for the VM with its configuration in it, visible under its id and name; or nothing of it. */
int launch_create(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error);
/*
 * Opens everything, starts the monitor. Call launch_end in every case. In the foreground the caller waits for launch->monitor,
 * passes signals on, and starts the network when launch->net.peer has traffic.
 */
int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error);
/* Detached: returns when the guest runs (or has ended already); otherwise the monitor's own message. */
int launch_settle(struct launch *launch, struct error *error);
/* Waits for the end of the monitor, and takes away what served its network. The wait status. For who stays for longer than the VM. */
int launch_reap(struct launch *launch);
/* Ends the monitor, which writes nothing down. */
void launch_kill(const struct launch *launch);
/* Releases what we hold; does not end a monitor that runs, but for one in the foreground. */
void launch_end(struct launch *launch);

/* What monitor and passt have written to monitor.log, without its last line's end; NULL: nothing. The caller's. */
char *launch_messages(const struct launch *launch);

#endif
