/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection, as the kernel says it, and what that means. */
#ifndef LV_DAEMON_PEER_H
#define LV_DAEMON_PEER_H

#include "daemon/caller.h"
#include "daemon/lightvmd.h"

#define PEER_GROUPS 64 /* a peer with more is refused */

enum peer_right {
	PEER_ALL,     /* may do everything that this daemon may: its own user, root, the group lightvm */
	PEER_OWN,     /* another user of the system daemon: a worker of that user serves it */
	PEER_NOTHING, /* another user of a user's daemon */
};

struct peer {
	struct caller caller;
	gid_t gid;
	gid_t groups[PEER_GROUPS]; /* the supplementary ones that it had when it connected */
	unsigned group_count;
};

/* 0 and *peer, *right; or a negative errno. */
int peer_of(const struct daemon *daemon, int fd, struct peer *peer, enum peer_right *right);

#endif
