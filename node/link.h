/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of a VM's network: one table of operations for each way to make one. */
#ifndef LV_NODE_LINK_H
#define LV_NODE_LINK_H

#include "base/spawn.h"
#include "node/net_spec.h"

struct net_link { /* fd -1: none */
	const struct link_ops *ops; /* NULL: no network */
	int fd;         /* for the monitor: tap, or connected stream socket */
	int more[NET_QUEUES - 1]; /* the tap's further queues */
	unsigned mores;
	struct spawned helper; /* passt; none, or not yet */
	int peer;       /* passt's end of the socket while it is not started: readable once the guest sends; -1: none */
	int ready;      /* passt: readable when it serves (its pid), end of file when it failed; -1: none */
};
#define NET_LINK_NONE ((struct net_link){ .fd = -1, .peer = -1, .ready = -1, .helper = SPAWNED_NONE })

struct link_ops {
	const char *name; /* what the monitor's --net calls it */
	/* Fills link; after a failure the caller closes what is in it. log_fd: for the messages of a helper. */
	int (*open)(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
	/* Starts what open put off, with link->peer, which it takes. NULL where open does all. */
	int (*wake)(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
	/* The same in a process that was made for it: returns only on failure. */
	void (*become)(const struct net_spec *spec, int peer);
};

/* Host ports can be bound now? -EADDRINUSE: "port N is in use on the host"; -EACCES. */
int link_check_ports(const struct net_spec *spec, struct error *error);
/*
 * Opens the tap or starts passt, whose messages go to log_fd. Without ports to forward passt is not started yet: most
 * programs never send a packet, and until one does a socket is all there is. See link_wake and link_leave.
 */
int link_open(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/* Waits until passt serves its ports; -EIO if it ended instead. */
int link_wait(struct net_link *link, struct error *error);
/*
 * link->peer became readable: does somebody wait for an answer? What the guest announces of itself when it
 * starts, and IPv6, is taken out and forgotten.
 */
bool link_has_traffic(int peer);
/* Starts passt late. */
int link_wake(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/* The caller will end before the VM: leaves a process behind that waits in its place. */
int link_leave(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
void link_close(struct net_link *link);
/* The value of the monitor's --net for link->fd as number fd. */
void link_argument(const struct net_spec *spec, const struct net_link *link, struct text *out);

#endif
