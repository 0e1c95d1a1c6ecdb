/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new connection from a port whose last connection is still in TIME-WAIT here. lwIP resets it; a client that makes
 * many connections would see that as a refusal. RFC 1122 (4.2.2.13) allows to accept it when its sequence number is
 * beyond the old connection's, so the old one is forgotten before lwIP sees the packet. Each new connection looks at all of them,
 * here and in lwIP: so their number is kept small, also between two of lwIP's ticks, in which a server may end thousands.
 */
#include "libos/core/libos.h"
#include "libos/net/hooks.h"
#include "libos/net/loopback.h"
#include "libos/net/multicast.h"
#include "libos/net/net.h"
#include "libos/net/syn_hold.h"
#include "libos/net/unreachable.h"

#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/prot/tcp.h"

#define MOST 128 /* at 512 the two looks were a third of what a new connection took */

/* The newest come first. */
static void forget_older(struct tcp_pcb *pcb)
{
	struct tcp_pcb *older = pcb->next, *next;
	for (pcb->next = NULL; older; older = next) {
		next = older->next;
		tcp_pcb_purge(older);
		tcp_free(older);
	}
}

void timewait_limit(void)
{
	unsigned n = 0;
	for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next)
		if (++n == MOST)
			forget_older(pcb);
}

static void forget(const ip_addr_t *remote, uint16_t remote_port, uint16_t local_port, uint32_t sequence)
{
	unsigned n = 0;
	for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next) {
		if (++n == MOST)
			forget_older(pcb);
		if (pcb->remote_port != remote_port || pcb->local_port != local_port || !ip_addr_cmp_zoneless(&pcb->remote_ip, remote))
			continue;
		if (!TCP_SEQ_GEQ(sequence, pcb->rcv_nxt))
			return;
		tcp_pcb_remove(&tcp_tw_pcbs, pcb);
		tcp_free(pcb);
		return;
	}
}

/* The first segment of a connection? Its TCP header begins at offset. */
static const struct tcp_hdr *first_segment(const struct pbuf *p, unsigned offset)
{
	const struct tcp_hdr *tcp = (const struct tcp_hdr *)((const uint8_t *)p->payload + offset);
	return p->len >= offset + sizeof(*tcp) && (TCPH_FLAGS(tcp) & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN ? tcp : NULL;
}

/* 1: it is kept for later. */
static int look(struct pbuf *p, unsigned offset, const ip_addr_t *remote, struct netif *from)
{
	const struct tcp_hdr *tcp = first_segment(p, offset);
	if (!tcp)
		return 0;
	if (from == netif_default && syn_hold(p, from))
		return 1;
	if (tcp_tw_pcbs)
		forget(remote, lwip_ntohs(tcp->src), lwip_ntohs(tcp->dest), lwip_ntohl(tcp->seqno));
	return 0;
}

int net_ip4_input(struct pbuf *p, struct netif *from)
{
	const struct ip_hdr *ip = p->payload;
	ip_addr_t remote = { 0 };
	if (p->len < sizeof(*ip))
		return 0;
	net_count_loopback(from, p->tot_len);
	loopback_take(from, ip->dest.addr);
	if (IPH_PROTO(ip) == IP_PROTO_IGMP)
		multicast_input(p, IPH_HL_BYTES(ip), from);
	if (IPH_PROTO(ip) == IP_PROTO_ICMP)
		unreachable_icmp(p, IPH_HL_BYTES(ip));
	if (early_hold(p, from, IPH_PROTO(ip)))
		return 1;
	if (IPH_PROTO(ip) != IP_PROTO_TCP)
		return 0;
	ip_addr_set_ip4_u32_val(remote, ip->src.addr);
	return look(p, IPH_HL_BYTES(ip), &remote, from);
}

int net_ip6_input(struct pbuf *p, struct netif *from)
{
	const struct ip6_hdr *ip = p->payload;
	ip_addr_t remote = { 0 };
	if (p->len < sizeof(*ip))
		return 0;
	net_count_loopback(from, p->tot_len);
	if (IP6H_NEXTH(ip) == IP6_NEXTH_ICMP6)
		unreachable_icmp6(p, sizeof(*ip));
	if (early_hold(p, from, IP6H_NEXTH(ip)))
		return 1;
	if (IP6H_NEXTH(ip) != IP_PROTO_TCP)
		return 0;
	IP_SET_TYPE_VAL(remote, IPADDR_TYPE_V6);
	memcpy(ip_2_ip6(&remote)->addr, &ip->src, 16);
	return look(p, sizeof(*ip), &remote, from);
}
