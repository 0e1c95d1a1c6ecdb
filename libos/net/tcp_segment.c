/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments larger than the wire's, for devices that cut them (HOST_TSO4). lwIP has one notion of a segment's size,
 * pcb->mss. So the interface pretends to lwIP that packets may be 64 KiB, and each connection starts with the size
 * that peer and path take, and raises it while its congestion window grows, never lowers it: lwIP cannot split what
 * it has queued. What the wire takes is kept beside the pcb, for the driver.
 */
#include "libos/net/tcp_segment.h"
#include "libos/net/tcp_socket.h"

#include "lwip/ip4.h"
#include "lwip/ip4_frag.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/etharp.h"

#define ARG 0 /* lwIP's number of the extra argument of a pcb */
#define MAX_SEGMENT 32400 /* with headers and its pbuf it fits into eight pages */
#define HEADERS 40
#define INITIAL_WINDOW 10 /* segments; RFC 6928 */

static unsigned wire_mtu; /* of the interface whose device cuts segments; 0: there is none */

static bool goes_to_device(const struct tcp_pcb *pcb)
{
	if (!wire_mtu || !IP_IS_V4_VAL(pcb->remote_ip))
		return false;
	return ip4_route_src(ip_2_ip4(&pcb->local_ip), ip_2_ip4(&pcb->remote_ip)) == netif_default;
}

void tcp_segment_start(struct tcp_pcb *pcb, struct tcp_socket *t)
{
	if (t->o.mss_limit)
		pcb->mss = MIN(pcb->mss, t->o.mss_limit);
	t->segment_max = MIN(pcb->mss, MAX_SEGMENT);
	if (goes_to_device(pcb)) {
		pcb->mss = MIN(pcb->mss, wire_mtu - HEADERS);
		t->segment_max = MAX_SEGMENT - MAX_SEGMENT % pcb->mss;
	}
	t->wire_mss = pcb->mss = MIN(pcb->mss, MAX_SEGMENT);
	tcp_ext_arg_set(pcb, ARG, (void *)(uintptr_t)t->wire_mss);
}

void tcp_segment_adapt(struct tcp_pcb *pcb, struct tcp_socket *t)
{
	if (!t->window_started) { /* lwIP sets its own, smaller one after it has called tcp_segment_start */
		t->window_started = true;
		t->small_end = pcb->lastack;
		pcb->cwnd = MAX(pcb->cwnd, (tcpwnd_size_t)INITIAL_WINDOW * t->wire_mss);
	}
	uint32_t size = MIN(pcb->cwnd / 4, t->segment_max);
	size -= size % t->wire_mss;
	if (size > pcb->mss)
		pcb->mss = size;
}

/* Fragments by the wire's MTU what lwIP believes to fit; TCP segments are cut by the device. */
static err_t output(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
	const struct ip_hdr *ip = p->payload;
	if (p->tot_len <= wire_mtu || IPH_PROTO(ip) == IP_PROTO_TCP)
		return etharp_output(netif, p, to);
	uint16_t mtu = netif->mtu;
	netif->mtu = wire_mtu;
	err_t err = ip4_frag(p, netif, to);
	netif->mtu = mtu;
	return err;
}

void tcp_segment_enable(struct netif *netif)
{
	wire_mtu = netif->mtu;
	netif->mtu = 0xffff;
	netif->output = output;
}

static void limit_mss_option(uint8_t *tcp)
{
	uint8_t *option = tcp + 20;
	unsigned mss = wire_mtu - HEADERS;
	if ((tcp[12] >> 4) < 6 || option[0] != LWIP_TCP_OPT_MSS || (option[2] << 8 | option[3]) <= (int)mss)
		return;
	option[2] = mss >> 8;
	option[3] = mss;
}

static unsigned mss_of(const uint8_t *ip, const uint8_t *tcp)
{
	unsigned local = tcp[0] << 8 | tcp[1], remote = tcp[2] << 8 | tcp[3];
	uint32_t to;
	memcpy(&to, ip + 16, 4);
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->local_port == local && pcb->remote_port == remote && ip4_addr_get_u32(ip_2_ip4(&pcb->remote_ip)) == to)
			return (uintptr_t)tcp_ext_arg_get(pcb, ARG);
	return 536;
}

unsigned tcp_segment_cut(uint8_t *ip, uint8_t *tcp, unsigned packet_len)
{
	if (!wire_mtu)
		return 0;
	if (tcp[13] & TCP_SYN)
		limit_mss_option(tcp);
	return packet_len > wire_mtu ? mss_of(ip, tcp) : 0;
}

/* SO_SNDBUF bounds what waits; who has not set it has as much as lwIP holds, as Linux finds a size itself. */
size_t tcp_send_room(const struct tcp_socket *t)
{
	size_t room = t->pcb->snd_buf, held = TCP_SND_BUF - room;
	if (!t->s.send_chosen)
		return room;
	return held < t->s.send_size ? MIN(room, t->s.send_size - held) : 0;
}

bool tcp_has_room(const struct tcp_socket *t)
{
	if (t->o.unsent_most && t->pcb->snd_lbb - t->pcb->snd_nxt >= t->o.unsent_most)
		return false;
	size_t most = t->s.send_chosen ? MIN(t->s.send_size, TCP_SND_BUF) : TCP_SND_BUF;
	return tcp_send_room(t) >= most / 3 && t->pcb->snd_queuelen < TCP_SND_QUEUELEN / 2;
}
