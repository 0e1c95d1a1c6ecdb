/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of errors of a socket that asked for it (IP_RECVERR): what MSG_ERRQUEUE reads. */
#ifndef LV_NET_ERROR_QUEUE_H
#define LV_NET_ERROR_QUEUE_H

#include "libos/net/inet.h"

struct fault {
	int error;
	uint8_t type, code;  /* of the ICMP message */
	ip_addr_t from, to;  /* who sent that, and where what it answers went to; both of one kind */
	uint16_t port;       /* there */
	const struct pbuf *p;
	unsigned offset;     /* in p: of the payload that came back with it */
};

void error_queue_add(struct socket *s, const struct fault *fault); /* nothing, if it did not ask, or has many that it did not read */
/* MSG_ERRQUEUE: -EAGAIN if there is none. The next one becomes the socket's pending error. */
int64_t error_queue_receive(struct socket *s, struct message *m);
void error_queue_clear(struct socket *s);

#endif
