/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the VM: from the device page or by DHCP; and what /etc/resolv.conf should say. */
#ifndef LV_NET_CONFIG_H
#define LV_NET_CONFIG_H

#include <stdbool.h>

struct netif;

/* Gives the interface its address, or starts to ask for one. */
void net_config_start(struct netif *netif);
/* Its MAC address is the one that goes with its IPv4 address (lv_mac_of_ip): nobody can know another one. */
bool net_config_is_known(const struct netif *netif);
/* The same of the device page, before there is an interface. */
bool net_config_will_be_known(void);
/* Such an interface shows itself to switches, and to nobody else. */
void net_config_show(struct netif *netif);
/*
 * The VM is another one than before, or where it was not: takes over the MAC and IP addresses that the device page has now, and says where they
 * are; with a lease it asks whether it may keep that.
 */
void net_config_renew(struct netif *netif);
/* Writes /etc/resolv.conf and /etc/hosts into the RAM layer if the image has none. */
void net_config_resolver(void);

#endif
