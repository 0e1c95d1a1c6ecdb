/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/net/loopback.h"

#include "lwip/netif.h"

bool loopback_is(const struct netif *netif)
{
	return netif->name[0] == 'l';
}

void loopback_take(struct netif *netif, uint32_t address)
{
	ip4_addr_t as = { address };
	if (loopback_is(netif))
		ip4_addr_set_u32(ip_2_ip4(&netif->ip_addr), ip4_addr_isloopback(&as) ? address : PP_HTONL(IPADDR_LOOPBACK));
}
