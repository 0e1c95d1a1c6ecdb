/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lightvmd: one thread, one loop. Everything that it knows hangs off struct daemon; what is slow runs in a process of its own
 * (daemon/task.h). It owns no VM: what is true of one stands in its directory and is known by its monitor. docs/daemon.md is the map.
 */
#ifndef LV_DAEMON_LIGHTVMD_H
#define LV_DAEMON_LIGHTVMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"

struct http;
struct text;
struct local;
struct tasks;
struct workers;
struct keepers;
struct daemon;

#define DAEMON_PARTS 16 /* room for those of parts.c */

enum connection_kind { CONNECTION_API = 1, CONNECTION_LOCAL = 2 }; /* which of the two sockets a client came by */

struct listener {
	struct loop_watch watch; /* fd -1: none */
	struct daemon *daemon;
	enum connection_kind kind;
	char *path; /* that we made, and unlink at the end; NULL: it was handed to us */
};

struct daemon {
	struct loop loop;
	uid_t uid;
	bool system;     /* root's, whose sockets are open to others: their connections go to workers */
	bool worker;     /* of another daemon, for one user: connections come from it, we listen nowhere */
	bool keeper;     /* a worker that minds services and restart policies, and stays while there are any (daemon/keeper.h) */
	bool has_group;
	gid_t group;     /* "lightvm", whose members are treated as root */
	uint64_t started_ns; /* CLOCK_REALTIME */
	struct rlimit files; /* as it was when we started: what a VM gets */
	struct listener listener[2];
	int lock;  /* of the directory of our sockets, for as long as we live; -1: none */
	int spare; /* a descriptor to let go when there is none left; -1: none */
	struct loop_watch signals;
	struct loop_watch source; /* worker: the socket to the daemon */
	struct loop_timer idle;   /* worker: ends it */
	uint64_t received;        /* worker: connections, ever */
	struct http *http;
	struct tls *tls; /* NULL: none */
	struct local *local;
	struct tasks *tasks;
	struct workers *workers; /* NULL but in root's */
	struct keepers *keepers; /* likewise */
	void *part[DAEMON_PARTS]; /* what the parts of parts.c keep, each under its index */
	bool ending;             /* no new work; ends when what is under way has ended, or by `patience` */
	bool ended;
	struct loop_timer patience;
};

/*
 * A part: pools, services, events ... Each is one line in parts.c. start and stop run in the loop's thread before the first and after
 * the last request; NULL: nothing to do.
 */
struct daemon_part {
	const char *name;
	int (*start)(struct daemon *daemon, void **part, struct error *error);
	void (*stop)(struct daemon *daemon, void *part);
	/* Is there a reason to stay although nobody is connected? (workers end when they are idle) */
	bool (*busy)(struct daemon *daemon, void *part);
	/* Somebody has connected to the local socket, and will ask for something in a moment. */
	void (*connected)(struct daemon *daemon, void *part);
	/* A child of ours has ended, whose wait status this is; children that nobody knows are forgotten. */
	void (*child_ended)(struct daemon *daemon, void *part, pid_t pid, int status);
	/* Adds its figures (daemon/metrics.h); in a process of their own. */
	void (*metrics)(struct daemon *daemon, void *part, struct text *out);
};
extern const struct daemon_part *const daemon_parts[]; /* ended by NULL */
/* What the part keeps; NULL: it is not there. */
void *daemon_part_find(struct daemon *daemon, const char *name);

enum daemon_kind { DAEMON_OWN, DAEMON_WORKER, DAEMON_KEEPER };
/* daemon_fini accepts one whose init failed. */
int daemon_init(struct daemon *daemon, enum daemon_kind kind, struct error *error);
/* Listens; LISTEN_FDS come first. */
int daemon_listen(struct daemon *daemon, struct error *error);
/* Takes connections from the daemon at the other end of fd, which becomes ours. */
int daemon_serve(struct daemon *daemon, int fd, struct error *error);
/* Until it is told to end. */
void daemon_run(struct daemon *daemon);
void daemon_fini(struct daemon *daemon);
/* No new connections; ends when what is under way has been answered, in seconds at most. */
void daemon_end(struct daemon *daemon);
/* Something that it waited for has ended: looks whether all has. */
void daemon_settle(struct daemon *daemon);
/* Anything is under way, or a part has a reason to stay. */
bool daemon_is_busy(struct daemon *daemon);
/* What a client connected; fd becomes ours. */
void daemon_connect(struct daemon *daemon, enum connection_kind kind, int fd);

#endif
