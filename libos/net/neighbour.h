/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's IPv6 addresses, as others on its network know them. */
#ifndef LV_NET_NEIGHBOUR_H
#define LV_NET_NEIGHBOUR_H

struct netif;

/* Tells everybody on the link, unasked, where the interface's addresses are (RFC 4861, 7.2.6): those that no probe is under way for. */
void neighbour_announce(struct netif *netif);

#endif
