/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of lightvmd: those that systemd holds, or our own. Loop thread. */
#ifndef LV_DAEMON_LISTEN_H
#define LV_DAEMON_LISTEN_H

#include "daemon/lightvmd.h"

/* Fills daemon->listener and watches them. -EADDRINUSE: another lightvmd serves this user. */
int listen_open(struct daemon *daemon, struct error *error);
/* Accepts nothing more; removes the paths that we made. */
void listen_close(struct daemon *daemon);

#endif
