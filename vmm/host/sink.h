/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to descriptors that others share: never blocks, and never switches them to non-blocking. */
#ifndef LV_VMM_HOST_SINK_H
#define LV_VMM_HOST_SINK_H

#include <stddef.h>
#include <sys/types.h>

enum sink_kind {
	SINK_NONE,   /* nothing there: what is written vanishes */
	SINK_FILE,   /* regular file or block device: always ready */
	SINK_STREAM, /* pipe, terminal, other character device */
	SINK_SOCKET,
};

/* What kind of descriptor this is; SINK_NONE for -1 and for descriptors that are not open. */
enum sink_kind sink_kind(int fd);

/* Writes as much as fits without blocking: bytes written, -EAGAIN, or another negative errno (-EPIPE: the reader has gone). */
ssize_t sink_write(int fd, enum sink_kind kind, const void *data, size_t len);

#endif
