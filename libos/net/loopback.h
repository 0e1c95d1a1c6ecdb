/* SPDX-License-Identifier: Apache-2.0 */
/* The loopback interface among lwIP's. */
#ifndef LV_NET_LOOPBACK_H
#define LV_NET_LOOPBACK_H

#include <stdbool.h>
#include <stdint.h>

struct netif;

bool loopback_is(const struct netif *netif);
/*
 * All of 127.0.0.0/8 is the loopback's, but lwIP gives an interface one address and drops what is for another one. So while a packet is
 * looked at, it has that packet's (in network order); afterwards its own (0). Other interfaces stay as they are.
 */
void loopback_take(struct netif *netif, uint32_t address);

#endif
