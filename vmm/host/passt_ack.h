/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The acknowledgement that some versions of passt (Debian 12's among them) owe: they do not answer a guest's SYN,ACK until
 * the client has sent something, so that a server which speaks first waits for ever for its connection. passt sends a SYN
 * only once the host's side of the connection stands, so a SYN,ACK that passt has taken may be acknowledged in its place; a
 * second ACK, of a passt that sends its own, does no harm. passt must have read the SYN,ACK before the guest hears of it: that
 * version runs in a circle for ever when it finds a SYN,ACK and the data that follow in one read.
 */
#ifndef LV_VMM_HOST_PASST_ACK_H
#define LV_VMM_HOST_PASST_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PASST_ACKS 64                  /* that wait for the guest; more are left out, and asked for again by the guest's TCP */
#define PASST_ACK_MAX (14 + 40 + 20) /* Ethernet, IPv6, TCP without options */

struct passt_ack {
	/* Of the peers' SYNs: how they scale windows, by a hash of the connection. One that was overwritten makes a window wrong until passt's first own segment. */
	uint8_t scale[256];
	unsigned from, to; /* frame[from % PASST_ACKS] ... */
	struct {
		uint8_t len;
		uint8_t bytes[PASST_ACK_MAX];
	} frame[PASST_ACKS];
	uint8_t taken[PASST_ACK_MAX];
};

void passt_ack_init(struct passt_ack *ack);

/* A whole Ethernet frame came from passt. */
void passt_ack_heard(struct passt_ack *ack, const uint8_t *frame, size_t len);
/* passt has taken this Ethernet frame of the guest: len bytes in so many parts. */
void passt_ack_sent(struct passt_ack *ack, const struct iovec *iov, unsigned parts, size_t len);

static inline bool passt_ack_waits(const struct passt_ack *ack)
{
	return ack->from != ack->to;
}
/* The next frame for the guest: its length, and *frame (valid until the next call); 0 if there is none. */
int passt_ack_take(struct passt_ack *ack, const uint8_t **frame);

#endif
