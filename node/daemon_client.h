/* SPDX-License-Identifier: Apache-2.0 */
/* The client of lightvmd's local socket (abi/daemon.h): no HTTP, and descriptors can go along. */
#ifndef LV_NODE_DAEMON_CLIENT_H
#define LV_NODE_DAEMON_CLIENT_H

#include "abi/daemon.h"
#include "base/error.h"
#include "base/text.h"

#define DAEMON_PATIENCE_MS 5000

/*
 * A connection to the user's own lightvmd, or to the system's; a call on it waits at most DAEMON_PATIENCE_MS. -ENOENT, -ECONNREFUSED: none runs;
 * -EACCES: it is not for this user. No message: most callers go on without.
 */
int daemon_open(void);
int daemon_open_within(int milliseconds); /* the same with another patience; -EAGAIN: it was over */
/*
 * One request and its reply. The reply's body is added to said; its descriptors, at most *fd_count, go to fds, the caller's, and *fd_count says how
 * many came (fds NULL: none are expected). The daemon's result, with its message; -ETIMEDOUT; -EPROTO: what answered is no lightvmd.
 */
int daemon_call(int fd, enum lv_daemon_op op, const void *body, size_t size, const int *send, unsigned sends, struct text *said, int *fds, unsigned *fd_count,
		struct error *error);
/* Its two halves, for who has something to do meanwhile. */
int daemon_send(int fd, enum lv_daemon_op op, const void *body, size_t size, const int *send, unsigned sends, struct error *error);
int daemon_receive(int fd, struct text *said, int *fds, unsigned *fd_count, struct error *error);

#endif
