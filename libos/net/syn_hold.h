/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that come before the program has begun to listen. It may be this very packet that the VM was started for, or one that somebody
 * sends as soon as the VM is there: a refusal would be wrong a moment later. So they wait until the program first listens, or for two seconds from the first of them.
 * Up to 512 do, each of up to 256 bytes.
 */
#ifndef LV_NET_SYN_HOLD_H
#define LV_NET_SYN_HOLD_H

#include <stdbool.h>
#include <stdint.h>

struct netif;
struct pbuf;

struct held_packet { /* which begins with its IP header */
	struct pbuf *p;
	struct netif *from;
	uint8_t sums; /* whether the device vouched for its sum, which lwIP asks of the interface */
};
/* It comes in as if it came now. */
void held_packet_in(const struct held_packet *one);

/* The first segment of a connection has come from outside, p begins with its IP header: true if it is kept, and nobody else's. */
bool syn_hold(struct pbuf *p, struct netif *from);
/* The program listens on the port: what waits for it comes in now. */
void syn_hold_end(uint16_t port);

#endif
