/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets on lwIP's callbacks. */
#include "libos/mm/mm.h"
#include "libos/net/error_queue.h"
#include "libos/net/inet.h"
#include "libos/net/inet_socket.h"
#include "libos/net/loopback.h"
#include "libos/net/multicast.h"
#include "libos/net/net.h"
#include "libos/net/ports.h"

#include "lwip/netif.h"
#include "lwip/udp.h"

struct udp_socket {
	struct socket s;
	struct udp_pcb *pcb;
	bool keeps_port; /* bind() named it */
	struct packet_queue queue;
	/* MSG_MORE: what the next sends complete, and where the first of them said that it goes */
	struct pbuf *held;
	ip_addr_t held_ip;
	uint16_t held_port;
	struct inet_control held_control;
	struct multicast multicast;
};

#define LARGEST 65507 /* bytes of a datagram; over IPv6 lwIP counts its header in the same 16 bits */
#define LARGEST_V6 65487
#define DATAGRAM_COST 512 /* of memory, beside its bytes: an empty one is not free */

static struct udp_socket *of(struct socket *s)
{
	return (struct udp_socket *)s;
}

/* One is taken however large it is. */
static bool has_room(const struct udp_socket *u, size_t n)
{
	size_t held = u->queue.bytes + u->queue.count * DATAGRAM_COST;
	return !u->queue.first || held + n + DATAGRAM_COST <= u->s.receive_size;
}

/* Takes the reference. */
static void receive(struct udp_socket *u, struct pbuf *p, const ip_addr_t *from, uint16_t port)
{
	if (u->s.shut_read || !has_room(u, p->tot_len) || !packet_push(&u->queue, p, from, port)) {
		u->s.drops++;
		pbuf_free(p);
		return;
	}
	wake_all(&u->s.wait, EPOLLIN | EPOLLRDNORM);
}

static void on_receive(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port);

/* A multicast datagram is for all sockets at its port that hear the group; lwIP knows of one of them. */
static void receive_group(const struct udp_pcb *found, struct pbuf *p, const ip_addr_t *from, uint16_t port)
{
	uint32_t group = ip4_addr_get_u32(ip4_current_dest_addr());
	uint8_t interface = netif_get_index(ip_current_input_netif());
	for (struct udp_pcb *pcb = udp_pcbs; pcb; pcb = pcb->next) {
		struct udp_socket *u = pcb->recv_arg;
		bool local = ip_addr_isany(&pcb->local_ip) || ip_addr_cmp(&pcb->local_ip, ip_current_dest_addr());
		bool peer = !(pcb->flags & UDP_FLAGS_CONNECTED) || (pcb->remote_port == port && ip_addr_cmp(&pcb->remote_ip, from));
		if (pcb->recv != on_receive || pcb->local_port != found->local_port || !local || !peer || !multicast_hears(&u->multicast, group, interface))
			continue;
		pbuf_ref(p); /* nobody writes to what was received */
		receive(u, p, from, port);
	}
	pbuf_free(p);
}

static void on_receive(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from, u16_t port)
{
	if (!ip_current_is_v6() && ip4_addr_ismulticast(ip4_current_dest_addr()))
		receive_group(pcb, p, from, port);
	else
		receive(ports_receiver(pcb, from, port)->recv_arg, p, from, port);
}

bool udp_is_socket(const struct udp_pcb *pcb)
{
	return pcb->recv == on_receive;
}

static void option_changed(struct socket *s)
{
	struct udp_pcb *pcb = of(s)->pcb;
	pcb->flags = s->no_check ? pcb->flags | UDP_FLAGS_NOCHKSUM : pcb->flags & ~UDP_FLAGS_NOCHKSUM;
	pcb->so_options = ports_options(s) | (s->broadcast ? SOF_BROADCAST : 0);
	if (!pcb->local_port)
		IP_SET_TYPE_VAL(pcb->local_ip, inet_ip_type(s));
}

static int ensure_bound(struct udp_socket *u)
{
	ip_addr_t any = { 0 };
	IP_SET_TYPE_VAL(any, inet_ip_type(&u->s));
	return u->pcb->local_port ? 0 : ports_bind_udp(u->pcb, &any, 0);
}

static int udp_bind_socket(struct socket *s, const union address *addr, uint32_t len)
{
	struct udp_socket *u = of(s);
	ip_addr_t ip;
	uint16_t port;
	int err = inet_bind_address(s, addr, len, &ip, &port);
	if (err < 0)
		return err;
	if (u->pcb->local_port)
		return -EINVAL;
	u->keeps_port = port != 0;
	return ports_bind_udp(u->pcb, &ip, port);
}

/* A datagram socket of IPv6 takes addresses of IPv4 as they are, too. */
static int remote_from_user(const struct socket *s, const union address *addr, uint32_t len, ip_addr_t *ip, uint16_t *port)
{
	struct socket plain = { .family = AF_INET };
	bool is_v4 = len >= sizeof(addr->any.family) && addr->any.family == AF_INET && !s->v6only;
	return inet_from_user(is_v4 ? &plain : s, addr, len, ip, port);
}

static int udp_connect_socket(struct socket *s, const union address *addr, uint32_t len, bool nonblock)
{
	struct udp_socket *u = of(s);
	ip_addr_t ip, local;
	uint16_t port;
	if (len >= sizeof(addr->any.family) && addr->any.family == AF_UNSPEC) {
		udp_disconnect(u->pcb);
		if (!u->keeps_port)
			u->pcb->local_port = 0;
		return 0;
	}
	int err = remote_from_user(s, addr, len, &ip, &port);
	if (err == 0)
		err = inet_route(s, &ip, &local);
	if (err == 0)
		err = ensure_bound(u);
	return err < 0 ? err : inet_error(udp_connect(u->pcb, &ip, port));
}

static bool is_connected(const struct udp_socket *u)
{
	return u->pcb->flags & UDP_FLAGS_CONNECTED;
}

static int destination(struct udp_socket *u, struct message *m, ip_addr_t *ip, uint16_t *port)
{
	ip_addr_t local;
	if (!m->name) {
		*ip = u->pcb->remote_ip;
		*port = u->pcb->remote_port;
		return is_connected(u) ? 0 : -EDESTADDRREQ;
	}
	if (m->name_len >= sizeof(m->name->in) && m->name->any.family == AF_UNSPEC && u->s.family == AF_INET)
		m->name->any.family = AF_INET; /* as Linux, where old programs say no family */
	int err = remote_from_user(&u->s, m->name, m->name_len, ip, port);
	if (err < 0)
		return err;
	if (*port == 0)
		return -EINVAL;
	if (IP_IS_V4(ip) && netif_default && ip4_addr_isbroadcast(ip_2_ip4(ip), netif_default) && !u->s.broadcast)
		return -EACCES;
	/* IP_MULTICAST_IF names the way. */
	return IP_IS_V4(ip) && ip_addr_ismulticast(ip) && netif_get_by_index(u->pcb->mcast_ifindex) ? 0 : inet_route(&u->s, ip, &local);
}

/* With what came with this datagram in place of the socket's own. */
static err_t send_out(struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *ip, uint16_t port, const struct inet_control *control)
{
	uint8_t tos = pcb->tos, ttl = pcb->ttl, multicast_ttl = pcb->mcast_ttl, flags = pcb->flags;
	const struct netif *way = netif_get_by_index(pcb->mcast_ifindex);
	if (way ? loopback_is(way) : !netif_default) /* what leaves there is back already */
		pcb->flags &= ~UDP_FLAGS_MULTICAST_LOOP;
	pcb->tos = control->tos;
	pcb->ttl = pcb->mcast_ttl = control->ttl;
	err_t err = control->has_from ? udp_sendto_if_src(pcb, p, ip, port, ip_route(&control->from, ip), &control->from)
				      : udp_sendto(pcb, p, ip, port);
	pcb->flags = flags;
	pcb->tos = tos;
	pcb->ttl = ttl;
	pcb->mcast_ttl = multicast_ttl;
	return err;
}

/* Where a datagram goes and with what: as the first of its parts said. */
static int address_datagram(struct udp_socket *u, struct message *m, ip_addr_t *ip, uint16_t *port, struct inet_control *control)
{
	if (u->held) {
		*ip = u->held_ip;
		*port = u->held_port;
		*control = u->held_control;
		return 0;
	}
	int err = destination(u, m, ip, port);
	if (err == 0)
		err = ensure_bound(u);
	if (err < 0)
		return err;
	*control = (struct inet_control){ .tos = u->pcb->tos, .ttl = ip_addr_ismulticast(ip) ? u->pcb->mcast_ttl : u->pcb->ttl };
	return inet_get_control(&u->s, m, control);
}

static void drop_held(struct udp_socket *u)
{
	if (u->held)
		pbuf_free(u->held);
	u->held = NULL;
}

/* What was held, with p behind it, in one piece. */
static struct pbuf *join(struct udp_socket *u, struct pbuf *p)
{
	struct pbuf *all = u->held;
	if (!all)
		return p;
	u->held = NULL;
	pbuf_cat(all, p);
	return pbuf_coalesce(all, PBUF_TRANSPORT);
}

static int64_t udp_send_socket(struct socket *s, struct message *m)
{
	struct udp_socket *u = of(s);
	ip_addr_t ip;
	uint16_t port;
	int64_t size = m->left, held = u->held ? u->held->tot_len : 0;
	uint64_t start = 0;
	struct inet_control control;
	if (size > 0xffff)
		return -EMSGSIZE;
	if (s->error)
		return socket_take_error(s);
	int result = address_datagram(u, m, &ip, &port, &control);
	if (result == 0 && s->shut_write)
		result = -EPIPE;
	if (result == 0 && (held + size > (IP_IS_V4_VAL(ip) ? LARGEST : LARGEST_V6) || inet_too_large(s, &ip, held + size + 8)))
		result = -EMSGSIZE;
	struct pbuf *p = result == 0 ? inet_copy_in(m, PBUF_TRANSPORT, &result) : NULL;
	if (p)
		p = join(u, p);
	if (!p) {
		drop_held(u);
		return result;
	}
	if (m->flags & MSG_MORE) {
		u->held = p;
		u->held_ip = ip;
		u->held_port = port;
		u->held_control = control;
		return size;
	}
	net_busy();
	err_t err;
	/* A full ring empties within a millisecond. */
	while ((err = send_out(u->pcb, p, &ip, port, &control)) == ERR_MEM && !(m->flags & MSG_DONTWAIT) && start++ < 1000) {
		static struct waitq nobody;
		if (wait_on(&nobody, clock_monotonic() + 1000000) == -EINTR)
			break;
	}
	pbuf_free(p);
	net_deliver();
	return err == ERR_OK ? size : err == ERR_MEM && (m->flags & MSG_DONTWAIT) ? -EAGAIN : inet_error(err);
}

static int64_t take_datagram(struct udp_socket *u, struct message *m)
{
	struct packet *packet = u->queue.first;
	struct pbuf *p = packet->pbuf;
	int64_t n = MIN(p->tot_len, m->left);
	int64_t copied = inet_copy_out(m, p, 0, n);
	if (copied < n) {
		if (!(m->flags & MSG_PEEK)) /* lost, as on Linux */
			packet_pop(&u->queue);
		return -EFAULT;
	}
	if (m->name)
		m->name_len = inet_to_user(&u->s, m->name, &packet->from, packet->port);
	if (n < p->tot_len) {
		m->out_flags |= MSG_TRUNC;
		if (m->flags & MSG_TRUNC)
			n = p->tot_len;
	}
	inet_put_control(&u->s, m, packet);
	if (!(m->flags & MSG_PEEK))
		packet_pop(&u->queue);
	return n;
}

static int64_t udp_receive_socket(struct socket *s, struct message *m)
{
	struct udp_socket *u = of(s);
	uint64_t start = 0;
	while (!u->queue.first) {
		if (s->error)
			return socket_take_error(s);
		if (s->shut_read)
			return 0;
		if ((m->flags & MSG_DONTWAIT) && !net_poll())
			return -EAGAIN;
		int err = m->flags & MSG_DONTWAIT ? 0 : socket_wait(s, s->receive_timeout, &start);
		if (err < 0)
			return err;
	}
	return take_datagram(u, m);
}

static uint32_t udp_poll_socket(struct socket *s)
{
	uint32_t events = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	if (of(s)->queue.first || s->shut_read)
		events |= EPOLLIN | EPOLLRDNORM;
	return events | (s->shut_read ? EPOLLRDHUP : 0) | (s->shut_read && s->shut_write ? EPOLLHUP : 0);
}

static int udp_shutdown_socket(struct socket *s, int how)
{
	/* Also of one that is not connected, to which Linux says so all the same: programs wake a thread that receives in this way. */
	s->shut_read |= how != SHUT_WR;
	s->shut_write |= how != SHUT_RD;
	wake_all(&s->wait, EPOLLIN | EPOLLHUP);
	return is_connected(of(s)) ? 0 : -ENOTCONN;
}

static int udp_name_socket(struct socket *s, union address *addr, bool peer)
{
	struct udp_socket *u = of(s);
	ip_addr_t local = u->pcb->local_ip;
	if (peer)
		return is_connected(u) ? inet_to_user(s, addr, &u->pcb->remote_ip, u->pcb->remote_port) : -ENOTCONN;
	/* The C library connects a UDP socket to learn which address it would send from. */
	if (is_connected(u) && ip_addr_isany(&local))
		inet_route(s, &u->pcb->remote_ip, &local);
	return inet_to_user(s, addr, &local, u->pcb->local_port);
}

static struct inet_fields fields_of(struct udp_pcb *pcb)
{
	return (struct inet_fields){ .tos = &pcb->tos, .ttl = &pcb->ttl, .multicast_ttl = &pcb->mcast_ttl };
}

static int udp_setopt(struct socket *s, int level, int option, const void *value, uint32_t len)
{
	if (level == SOL_UDP)
		return -ENOPROTOOPT;
	const struct inet_fields field = fields_of(of(s)->pcb);
	int err = level == SOL_IP ? multicast_setopt(&of(s)->multicast, of(s)->pcb, option, value, len) : -ENOPROTOOPT;
	return err != -ENOPROTOOPT ? err : inet_setopt(s, level, option, value, len, &field);
}

static int udp_getopt(struct socket *s, int level, int option, void *value, uint32_t *len)
{
	if (level == SOL_UDP)
		return -ENOPROTOOPT;
	const struct inet_fields field = fields_of(of(s)->pcb);
	int err = level == SOL_IP ? multicast_getopt(&of(s)->multicast, of(s)->pcb, option, value, len) : -ENOPROTOOPT;
	return err != -ENOPROTOOPT ? err : inet_getopt(s, level, option, value, len, &field);
}

static int64_t udp_readable_socket(struct socket *s)
{
	return of(s)->queue.first ? of(s)->queue.first->pbuf->tot_len : 0;
}

static void udp_close_socket(struct socket *s)
{
	multicast_leave(&of(s)->multicast);
	udp_remove(of(s)->pcb);
	packet_clear(&of(s)->queue);
	drop_held(of(s));
	error_queue_clear(s);
	kfree(s);
}

static const struct proto udp_proto = {
	.bind = udp_bind_socket, .connect = udp_connect_socket, .send = udp_send_socket, .receive = udp_receive_socket, .receive_error = error_queue_receive,
	.poll = udp_poll_socket, .shutdown = udp_shutdown_socket, .name = udp_name_socket, .setopt = udp_setopt,
	.getopt = udp_getopt, .option_changed = option_changed, .readable = udp_readable_socket, .close = udp_close_socket,
};

struct socket *udp_socket_new(int family)
{
	struct udp_socket *u = (struct udp_socket *)socket_alloc(sizeof(*u), &udp_proto, family, SOCK_DGRAM, IPPROTO_UDP);
	struct udp_pcb *pcb = u ? udp_new_ip_type(inet_ip_type(&u->s)) : NULL;
	if (!pcb) {
		kfree(u);
		return NULL;
	}
	u->pcb = pcb;
	pcb->flags |= UDP_FLAGS_MULTICAST_LOOP;
	udp_recv(pcb, on_receive, u);
	option_changed(&u->s);
	return &u->s;
}
