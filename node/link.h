/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of a VM's network. */
#ifndef LV_NODE_LINK_H
#define LV_NODE_LINK_H

#include "node/link_ops.h"

/* Host ports can be bound now? -EADDRINUSE: "port N is in use on the host"; -EACCES. */
int link_check_ports(const struct net_spec *spec, struct error *error);
/*
 * Opens the tap or starts passt, whose messages go to log_fd. Without ports to forward passt is not started yet: most
 * programs never send a packet, and until one does a socket is all there is. See link_wake and link_leave.
 */
int link_open(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/* The link of a tap that is open already, as link_tap_open left it; tap stays the caller's, and what waits in it is for the VM. */
int link_adopt_tap(int tap, struct net_link *link, struct error *error);
/* That of a passt that another process of ours has started, whose end of the socket is fd, and ready its word that it serves; both become the link's. */
int link_adopt_passt(int fd, int ready, pid_t passt, struct net_link *link, struct error *error);
/* Waits until passt serves its ports; -EIO if it ended instead. */
int link_wait(struct net_link *link, struct error *error);
/*
 * link->peer became readable: does somebody wait for an answer? What the guest announces of itself when it
 * starts, and IPv6, is taken out and forgotten.
 */
bool link_has_traffic(int peer);
/* Starts passt late. */
int link_wake(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/*
 * The caller will end before the VM, whose monitor is behind that process descriptor: leaves a process behind, link->helper, that starts
 * passt when there is traffic, and ends it when the monitor has ended and passt has not LINK_END_MS later.
 */
int link_leave(const struct net_spec *spec, int log_fd, int monitor, struct net_link *link, struct error *error);
#define LINK_END_MS 2000
void link_close(struct net_link *link);

#endif
