/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two connections as one: bytes go from each to the other by splice, half-closes and resets too. Between them is a pipe at most per direction,
 * and only while bytes lie in it: a connection on which nothing moves holds its two descriptors. Loop thread.
 */
#ifndef LV_DAEMON_RELAY_H
#define LV_DAEMON_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct relay_pipes { /* pipes that are empty, for who needs one next */
	int fd[64][2];
	unsigned count;
};
void relay_pipes_free(struct relay_pipes *pipes);

struct relay_way { /* from side i to the other one */
	int pipe[2];     /* -1: none */
	uint32_t inside; /* bytes in it */
	bool ended;      /* nothing more comes */
	bool told;       /* and the other side knows */
};

struct relay { /* lives in its owner */
	struct loop *loop;
	struct relay_pipes *pipes;
	struct loop_watch side[2]; /* 0: who came; 1: who serves */
	struct relay_way way[2];
	bool connecting; /* side 1 is not there yet */
	bool heard;      /* something has come from side 1 */
	uint64_t bytes;  /* moved, both ways */
	/* The first word of side 1, which is sure to be there, then. */
	void (*opened)(void *context);
	/* Its descriptors are closed. refused: the serving side never came to be, and side 0 is still open, and the owner's, in *client. */
	void (*done)(void *context, bool refused, int client);
	void *context;
};

/* Both descriptors are not blocking, and the relay's; serving may be on its way. done() may be called from within. */
void relay_start(struct relay *relay, int client, int serving);
/* Resets both; done() is not called. */
void relay_cancel(struct relay *relay);

#endif
