/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the VM: from the device page or by DHCP; and what /etc/resolv.conf should say. */
#ifndef LV_NET_CONFIG_H
#define LV_NET_CONFIG_H

struct netif;

/* Gives the interface its address, or starts to ask for one. */
void net_config_start(struct netif *netif);
/* The VM is another one than before: takes over the MAC and IP addresses that the device page has now, if they are others. */
void net_config_renew(struct netif *netif);
/* Writes /etc/resolv.conf and /etc/hosts into the RAM layer if the image has none. */
void net_config_resolver(void);

#endif
