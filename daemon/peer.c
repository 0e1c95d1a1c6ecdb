/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/text.h"

/* The groups that the peer had when it connected. */
static bool in_group(int fd, gid_t first, gid_t group)
{
	socklen_t size = 0;
	if (first == group)
		return true;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE)
		return false;
	gid_t *groups = alloc_zero(size);
	bool found = false;
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			found |= groups[i] == group;
	free(groups);
	return found;
}

int peer_of(const struct daemon *daemon, int fd, struct peer *peer, enum peer_right *right)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return -errno;
	*peer = (struct peer){ cred.pid, cred.uid, cred.gid };
	if (cred.uid == daemon->uid || !cred.uid || (daemon->system && daemon->has_group && in_group(fd, cred.gid, daemon->group)))
		*right = PEER_ALL;
	else
		*right = daemon->system && cred.uid != (uid_t)-1 ? PEER_OWN : PEER_NOTHING;
	return 0;
}
