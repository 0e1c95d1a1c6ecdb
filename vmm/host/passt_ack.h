/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The acknowledgement that some versions of passt (Debian 12's among them) owe: they do not answer a guest's SYN,ACK until
 * the client has sent something, so that a server which speaks first waits for ever for its connection. passt sends a SYN
 * only once the host's side of the connection stands, so a SYN,ACK that passt has taken may be acknowledged in its place; a
 * second ACK, of a passt that sends its own, does no harm. passt must have read the SYN,ACK before the guest hears of it: that
 * version runs in a circle for ever when it finds a SYN,ACK and the data that follow in one read.
 *
 * And what it must not see. A client that uses its port again is connected by that passt before the guest has answered the end of the
 * connection before; it takes that answer for one to the new SYN, gives the connection up, and divides by zero (it dies of SIGFPE, and
 * with it all published ports) when the SYN,ACK lies behind it. A TCP that waits for the answer to its SYN drops such segments
 * (RFC 9293, section 3.10.7.3), so they are dropped here.
 */
#ifndef LV_VMM_HOST_PASST_ACK_H
#define LV_VMM_HOST_PASST_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PASST_ACKS 64                  /* that wait for the guest; more are left out, and asked for again by the guest's TCP */
#define PASST_SYNS 64                  /* of peers that are looked after; of two in one place the later one is */
#define PASST_UNREAD 2048
#define PASST_ACK_MAX (14 + 60 + 60) /* Ethernet, IP and TCP with all options */

struct passt_frame {
	uint8_t len;
	uint8_t bytes[PASST_ACK_MAX];
};

enum passt_peer {
	PASST_UNKNOWN,
	PASST_ASKS,      /* sent a SYN that the guest has not answered */
	PASST_CONNECTED, /* the guest has */
	PASST_GONE,      /* and has reset the connection */
};

struct passt_syn {
	uint32_t peer, ports; /* the peer's address and port, and the guest's port */
	uint32_t awaited;     /* what acknowledges it */
	enum passt_peer state;
	struct passt_frame syn; /* to ask again; no length: that was done */
};

struct passt_ack {
	/* Of the peers' SYNs: how they scale windows, by a hash of the connection. One that was overwritten makes a window wrong until passt's first own segment. */
	uint8_t scale[256];
	unsigned from, to; /* frame[from % PASST_ACKS] ... */
	struct passt_frame frame[PASST_ACKS];
	uint8_t taken[PASST_ACK_MAX];
	struct passt_syn syn[PASST_SYNS];
	uint64_t unread[PASST_UNREAD / 64]; /* by a hash of the connection: something of it was sent that passt may not have read */
};

void passt_ack_init(struct passt_ack *ack);

/* A whole Ethernet frame came from passt. */
void passt_ack_heard(struct passt_ack *ack, const uint8_t *frame, size_t len);

enum passt_verdict {
	PASST_SEND,
	PASST_DROP, /* of the connection before one that passt has asked for, or of one that it has reset, or an answer to a SYN once more */
	PASST_WAIT, /* send it when passt has read all that was sent before */
};
/* What becomes of this Ethernet frame of the guest. */
enum passt_verdict passt_ack_judge(struct passt_ack *ack, const struct iovec *iov, unsigned parts);
/* passt has read all that it was sent. */
void passt_ack_read(struct passt_ack *ack);
/* passt has taken this Ethernet frame of the guest: len bytes in so many parts. */
void passt_ack_sent(struct passt_ack *ack, const struct iovec *iov, unsigned parts, size_t len);

static inline bool passt_ack_waits(const struct passt_ack *ack)
{
	return ack->from != ack->to;
}
/* The next frame for the guest: its length, and *frame (valid until the next call); 0 if there is none. */
int passt_ack_take(struct passt_ack *ack, const uint8_t **frame);

#endif
