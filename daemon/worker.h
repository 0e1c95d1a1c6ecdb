/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: one process for each other user of the system daemon (and each control group that he connects from). It is this program with that user's ids and no capability, and gets the
 * user's connections as descriptors, before a byte of them was read. So a path in a request is opened with the user's rights because the
 * process that opens it has no others. It serves the user's own state directory, and ends when nothing is left to do.
 */
#ifndef LV_DAEMON_WORKER_H
#define LV_DAEMON_WORKER_H

#include "daemon/lightvmd.h"
#include "daemon/peer.h"

#define WORKERS_MOST 64
#define WORKERS_OF_ONE 8 /* of one user: for control groups of his from which he connects */
#define WORKER_IDLE_MS 60000

/*
 * Starts one with these rights ("UID:GID:GROUP,GROUP,..."), in this control group ("": where we are): the socket to it, the caller's, and *pid; or a negative
 * errno with a message. keeper: see daemon/keeper.h.
 */
int worker_spawn(const char *rights, const char *group, bool keeper, pid_t *pid, struct error *error);
/* What worker_spawn wants of this peer, the caller's. NULL: out of memory. */
char *worker_rights(const struct peer *peer);

/* up: takes a connection that a worker of this user hands up. NULL: out of memory. */
struct workers *workers_new(struct daemon *daemon, void (*up)(struct daemon *daemon, uid_t uid, int fd));
/* Their sockets end, and so do they when they have answered. */
void workers_free(struct workers *workers);
/* Hands over a connection, and starts the worker if there is none. fd is closed in every case. */
void workers_take(struct workers *workers, const struct peer *peer, enum connection_kind kind, int fd);
unsigned workers_count(const struct workers *workers);

/*
 * In the new process, as root, before anything else: takes the ids of the words "FD:UID:GID:GROUPS" and makes the environment that of this
 * user. *fd is the socket to the daemon. 0 or a negative errno with a message.
 */
int worker_become(const char *words, int *fd, struct error *error);

/* The worker's end: connections that come in at daemon->source. */
int worker_attach(struct daemon *daemon, int fd);
/* Nothing is under way: ends after WORKER_IDLE_MS, unless something comes before; otherwise stays. */
void worker_idle(struct daemon *daemon, bool idle);
/* A connection that is for the user's keeper goes back up, unread. fd stays the caller's, to be closed. 0 or a negative errno. */
int worker_pass_up(struct daemon *daemon, int fd);

#endif
