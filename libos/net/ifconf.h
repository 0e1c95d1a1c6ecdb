/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces as Linux programs see them. */
#ifndef LV_NET_IFCONF_H
#define LV_NET_IFCONF_H

struct netif;

void ifconf_name(const struct netif *netif, char name[16]);
unsigned ifconf_flags(const struct netif *netif); /* IFF_... */
unsigned ifconf_mtu(const struct netif *netif);

#endif
