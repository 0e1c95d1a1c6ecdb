/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have a port, and which of several listeners gets a connection. lwIP knows one kind of sharing, where Linux
 * has two (SO_REUSEADDR and SO_REUSEPORT), and always takes the same listener. So each pcb lets lwIP share, and the
 * rules are kept here.
 */
#include "libos/net/hooks.h"
#include "libos/net/loopback.h"
#include "libos/net/ports.h"
#include "libos/net/tcp_socket.h"
#include "libos/net/tcp_urgent.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/udp.h"

#define RANDOM_TRIES 1000
#define OUTSIDE_BACKLOG 1024 /* the least for connections from outside */
#define HALF_OPEN 1024 /* of one listener */
#define HALF_OPEN_SEEN 128 /* of them, that lwIP counts: in a byte */

struct holder { /* of a port: what is the same in pcbs of TCP and UDP */
	const ip_addr_t *ip;
	uint16_t port;
	uint8_t options;
	bool listens;
};

uint8_t ports_options(const struct socket *s)
{
	return SOF_REUSEADDR | (s->reuse_address ? PORTS_REUSE_ADDRESS : 0) | (s->reuse_port ? PORTS_REUSE_PORT : 0);
}

static bool overlap(const ip_addr_t *a, const ip_addr_t *b)
{
	if (IP_GET_TYPE(a) == IPADDR_TYPE_ANY || IP_GET_TYPE(b) == IPADDR_TYPE_ANY) /* "::", of IPv4 too */
		return true;
	return IP_GET_TYPE(a) == IP_GET_TYPE(b) && (ip_addr_isany(a) || ip_addr_isany(b) || ip_addr_cmp_zoneless(a, b));
}

/* chosen: by the program, which may share it then. */
static bool conflict(const struct holder *new, const struct holder *old, bool chosen)
{
	if (new->port != old->port || !overlap(new->ip, old->ip))
		return false;
	uint8_t both = new->options & old->options;
	if (!chosen)
		return true;
	return !(both & PORTS_REUSE_PORT) && (!(both & PORTS_REUSE_ADDRESS) || old->listens);
}

static bool tcp_taken(const struct tcp_pcb *pcb, const ip_addr_t *ip, uint16_t port, bool chosen)
{
	struct holder new = { .ip = ip, .port = port, .options = pcb->so_options };
	for (int i = 0; i < NUM_TCP_PCB_LISTS; i++)
		for (const struct tcp_pcb *other = *tcp_pcb_lists[i]; other; other = other->next) {
			struct holder old = { .ip = &other->local_ip, .port = other->local_port, .options = other->so_options,
				.listens = other->state == LISTEN };
			if (other != pcb && conflict(&new, &old, chosen))
				return true;
		}
	return false;
}

static bool udp_taken(const struct udp_pcb *pcb, const ip_addr_t *ip, uint16_t port, bool chosen)
{
	struct holder new = { .ip = ip, .port = port, .options = pcb->so_options };
	for (const struct udp_pcb *other = udp_pcbs; other; other = other->next) {
		struct holder old = { .ip = &other->local_ip, .port = other->local_port, .options = other->so_options };
		if (other != pcb && conflict(&new, &old, chosen))
			return true;
	}
	return false;
}

static uint16_t random_port(void) /* as net.ipv4.ip_local_port_range */
{
	return 32768 + net_random() % (60999 - 32768);
}

int ports_bind_tcp(struct tcp_pcb *pcb, const ip_addr_t *ip, uint16_t port)
{
	if (port)
		return tcp_taken(pcb, ip, port, true) ? -EADDRINUSE : inet_error(tcp_bind(pcb, ip, port));
	for (int tries = 0; tries < RANDOM_TRIES; tries++)
		if (!tcp_taken(pcb, ip, port = random_port(), false))
			return inet_error(tcp_bind(pcb, ip, port));
	return -EADDRINUSE;
}

int ports_bind_udp(struct udp_pcb *pcb, const ip_addr_t *ip, uint16_t port)
{
	if (port)
		return udp_taken(pcb, ip, port, true) ? -EADDRINUSE : inet_error(udp_bind(pcb, ip, port));
	for (int tries = 0; tries < RANDOM_TRIES; tries++)
		if (!udp_taken(pcb, ip, port = random_port(), false))
			return inet_error(udp_bind(pcb, ip, port));
	return -EADDRINUSE;
}

/* ---- which listener ---- */

static struct tcp_socket *listeners; /* oldest first: lwIP reorders its own list */

int ports_listen(struct tcp_socket *t)
{
	if (tcp_taken(t->pcb, &t->pcb->local_ip, t->pcb->local_port, true))
		return -EADDRINUSE; /* two may have bound it, but one may listen */
	struct tcp_socket **at = &listeners;
	while (*at)
		at = &(*at)->listen_next;
	*at = t;
	t->listen_next = NULL;
	return 0;
}

void ports_listen_end(struct tcp_socket *t)
{
	for (struct tcp_socket **at = &listeners; *at; at = &(*at)->listen_next)
		if (*at == t) {
			*at = t->listen_next;
			return;
		}
}

/* Always the same for the same peer, as long as the group stays as it is. */
static unsigned spread(const ip_addr_t *remote, uint16_t port, unsigned n)
{
	uint32_t hash = port, word[4] = { 0 };
	memcpy(word, IP_IS_V6(remote) ? (const void *)ip_2_ip6(remote)->addr : ip_2_ip4(remote), IP_IS_V6(remote) ? 16 : 4);
	for (int i = 0; i < 4; i++)
		hash = (hash ^ word[i]) * 0x9e3779b1;
	return ((uint64_t)(hash ^ hash >> 15) * n) >> 32;
}

static bool share(const struct tcp_socket *a, const struct tcp_socket *b)
{
	return b->s.reuse_port && a->local_port == b->local_port && IP_GET_TYPE(&a->local_ip) == IP_GET_TYPE(&b->local_ip) &&
	       ip_addr_cmp(&a->local_ip, &b->local_ip);
}

struct tcp_socket *ports_listener(struct tcp_socket *found, const ip_addr_t *remote, uint16_t port)
{
	unsigned n = 0;
	if (!found->s.reuse_port)
		return found;
	for (struct tcp_socket *t = listeners; t; t = t->listen_next)
		n += share(found, t);
	unsigned which = spread(remote, port, MAX(n, 1u));
	for (struct tcp_socket *t = listeners; t; t = t->listen_next)
		if (share(found, t) && which-- == 0)
			return t;
	return found;
}

struct udp_pcb *ports_receiver(struct udp_pcb *found, const ip_addr_t *remote, uint16_t port)
{
	struct udp_pcb *group[32];
	unsigned n = 0;
	if (!(found->so_options & PORTS_REUSE_PORT) || found->flags & UDP_FLAGS_CONNECTED)
		return found;
	for (struct udp_pcb *pcb = udp_pcbs; pcb && n < ARRAY_SIZE(group); pcb = pcb->next)
		if (pcb->so_options & PORTS_REUSE_PORT && !(pcb->flags & UDP_FLAGS_CONNECTED) && pcb->local_port == found->local_port &&
		    IP_GET_TYPE(&pcb->local_ip) == IP_GET_TYPE(&found->local_ip) && ip_addr_cmp(&pcb->local_ip, &found->local_ip))
			group[n++] = pcb;
	return group[spread(remote, port, n)];
}

/* lwIP need not count those whose handshake is on its way: it forgets them, as long as there are not too many. */
static void make_room(const struct tcp_pcb_listen *listener)
{
	unsigned half_open = 0;
	if (listener->accepts_pending < HALF_OPEN_SEEN)
		return;
	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		half_open += pcb->state == SYN_RCVD && pcb->listener == listener;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb && half_open < HALF_OPEN; pcb = pcb->next)
		if (pcb->state == SYN_RCVD && pcb->listener == listener)
			tcp_backlog_accepted(pcb);
}

/*
 * lwIP counts the connections that nobody has accepted yet in a byte; a SYN beyond the backlog is not answered, as on Linux.
 * There the peer sends it again, but passt, whose client is connected already, may not: it ends the connection after 10 s.
 * So more than a short backlog's wait if they come from outside; between two sockets of the program it is kept exactly.
 */
int8_t net_tcp_input(const struct tcp_pcb *pcb, const struct tcp_hdr *header)
{
	struct tcp_socket *own = pcb->state >= ESTABLISHED ? pcb->callback_arg : NULL;
	if (own && own->pcb == pcb)
		tcp_urgent_announced(own, header);
	if (pcb->state != LISTEN || (TCPH_FLAGS(header) & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN || !pcb->callback_arg)
		return ERR_OK;
	const struct tcp_socket *t = ports_listener(pcb->callback_arg, ip_current_src_addr(), header->src);
	make_room((const struct tcp_pcb_listen *)pcb);
	int least = loopback_is(ip_current_input_netif()) ? 0 : OUTSIDE_BACKLOG;
	return t->accept_waiting > MAX(t->backlog, least) ? ERR_MEM : ERR_OK;
}
