/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that lwIP calls where its options say so. */
#ifndef LV_NET_HOOKS_H
#define LV_NET_HOOKS_H

#include "lwip/ip_addr.h"

/* RFC 6528: a keyed hash of the connection plus a clock. Addresses and ports as lwIP has them. */
uint32_t net_initial_sequence(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote, uint16_t remote_port);

struct pbuf;
struct netif;
struct tcp_pcb;
struct tcp_hdr;
/* Every segment that belongs to a pcb, listening ones too, with ports and numbers in host order; not ERR_OK: it is dropped. */
int8_t net_tcp_input(const struct tcp_pcb *pcb, const struct tcp_hdr *header);
/* Every segment that leaves, with its numbers in network order, before its sum is made; pcb may be NULL. Returns where options end. */
uint32_t *net_tcp_output(struct tcp_hdr *header, const struct tcp_pcb *pcb, uint32_t *options);
/* Every packet before lwIP looks at it; 0: it goes on. */
int net_ip4_input(struct pbuf *p, struct netif *from);
int net_ip6_input(struct pbuf *p, struct netif *from);

/* Who leads to others than neighbours, if that was given; NULL: the routers that told of themselves. */
const ip6_addr_t *net_gateway6(struct netif *netif, const ip6_addr_t *to);

#endif
