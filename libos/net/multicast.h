/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 multicast of datagram sockets: who has joined which group where, and what a router or a switch is told of it (IGMP version 2, RFC 2236: a report when
 * the first joins and whenever somebody asks, a word when the last leaves).
 */
#ifndef LV_NET_MULTICAST_H
#define LV_NET_MULTICAST_H

#include "libos/net/socket.h"

struct netif;
struct pbuf;
struct udp_pcb;

struct multicast { /* of one socket */
	bool only_own;       /* IP_MULTICAST_ALL is off: groups that others joined are not heard */
	uint32_t from;       /* IP_MULTICAST_IF, as an address */
	unsigned count;
};

/* IP_ADD_MEMBERSHIP and the other options of multicast; -ENOPROTOOPT: it is none of them. */
int multicast_setopt(struct multicast *m, struct udp_pcb *pcb, int option, const void *value, uint32_t len);
int multicast_getopt(const struct multicast *m, const struct udp_pcb *pcb, int option, void *value, uint32_t *len);
/* Does a datagram for the group, which came in at the interface, reach the socket? */
bool multicast_hears(const struct multicast *m, uint32_t group, uint8_t interface);
void multicast_leave(struct multicast *m); /* all groups: the socket is about to go */
void multicast_input(struct pbuf *p, unsigned header, struct netif *from); /* an IGMP packet, from its IP header on */

#endif
