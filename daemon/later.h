/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that come later, or bit by bit, from the loop: for operations of the kind `later` (waiting for an end, events). What a client does
 * not read stays in a buffer of bounded size, and its source waits. Loop thread; never from within the operation's own start.
 */
#ifndef LV_DAEMON_LATER_H
#define LV_DAEMON_LATER_H

#include "daemon/api.h"

#define LATER_BUFFER (256u << 10) /* of one client, above which nothing more is taken for it */

struct later { /* the operation fills the first three */
	/* The client has gone, or we end: nothing may be said any more. Everything of the operation is freed here, and only here or after later_end. */
	void (*cancel)(void *context);
	/* The buffer is empty again, after later_put said that it is full. NULL: not wanted. */
	void (*drained)(void *context);
	void *context;
	/* private */
	struct exchange *exchange;
};

/* The whole answer: body is taken, type is static (NULL: none). */
void later_answer(struct later *later, unsigned status, struct text *body, const char *type);
/* The same from what an operation would have answered; error is 0 or what failed. */
void later_reply(struct later *later, int err, struct api_reply *reply, const struct error *error);
/* A stream begins: its headers go out. */
void later_begin(struct later *later, unsigned status, const char *type);
/* More of it. False: that was taken, but the buffer is full, and drained() will say when to go on; or memory is short, and the stream is ended. */
bool later_put(struct later *later, const void *data, size_t size);
/* The bytes that the client has not taken yet. */
size_t later_waits(const struct later *later);
/* Its end: whole, or broken off in the middle, which the client can tell. */
void later_end(struct later *later, bool whole);

#endif
