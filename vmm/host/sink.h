/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to descriptors that others write to as well: never sleeps, and never switches them to non-blocking (own.h). */
#ifndef LV_VMM_HOST_SINK_H
#define LV_VMM_HOST_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum sink_kind {
	SINK_NONE,   /* nothing there: what is written vanishes */
	SINK_FILE,   /* regular file or block device: always ready */
	SINK_STREAM, /* pipe or terminal, non-blocking and ours */
	SINK_SOCKET,
	SINK_SHARED, /* pipe, terminal or other character device that could not be opened anew */
};

struct sink {
	int fd; /* what to wait for; -1: nothing there */
	enum sink_kind kind;
	bool owned;
};

/* fd (-1: none, or not open) stays the caller's and stays open; what is written may go through a descriptor of our own. Before the jail. */
void sink_open(struct sink *sink, int fd);
/* Takes fd, and switches it to non-blocking. */
void sink_take(struct sink *sink, int fd);
/* What is written vanishes from now on. Also of a sink that is closed, or all zero but for fd -1. */
void sink_close(struct sink *sink);

/* Writes as much as fits without blocking: bytes written, -EAGAIN, or another negative errno (-EPIPE: the reader has gone). */
ssize_t sink_write(const struct sink *sink, const void *data, size_t len);

#endif
