/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/net tells: interfaces, addresses, sockets. */
#include "libos/fs/fs.h"
#include "libos/net/ifconf.h"
#include "libos/net/inet.h"
#include "libos/net/loopback.h"
#include "libos/net/net.h"
#include "libos/net/tcp_socket.h"
#include "libos/net/unix.h"

#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/udp.h"

struct net_counts net_counts[2] SELDOM_USED;

void net_count_loopback(const struct netif *netif, size_t n)
{
	if (!loopback_is(netif))
		return;
	net_count(&net_counts[0].rx_bytes, &net_counts[0].rx_packets, n);
	net_count(&net_counts[0].tx_bytes, &net_counts[0].tx_packets, n);
}

/* As Linux numbers the states of a TCP connection. */
static const uint8_t states[] = { [CLOSED] = 7, [LISTEN] = 10, [SYN_SENT] = 2, [SYN_RCVD] = 3, [ESTABLISHED] = 1, [FIN_WAIT_1] = 4, [FIN_WAIT_2] = 5,
	[CLOSE_WAIT] = 8, [CLOSING] = 11, [LAST_ACK] = 9, [TIME_WAIT] = 6 };

static void fill_address(struct net_endpoint *e, bool peer, const ip_addr_t *ip, uint16_t port)
{
	uint32_t *to = peer ? e->remote : e->local;

	memset(to, 0, sizeof(e->local));
	if (IP_IS_V6_VAL(*ip))
		memcpy(to, ip_2_ip6(ip)->addr, sizeof(e->local));
	else if (e->v6 && !ip_addr_isany(ip)) { /* mapped */
		to[2] = PP_HTONL(0xffff);
		to[3] = ip4_addr_get_u32(ip_2_ip4(ip));
	} else {
		to[0] = IP_IS_V4_VAL(*ip) ? ip4_addr_get_u32(ip_2_ip4(ip)) : 0;
	}
	*(peer ? &e->remote_port : &e->local_port) = port;
}

static void fill_socket(struct net_endpoint *e, const struct socket *s)
{
	e->v6 = s && s->family == AF_INET6;
	e->uid = s ? s->uid : 0;
	e->inode = s && s->file ? socket_inode(s) : 0;
	e->refs = s && s->file ? s->file->refs + 1 : 0;
}

static void tell_tcp(net_tell *tell, void *context, struct tcp_pcb *pcb)
{
	const struct tcp_socket *t = pcb->state == TIME_WAIT ? NULL : pcb->callback_arg;
	struct net_endpoint e = { .kind = NET_TCP, .state = states[pcb->state] };

	fill_socket(&e, t ? &t->s : NULL);
	e.v6 |= IP_IS_V6_VAL(pcb->local_ip);
	fill_address(&e, false, &pcb->local_ip, pcb->local_port);
	if (pcb->state == LISTEN) {
		e.receive_queue = t ? (uint32_t)t->accept_waiting : 0;
	} else {
		fill_address(&e, true, &pcb->remote_ip, pcb->remote_port);
		e.receive_queue = t ? (uint32_t)t->queue.bytes : 0;
		e.send_queue = TCP_SND_BUF - pcb->snd_buf;
	}
	tell(context, &e);
}

static void tell_udp(net_tell *tell, void *context)
{
	for (struct udp_pcb *pcb = udp_pcbs; pcb; pcb = pcb->next) {
		struct net_endpoint e = { .kind = NET_UDP, .state = pcb->flags & UDP_FLAGS_CONNECTED ? 1 : 7 };
		const struct socket *s = pcb->recv_arg;

		if (!pcb->local_port || !udp_is_socket(pcb)) /* DHCP has one, too */
			continue;
		fill_socket(&e, s);
		fill_address(&e, false, &pcb->local_ip, pcb->local_port);
		if (pcb->flags & UDP_FLAGS_CONNECTED)
			fill_address(&e, true, &pcb->remote_ip, pcb->remote_port);
		e.drops = s->drops;
		tell(context, &e);
	}
}

static void tell_unix(net_tell *tell, void *context)
{
	for (int fd = 0; fd < fd_count(); fd++) {
		struct file *file = fd_get(fd);
		struct socket *s = file ? socket_of(file) : NULL;

		if (!s || s->family != AF_UNIX)
			continue;
		const struct unix_socket *u = (const struct unix_socket *)s;
		struct net_endpoint e = { .kind = NET_UNIX, .state = u->connected ? 3 : 1, .type = (uint8_t)s->type, .listens = u->listening,
					  .name = u->name_len > 2 ? u->name.un.sun_path : NULL, .name_len = u->name_len > 2 ? u->name_len - 2 : 0 };

		fill_socket(&e, s);
		tell(context, &e);
	}
}

void net_each_endpoint(enum net_kind kind, net_tell *tell, void *context)
{
	struct tcp_pcb *const lists[] = { tcp_listen_pcbs.pcbs, tcp_active_pcbs, tcp_tw_pcbs };

	if (kind == NET_UDP)
		tell_udp(tell, context);
	if (kind == NET_UNIX)
		tell_unix(tell, context);
	for (size_t i = 0; kind == NET_TCP && i < ARRAY_SIZE(lists); i++)
		for (struct tcp_pcb *pcb = lists[i]; pcb; pcb = pcb->next)
			tell_tcp(tell, context, pcb);
}

bool net_interface(int index, struct net_interface *out)
{
	struct netif *netif;

	net_up();
	NETIF_FOREACH(netif) {
		if (netif_get_index(netif) != index)
			continue;
		memset(out, 0, sizeof(*out));
		ifconf_name(netif, out->name);
		out->index = index;
		out->loopback = loopback_is(netif);
		out->flags = ifconf_flags(netif);
		out->mtu = ifconf_mtu(netif);
		memcpy(out->hardware, netif->hwaddr, out->loopback ? 0 : 6);
		out->address = ip4_addr_get_u32(netif_ip4_addr(netif));
		out->mask = ip4_addr_get_u32(netif_ip4_netmask(netif));
		out->gateway = ip4_addr_get_u32(netif_ip4_gw(netif));
		out->counts = net_counts[!out->loopback];
		for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
			if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)))
				memcpy(out->address6[out->address6_count++], netif_ip6_addr(netif, i)->addr, 16);
		return true;
	}
	return false;
}

bool net_neighbour(size_t at, uint32_t *address, uint8_t hardware[6])
{
	ip4_addr_t *ip;
	struct netif *netif;
	struct eth_addr *ethernet;

	if (at >= ARP_TABLE_SIZE)
		return false;
	*address = 0;
	if (!etharp_get_entry(at, &ip, &netif, &ethernet))
		return true;
	*address = ip4_addr_get_u32(ip);
	memcpy(hardware, ethernet->addr, 6);
	return true;
}
