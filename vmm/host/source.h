/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from descriptors that others read too: never sleeps, whatever poll() said (own.h). */
#ifndef LV_VMM_HOST_SOURCE_H
#define LV_VMM_HOST_SOURCE_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

enum source_kind {
	SOURCE_NONE,   /* nothing there */
	SOURCE_DIRECT, /* non-blocking and ours, or a regular file or block device */
	SOURCE_SOCKET,
	SOURCE_SHARED, /* a pipe or device that could not be opened anew */
};

struct source {
	int fd; /* what to wait for; -1: nothing there */
	enum source_kind kind;
	bool owned;
};

/* fd (-1: none) stays the caller's and stays open; what is read may come through a descriptor of our own. Before the jail. */
void source_open(struct source *source, int fd);
/* Takes fd, and switches it to non-blocking. */
void source_take(struct source *source, int fd);
/* Also of a source that is closed, or all zero but for fd -1. */
void source_close(struct source *source);

/* Bytes read; 0 at the end; -EAGAIN if nothing is there (any more); or another negative errno. */
ssize_t source_read(const struct source *source, const struct iovec *iov, unsigned parts);

#endif
