/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One io_uring for one file. It is restricted when made: only reads, writes, syncs and holes of that file can be submitted, so
 * that the seccomp filter's io_uring_enter opens no other door.
 */
#ifndef LV_VMM_HOST_URING_H
#define LV_VMM_HOST_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <liburing.h>

struct uring {
	int fd; /* readable when something completed; -1: there is none, the caller does its work itself */
	unsigned queued; /* prepared, not yet submitted */
	struct io_uring ring;
};

/* Leaves fd -1 if the kernel has no io_uring or does not permit it. Allocates nothing but the ring. */
void uring_init(struct uring *uring, int file, bool read_only, unsigned entries);
void uring_fini(struct uring *uring);

/* Prepare one operation; cookie comes back with its completion. 0; -EAGAIN: no ring or no room, do it yourself. */
int uring_transfer(struct uring *uring, bool write, const struct iovec *iov, unsigned parts, uint64_t at, void *cookie);
int uring_flush(struct uring *uring, void *cookie);
int uring_allocate(struct uring *uring, int mode, uint64_t at, uint64_t len, void *cookie); /* as fallocate(2) */
/* Hands all that was prepared to the kernel. */
void uring_submit(struct uring *uring);
/* Calls done for every completion; answers how many. */
unsigned uring_reap(struct uring *uring, void (*done)(void *context, void *cookie, int result), void *context);
/* Submits what was not taken yet and waits for at least one completion. 0 or a negative errno. */
int uring_wait(struct uring *uring);

#endif
