/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/core/libos.h"
#include "libos/net/net.h"
#include "libos/net/syn_hold.h"

#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/prot/ip.h"

#define MOST 512
#define SMALL 256     /* bytes; of these lwIP has copies */
#define LARGE_MOST 32 /* others hold a buffer of the device each */

static struct held_packet held[MOST] SELDOM_USED;
static unsigned count, large;
static bool over;

bool early_hold(struct pbuf *p, struct netif *from, uint8_t protocol)
{
	if (over || from != netif_default || (protocol != IP_PROTO_TCP && protocol != IP_PROTO_UDP))
		return false;
	const bool is_large = p->tot_len > SMALL;
	if (count == MOST || (is_large && large == LARGE_MOST)) {
		pbuf_free(p);
		return true;
	}
	large += is_large;
	held[count++] = (struct held_packet){ .p = p, .from = from, .sums = from->chksum_flags };
	return true;
}

void early_hold_end(void)
{
	if (over)
		return;
	over = true;
	if (count)
		net_busy();
	for (unsigned i = 0; i < count; i++)
		held_packet_in(&held[i]);
	count = 0;
}
