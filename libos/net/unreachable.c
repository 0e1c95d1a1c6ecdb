/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lwIP does not tell its users: that a destination cannot be reached. ICMP's word reaches the socket that sent
 * the packet (RFC 1122, 4.1.3.3 and 4.2.3.9), and a connection to a neighbour who does not answer ARP fails early.
 */
#include "libos/net/error_queue.h"
#include "libos/net/hooks.h"
#include "libos/net/inet.h"
#include "libos/net/tcp_socket.h"
#include "libos/net/unreachable.h"

#include "lwip/etharp.h"
#include "lwip/ip4.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/ip6.h"
#include "lwip/udp.h"

#define ARP_PATIENCE (3000 / TCP_SLOW_INTERVAL) /* ticks */
#define ICMP_UNREACHABLE 3
#define CODE_NET 0
#define CODE_PORT 3
#define CODE_TOO_LARGE 4
#define ICMP6_UNREACHABLE 1

static void tcp_fail(struct tcp_pcb *pcb, int error)
{
	struct tcp_socket *t = pcb->callback_arg;
	if (t)
		t->connect_error = error;
	tcp_abandon(pcb, 0);
}

static void tcp_unreachable(uint16_t local_port, uint16_t remote_port, const ip_addr_t *remote, int error)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
		if (pcb->state != SYN_SENT || pcb->local_port != local_port || pcb->remote_port != remote_port ||
		    !ip_addr_cmp_zoneless(&pcb->remote_ip, remote))
			continue;
		tcp_fail(pcb, error);
		return;
	}
}

static void udp_unreachable(uint16_t local_port, const struct fault *fault)
{
	for (struct udp_pcb *pcb = udp_pcbs; pcb; pcb = pcb->next) {
		struct socket *s = pcb->recv_arg;
		bool connected = pcb->flags & UDP_FLAGS_CONNECTED;
		if (!s || pcb->local_port != local_port || (!connected && !(s->wants & WANT_ERRORS)))
			continue;
		if (connected && (pcb->remote_port != fault->port || !ip_addr_cmp_zoneless(&pcb->remote_ip, &fault->to)))
			continue;
		s->error = fault->error;
		error_queue_add(s, fault);
		wake_all(&s->wait, EPOLLIN | EPOLLERR);
	}
}

/* ports: the first bytes behind the IP header of the packet that did not arrive. */
static void tell(uint8_t protocol, const uint8_t ports[4], struct fault *fault)
{
	uint16_t local_port = ports[0] << 8 | ports[1];
	fault->port = ports[2] << 8 | ports[3];
	if (protocol == IP_PROTO_UDP)
		udp_unreachable(local_port, fault);
	else if (protocol == IP_PROTO_TCP)
		tcp_unreachable(local_port, fault->port, &fault->to, fault->error);
}

void unreachable_icmp(const struct pbuf *p, unsigned offset)
{
	struct { uint8_t type, code; uint16_t sum; uint32_t unused; struct ip_hdr ip; uint8_t rest[8]; } icmp;
	if (pbuf_copy_partial(p, &icmp, sizeof(icmp), offset) != sizeof(icmp) || icmp.type != ICMP_UNREACHABLE ||
	    icmp.code == CODE_TOO_LARGE || IPH_HL(&icmp.ip) != 5)
		return;
	struct fault fault = { .type = icmp.type, .code = icmp.code, .p = p, .offset = offset + sizeof(icmp),
		.error = icmp.code == CODE_PORT ? ECONNREFUSED : icmp.code == CODE_NET ? ENETUNREACH : EHOSTUNREACH };
	ip_addr_set_ip4_u32_val(fault.to, icmp.ip.dest.addr);
	ip_addr_set_ip4_u32_val(fault.from, ((const struct ip_hdr *)p->payload)->src.addr);
	tell(IPH_PROTO(&icmp.ip), icmp.rest, &fault);
}

static void set_ip6(ip_addr_t *ip, const void *from)
{
	IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_V6);
	memcpy(ip_2_ip6(ip)->addr, from, 16);
}

void unreachable_icmp6(const struct pbuf *p, unsigned offset)
{
	static const uint8_t error_of[] = { ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES }; /* by code */
	struct { uint8_t type, code; uint16_t sum; uint32_t unused; struct ip6_hdr ip; uint8_t rest[8]; } icmp;
	if (pbuf_copy_partial(p, &icmp, sizeof(icmp), offset) != sizeof(icmp) || icmp.type != ICMP6_UNREACHABLE)
		return;
	struct fault fault = { .type = icmp.type, .code = icmp.code, .p = p, .offset = offset + sizeof(icmp),
		.error = icmp.code < sizeof(error_of) ? error_of[icmp.code] : EPROTO };
	set_ip6(&fault.to, &icmp.ip.dest);
	set_ip6(&fault.from, &((const struct ip6_hdr *)p->payload)->src);
	tell(IP6H_NEXTH(&icmp.ip), icmp.rest, &fault);
}

static bool neighbour_is_silent(const struct tcp_pcb *pcb)
{
	const ip4_addr_t *to = ip_2_ip4(&pcb->remote_ip), *found;
	struct eth_addr *hardware;
	struct netif *netif = ip4_route_src(ip_2_ip4(&pcb->local_ip), to);
	if (!netif || !(netif->flags & NETIF_FLAG_ETHARP))
		return false;
	if (!ip4_addr_netcmp(to, netif_ip4_addr(netif), netif_ip4_netmask(netif)))
		to = netif_ip4_gw(netif);
	return etharp_find_addr(netif, to, &hardware, &found) < 0;
}

void unreachable_tick(void)
{
	struct tcp_pcb *pcb = tcp_active_pcbs;
	while (pcb) {
		bool dead = pcb->state == SYN_SENT && IP_IS_V4_VAL(pcb->remote_ip) && tcp_ticks - pcb->tmr >= ARP_PATIENCE &&
			    neighbour_is_silent(pcb);
		if (dead)
			tcp_fail(pcb, EHOSTUNREACH);
		pcb = dead ? tcp_active_pcbs : pcb->next; /* the program was told: the list may be another one now */
	}
}

static bool patience_is_over(const struct tcp_pcb *pcb, uint64_t now)
{
	const struct tcp_socket *t = pcb->callback_arg; /* of a listener while the state is SYN_RCVD */
	if (!t || pcb->state == SYN_RCVD)
		return false;
	if (pcb->state == SYN_SENT && t->o.syn_count && pcb->nrtx > t->o.syn_count)
		return true;
	return t->o.user_timeout && (pcb->unacked || pcb->unsent) && now - t->last_progress > t->o.user_timeout * 1000000ull;
}

static void offer_deferred(const struct tcp_pcb *pcb, uint64_t now)
{
	struct tcp_socket *t = pcb->state >= ESTABLISHED ? pcb->callback_arg : NULL;
	if (t && t->deferred_to && now >= t->deferred_until)
		tcp_offer(t);
}

void unreachable_patience(void)
{
	uint64_t now = clock_monotonic();
	struct tcp_pcb *pcb = tcp_active_pcbs;
	while (pcb) {
		offer_deferred(pcb, now);
		bool over = patience_is_over(pcb, now);
		if (over)
			tcp_fail(pcb, ETIMEDOUT);
		pcb = over ? tcp_active_pcbs : pcb->next;
	}
}
