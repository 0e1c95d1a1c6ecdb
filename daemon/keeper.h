/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keepers: of each other user of the system daemon that has services, or VMs with restart policies, one worker that minds them and stays for as long as
 * there are any. It has the rights, the limits and the control group of who first asked for it; when lightvmd starts again, those that the user has
 * by the machine's books. What is for it comes to a worker first, which hands the connection up unread; who has other groups than it is refused by it. Which users
 * have one is kept on disk (node/kept.h), so that it comes back with the daemon and the machine. Loop thread.
 */
#ifndef LV_DAEMON_KEEPER_H
#define LV_DAEMON_KEEPER_H

#include "daemon/lightvmd.h"

#define KEEPERS_MOST 256
#define KEEPER_AGAIN_MS 1000 /* until one that died is started again: twice as long each time, up to a minute, unless it lived for longer than that */

#define KEEPER_LOCK_MS 12000 /* for the one before it to end, whose daemon was killed */

/* Starts those that were. NULL: out of memory. */
struct keepers *keepers_new(struct daemon *daemon);
/* Their sockets end, and so do they; the next daemon has them again. */
void keepers_free(struct keepers *keepers);
/* A connection to the local socket that a worker of this user hands up. fd becomes theirs. */
void keepers_take(struct keepers *keepers, uid_t uid, int fd);

/* In a keeper: is this a connection of somebody who has other rights than it has? */
bool keeper_is_strange(const struct daemon *daemon, int fd);

#endif
