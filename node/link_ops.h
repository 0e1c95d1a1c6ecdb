/* SPDX-License-Identifier: Apache-2.0 */
/* What a way to make the host's end of a VM's network is: one table of operations each. */
#ifndef LV_NODE_LINK_OPS_H
#define LV_NODE_LINK_OPS_H

#include "base/spawn.h"
#include "node/net_spec.h"

struct net_link { /* fd -1: none */
	const struct link_ops *ops; /* NULL: no network */
	int fd;         /* for the monitor: tap, or connected stream socket */
	int more[NET_QUEUES - 1]; /* the tap's further queues */
	unsigned mores;
	unsigned mtu;   /* that the device has */
	struct spawned helper; /* passt; none, or not yet */
	int peer;       /* passt's end of the socket while it is not started: readable once the guest sends; -1: none */
	int ready;      /* passt: readable when it serves (its pid), end of file when it failed; -1: none */
};
#define NET_LINK_NONE ((struct net_link){ .fd = -1, .peer = -1, .ready = -1, .helper = SPAWNED_NONE })

struct link_ops {
	/* Fills link; after a failure the caller closes what is in it. log_fd: for the messages of a helper. */
	int (*open)(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
	/* Starts what open put off, with link->peer, which it takes; that dies with us. NULL where open does all. */
	int (*wake)(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
};

#endif
