/* SPDX-License-Identifier: Apache-2.0 */
/* From a validated configuration to a running monitor, and to its end. */
#ifndef LV_NODE_LAUNCH_H
#define LV_NODE_LAUNCH_H

#include "abi/control.h"
#include "base/spawn.h"
#include "node/link.h"
#include "node/shell.h"
#include "node/vm_config.h"
#include "node/volume_servers.h"
#include "node/state.h"

struct launch { /* LAUNCH_NONE: nothing started */
	const struct vm_config *config;
	struct vm_dir *vm;
	struct net_link net;
	int configured; /* connected: how the monitor was told what to run; says when that has begun, or ends */
	enum lv_claim claim; /* whether the monitor was ready before, or why not */
	uint64_t claim_ns;   /* when we asked for it, and had it; 0: it is a child of ours */
	int control; /* listening socket, until the monitor has it */
	int vsock; /* Linux guests: listening socket, likewise; -1: none */
	int initrd; /* Linux guests: our archive with the VM's configuration, -1: none */
	struct volume_links volumes; /* to their servers, until the monitor has them */
	int cpuid; /* the machine's CPUID cache */
	int records; /* of the configuration: whoever closes a memory file last has its pages to free, which would be the monitor; -1: not ours */
	int files; /* gets what is used of the image; -1: nobody asks */
	int prefault; /* the list of the pages that starts of the image touch; -1: none */
	int keys; /* in the foreground, with a terminal: what is typed is written there; -1: the VM reads standard input itself */
	int log, messages; /* console.log, monitor.log (detached), -1: none */
	struct spawned monitor;
	int held; /* its user, until launch_end */
	bool over; /* its end is known, which is that: the monitor may be there for a moment */
	int end;
	bool refused; /* the configuration, as has been heard */
};
#define LAUNCH_NONE ((struct launch){ .net = NET_LINK_NONE, .configured = -1, .control = -1, .vsock = -1, .initrd = -1, .cpuid = -1, .files = -1, .prefault = -1, .log = -1, \
	.keys = -1, .messages = -1, .records = -1, .held = -1, .monitor = SPAWNED_NONE })

/* A directory for the VM with its configuration in it, visible under its id and name; or nothing of it. */
int launch_create(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error);
/* The same, but hidden still: vm_publish shows it, or vm_abandon takes it away; one that stays hidden for a minute without a monitor is a leftover. */
int launch_prepare(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error);
/*
 * A monitor that makes ready what it can before launch_start tells it what to run: id, name, memory and image are what they will be then. config->shell takes it there; shell_end
 * ends it before. *theirs as shell_start has it.
 */
int launch_ahead(const struct state *state, const struct vm_config *config, struct shell *shell, int *theirs, struct error *error);
/*
 * Opens everything, starts the monitor. Call launch_end in every case. In the foreground the caller waits for launch->monitor,
 * passes signals on, and starts the network when launch->net.peer has traffic.
 */
int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error);
/* Detached: returns when the guest runs (or has ended already); otherwise the monitor's own message. */
int launch_settle(struct launch *launch, struct error *error);
/*
 * A Linux guest that was restored is told who it is now, and how late it is. Nothing for others, and where no agent answers; but that is an error, with a
 * message, for a clone.
 */
int launch_renew(const struct launch *launch, struct error *error);
/*
 * The other end of launch->configured is closed. True: the VM has ended, all that it has to say is written down, and launch_reap has nothing to wait for: for who ends, too, soon
 * afterwards, since the monitor's process is not waited for. False: the monitor's end will tell more. launch->configured is then -1 in either case.
 */
bool launch_hear(struct launch *launch);
/* All of it, in the background: returns when the guest runs. *failed: it does not. */
int launch_quietly(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error);
/* Waits for the end of the monitor, and takes away what served its network. The wait status. For who stays for longer than the VM. */
int launch_reap(struct launch *launch);
/* Ends the monitor, which writes nothing down. */
void launch_kill(const struct launch *launch);
/* Releases what we hold; does not end a monitor that runs, but for one in the foreground. */
void launch_end(struct launch *launch);

/* What monitor and passt have written to monitor.log, without its last line's end; NULL: nothing. The caller's. */
char *launch_messages(const struct launch *launch);

#endif
