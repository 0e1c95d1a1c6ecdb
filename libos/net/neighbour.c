/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/net/neighbour.h"

#include <string.h>

#include "lwip/icmp6.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip6.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/prot/nd6.h"

#define HOPS 255 /* who comes from further away is not believed */

struct advertisement {
	struct na_header head;
	struct lladdr_option hardware;
};
_Static_assert(sizeof(struct advertisement) == 32, "an advertisement with an Ethernet address");

static void announce(struct netif *netif, const ip6_addr_t *address)
{
	ip6_addr_t everybody;
	struct pbuf *packet = pbuf_alloc(PBUF_IP, sizeof(struct advertisement), PBUF_RAM);
	if (!packet)
		return; /* whoever needs to know will ask */
	struct advertisement *advertisement = packet->payload;
	*advertisement = (struct advertisement){ .head = { .type = ICMP6_TYPE_NA, .flags = ND6_FLAG_OVERRIDE }, .hardware = { .type = ND6_OPTION_TYPE_TARGET_LLADDR, .length = 1 } };
	ip6_addr_copy_to_packed(advertisement->head.target_address, *address);
	memcpy(advertisement->hardware.addr, netif->hwaddr, sizeof(advertisement->hardware.addr));
	ip6_addr_set_allnodes_linklocal(&everybody);
	ip6_addr_assign_zone(&everybody, IP6_MULTICAST, netif);
	IF__NETIF_CHECKSUM_ENABLED(netif, NETIF_CHECKSUM_GEN_ICMP6) {
		advertisement->head.chksum = ip6_chksum_pseudo(packet, IP6_NEXTH_ICMP6, packet->tot_len, address, &everybody);
	}
	ip6_output_if(packet, address, &everybody, HOPS, 0, IP6_NEXTH_ICMP6, netif);
	pbuf_free(packet);
}

void neighbour_announce(struct netif *netif)
{
	for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)))
			announce(netif, netif_ip6_addr(netif, i));
}
