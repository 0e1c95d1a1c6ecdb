/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of lightvmd: those that systemd holds, or our own. Loop thread. */
#ifndef LV_DAEMON_LISTEN_H
#define LV_DAEMON_LISTEN_H

#include "daemon/lightvmd.h"

/* Fills daemon->listener and watches them. -EADDRINUSE: another lightvmd serves this user. */
int listen_open(struct daemon *daemon, struct error *error);
/*
 * Before listen_open: the service manager's TCP sockets, of which it has one for each service (LISTEN_FDNAMES). The index-th: its descriptor, not blocking, and its
 * name, both the caller's; -ENOENT: there are no more.
 */
int listen_named(unsigned index, char **name);
/* Accepts nothing more; removes the paths that we made. */
void listen_close(struct daemon *daemon);

#endif
