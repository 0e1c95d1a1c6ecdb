/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection, as the kernel says it, and what that means. */
#ifndef LV_DAEMON_PEER_H
#define LV_DAEMON_PEER_H

#include "daemon/lightvmd.h"

enum peer_right {
	PEER_ALL,     /* may do everything that this daemon may: its own user, root, the group lightvm */
	PEER_OWN,     /* another user of the system daemon: a worker of that user serves it */
	PEER_NOTHING, /* another user of a user's daemon */
};

struct peer {
	pid_t pid; /* may have ended, and its number be another's: not to be trusted for more than a hint */
	uid_t uid;
	gid_t gid;
};

/* 0 and *peer, *right; or a negative errno. */
int peer_of(const struct daemon *daemon, int fd, struct peer *peer, enum peer_right *right);

#endif
