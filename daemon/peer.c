/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer.h"

#include <errno.h>
#include <sys/socket.h>

static int read_groups(int fd, struct peer *peer)
{
	socklen_t size = sizeof(peer->groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size))
		return errno == ERANGE ? -E2BIG : -errno;
	peer->group_count = size / sizeof(*peer->groups);
	return 0;
}

static bool in_group(const struct peer *peer, gid_t group)
{
	bool found = peer->gid == group;
	for (unsigned i = 0; i < peer->group_count; i++)
		found |= peer->groups[i] == group;
	return found;
}

int peer_of(const struct daemon *daemon, int fd, struct peer *peer, enum peer_right *right)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return -errno;
	*peer = (struct peer){ .caller = { cred.pid, cred.uid }, .gid = cred.gid };
	int err = read_groups(fd, peer);
	if (err)
		return err;
	if (cred.uid == daemon->uid || !cred.uid || (daemon->system && daemon->has_group && in_group(peer, daemon->group)))
		*right = PEER_ALL;
	else
		*right = daemon->system && cred.uid != (uid_t)-1 ? PEER_OWN : PEER_NOTHING;
	return 0;
}
