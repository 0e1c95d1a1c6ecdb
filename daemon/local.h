/* SPDX-License-Identifier: Apache-2.0 */
/* The local socket's protocol (abi/daemon.h): what came in is decoded and checked, then one line of a table serves it. Loop thread. */
#ifndef LV_DAEMON_LOCAL_H
#define LV_DAEMON_LOCAL_H

#include <jansson.h>
#include <stddef.h>

#include "abi/daemon.h"
#include "base/text.h"
#include "daemon/lightvmd.h"

#define LOCAL_CONNECTIONS 1024

struct local_call { /* one request */
	struct daemon *daemon;
	struct lv_daemon_request head;
	const char *body; /* head.size bytes */
	int *fds;	  /* closed after the call, but for those that were set to -1 */
	unsigned fd_count;
};

struct local_reply {
	struct text body;
	int fds[LV_DAEMON_FDS]; /* go along with it, and are then closed here */
	unsigned fd_count;
	void (*untaken)(void *context); /* called if nobody is there any more who would take it; NULL: that is all the same */
	void *context;
};

struct local_op {
	enum lv_daemon_op op;
	/* 0, or a negative errno with a message, which becomes the reply. Must not block. */
	int (*serve)(struct local_call *call, struct local_reply *reply, struct error *error);
	bool keeper; /* not a worker's, but its user's keeper's (daemon/keeper.h) */
};
extern const struct local_op *const local_ops[]; /* one table a part, each ended by op 0; all ended by NULL */

/* Checks size bytes of a message: 0 and *head, or -EBADMSG, -EPROTONOSUPPORT with a message. */
int local_decode(const void *data, size_t size, struct lv_daemon_request *head, struct error *error);

/* Takes json, which becomes the reply's body; NULL: it could not be made. 0 or -ENOMEM, with a message. */
int local_say_json(struct local_reply *reply, json_t *json, struct error *error);

struct local *local_new(struct daemon *daemon);
void local_free(struct local *local);
/* fd becomes local's. */
void local_connect(struct local *local, int fd);
unsigned local_connections(const struct local *local);

#endif
