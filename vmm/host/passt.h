/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt's stream socket: every Ethernet frame behind its length, 4 bytes big-endian, either way. Reads and writes may
 * end in the middle of anything.
 */
#ifndef LV_VMM_HOST_PASST_H
#define LV_VMM_HOST_PASST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/host/passt_ack.h"

#define PASST_FRAME_MAX (65535 + 14)
#define PASST_FRAME_MIN 14
#define PASST_BATCH 64 /* parts of a frame */

struct passt {
	int fd;
	size_t in_from, in_to;   /* received, not yet taken: in[in_from..in_to) */
	size_t out_from, out_to; /* the rest of a frame that did not fit into the socket */
	struct passt_ack ack;
	uint8_t in[2 * (PASST_FRAME_MAX + 4)];
	uint8_t out[PASST_FRAME_MAX + 4];
};

/* fd stays the caller's. */
void passt_init(struct passt *passt, int fd);

/*
 * The next whole frame: its length, and *frame (valid until the next call); -EAGAIN if none is there yet; -EPIPE if passt
 * has gone; -EPROTO for an impossible length. After the last two the stream is unusable. What is answered in passt's place
 * (passt_ack.h) comes first.
 */
int passt_receive(struct passt *passt, const uint8_t **frame);

/*
 * True if an answer in passt's place has to wait until passt has read what it was sent last: nothing will announce that, so the
 * caller asks passt_waiting() again in a while (PASST_ACK_NS).
 */
bool passt_ack_held(const struct passt *passt);
#define PASST_ACK_NS 200000

/* True if a frame was received that passt_receive will return without reading. */
bool passt_waiting(const struct passt *passt);

/*
 * Sends one frame of len bytes: 0 (also for one that passt must not have: passt_ack.h); -EAGAIN if nothing of it was taken; -EBUSY if it has to wait
 * until passt has read what was sent before, which nothing will announce: try again in PASST_ACK_NS; another negative errno.
 */
int passt_send(struct passt *passt, const struct iovec *iov, unsigned parts, size_t len);
/* Sends the rest of an earlier frame: 0 if nothing is left, -EAGAIN, or another negative errno. */
int passt_flush(struct passt *passt);

#endif
