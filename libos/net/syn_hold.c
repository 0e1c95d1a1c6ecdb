/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/core/libos.h"
#include "libos/net/net.h"
#include "libos/net/syn_hold.h"

#include "lwip/ip4.h"
#include "lwip/ip6.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/tcp.h"

#define PATIENCE (2 * NS_PER_S)
#define MOST 512 /* more of them are dropped: their senders try again after a second */
#define LARGEST 256 /* bytes: all headers at their longest. What brings data as well is refused as ever: it must not be kept for strangers */

static struct held_packet held[MOST] SELDOM_USED;
static unsigned count;
static bool over; /* from now on they are refused at once */
static struct timer patience;

static uint16_t port_of(const struct pbuf *p)
{
	const struct ip_hdr *ip = p->payload;
	const struct tcp_hdr *tcp = (const void *)((const uint8_t *)p->payload + (IPH_V(ip) == 6 ? IP6_HLEN : IPH_HL_BYTES(ip)));
	return lwip_ntohs(tcp->dest);
}

void held_packet_in(const struct held_packet *one)
{
	const struct ip_hdr *ip = one->p->payload;
	const uint8_t sums = one->from->chksum_flags;
	one->from->chksum_flags = one->sums;
	if (IPH_V(ip) == 6)
		ip6_input(one->p, one->from);
	else
		ip4_input(one->p, one->from);
	one->from->chksum_flags = sums;
}

/* What waits for the port, 0: for any; in the order in which it came. */
static void release(uint16_t port)
{
	unsigned kept = 0, had = count;
	net_busy();
	for (unsigned i = 0; i < had; i++) {
		const struct held_packet one = held[i];
		if (port && port_of(one.p) != port)
			held[kept++] = one;
		else
			held_packet_in(&one);
	}
	count = kept;
	if (!count)
		timer_cancel(&patience);
}

/* Nobody listens: they are refused as they would have been at once. */
static void on_patience(struct timer *timer)
{
	over = true;
	release(0);
}

bool syn_hold(struct pbuf *p, struct netif *from)
{
	if (over || p->tot_len > LARGEST)
		return false;
	if (count == MOST) {
		pbuf_free(p);
		return true;
	}
	held[count++] = (struct held_packet){ .p = p, .from = from, .sums = from->chksum_flags };
	if (count == 1) {
		patience.fire = on_patience;
		timer_set(&patience, clock_monotonic() + PATIENCE);
	}
	return true;
}

void syn_hold_end(uint16_t port)
{
	over = true;
	if (count)
		release(port);
}
