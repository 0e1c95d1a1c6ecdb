/* SPDX-License-Identifier: Apache-2.0 */
/* Raw sockets, and the unprivileged ICMP sockets that ping(8) uses. */
#include "libos/mm/mm.h"
#include "libos/net/inet.h"
#include "libos/net/inet_socket.h"
#include "libos/net/net.h"

#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/prot/icmp6.h"
#include "lwip/raw.h"

#define ECHO_REPLY 0
#define ECHO_REQUEST 8

struct raw_socket {
	struct socket s;
	struct raw_pcb *pcb;
	struct packet_queue queue;
	uint32_t filter[8]; /* a bit for each type of ICMP that the program does not want */
	uint16_t id; /* of an ICMP socket: its echo identifier, network order */
	bool connected;
};
struct echo { uint8_t type, code; uint16_t sum, id, sequence; };

static struct raw_socket *of(struct socket *s)
{
	return (struct raw_socket *)s;
}

static bool is_ping(const struct raw_socket *r)
{
	return r->s.type == SOCK_DGRAM;
}

/* Bytes of IP header in front of what a ping socket gets; -1: not an answer to this socket. */
static int answer_offset(struct raw_socket *r, struct pbuf *p)
{
	uint8_t first = pbuf_get_at(p, 0);
	struct echo echo;
	int offset = first >> 4 == 4 ? 4 * (first & 15) : 40;
	if (pbuf_copy_partial(p, &echo, sizeof(echo), offset) != sizeof(echo) || echo.id != r->id)
		return -1;
	return echo.type == (r->s.family == AF_INET ? ECHO_REPLY : ICMP6_TYPE_EREP) ? offset : -1;
}

static bool unwanted(const struct raw_socket *r, struct pbuf *p)
{
	uint8_t type = pbuf_get_at(p, r->s.family == AF_INET6 ? 40 : 4 * (pbuf_get_at(p, 0) & 15));
	return r->filter[type / 32] >> type % 32 & 1; /* zero for what is not ICMP */
}

static u8_t on_receive(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	struct raw_socket *r = arg;
	int offset = is_ping(r) ? answer_offset(r, p) : r->s.family == AF_INET6 ? 40 : 0;
	if (offset < 0 || unwanted(r, p))
		return 0;
	if (r->queue.bytes + p->tot_len > r->s.receive_size) {
		r->s.drops++;
		return 0;
	}
	struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p); /* the stack goes on with its own */
	if (!copy)
		return 0;
	pbuf_remove_header(copy, MIN(offset, copy->tot_len));
	if (!packet_push(&r->queue, copy, from, 0)) {
		pbuf_free(copy);
		return 0;
	}
	wake_all(&r->s.wait, EPOLLIN | EPOLLRDNORM);
	return 0;
}

static int raw_bind_socket(struct socket *s, const union address *addr, uint32_t len)
{
	ip_addr_t ip;
	uint16_t port;
	int err = inet_bind_address(s, addr, len, &ip, &port);
	if (err < 0)
		return err;
	IP_SET_TYPE_VAL(ip, IP_GET_TYPE(&of(s)->pcb->local_ip)); /* never both */
	if (is_ping(of(s)) && port)
		of(s)->id = __builtin_bswap16(port);
	return inet_error(raw_bind(of(s)->pcb, &ip));
}

static int raw_connect_socket(struct socket *s, const union address *addr, uint32_t len, bool nonblock)
{
	ip_addr_t ip, local;
	uint16_t port;
	int err = inet_from_user(s, addr, len, &ip, &port);
	if (err == 0)
		err = inet_route(s, &ip, &local);
	if (err == 0)
		err = inet_error(raw_connect(of(s)->pcb, &ip));
	of(s)->connected = err == 0;
	return err;
}

static void finish_echo(struct raw_socket *r, struct pbuf *p)
{
	struct echo *echo = p->payload;
	if (p->len < sizeof(*echo))
		return;
	echo->id = r->id;
	echo->sum = 0;
	if (r->s.family == AF_INET)
		echo->sum = inet_chksum_pbuf(p);
}

/* lwIP sends a raw packet to a group with the pcb's own TTL, too. */
static err_t send_out(struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *ip, const struct inet_control *control)
{
	uint8_t tos = pcb->tos, ttl = pcb->ttl;
	pcb->tos = control->tos;
	pcb->ttl = control->ttl;
	err_t err = control->has_from ? raw_sendto_if_src(pcb, p, ip, ip_route(&control->from, ip), &control->from) : raw_sendto(pcb, p, ip);
	pcb->tos = tos;
	pcb->ttl = ttl;
	return err;
}

static int64_t raw_send_socket(struct socket *s, struct message *m)
{
	struct raw_socket *r = of(s);
	ip_addr_t ip = r->pcb->remote_ip, local;
	uint16_t port;
	int64_t size = m->left;
	int result = m->name_len ? inet_from_user(s, m->name, m->name_len, &ip, &port) : r->connected ? 0 : -EDESTADDRREQ;
	struct inet_control control = { .tos = r->pcb->tos, .ttl = ip_addr_ismulticast(&ip) ? r->pcb->mcast_ttl : r->pcb->ttl };
	if (result == 0)
		result = inet_get_control(s, m, &control);
	if (result == 0)
		result = inet_route(s, &ip, &local);
	if (result < 0)
		return result;
	if (size > 65000 || (is_ping(r) && size < (int64_t)sizeof(struct echo)))
		return size > 65000 ? -EMSGSIZE : -EINVAL;
	struct pbuf *p = inet_copy_in(m, PBUF_IP, &result);
	if (!p)
		return result;
	if (is_ping(r))
		finish_echo(r, p);
	net_busy();
	err_t err = send_out(r->pcb, p, &ip, &control);
	pbuf_free(p);
	net_deliver();
	return err == ERR_OK ? size : inet_error(err);
}

static int64_t raw_receive_socket(struct socket *s, struct message *m)
{
	struct raw_socket *r = of(s);
	uint64_t start = 0;
	while (!r->queue.first) {
		if ((m->flags & MSG_DONTWAIT) && !net_poll())
			return -EAGAIN;
		int err = m->flags & MSG_DONTWAIT ? 0 : socket_wait(s, s->receive_timeout, &start);
		if (err < 0)
			return err;
	}
	struct packet *packet = r->queue.first;
	int64_t n = MIN(packet->pbuf->tot_len, m->left);
	if (inet_copy_out(m, packet->pbuf, 0, n) < n)
		return -EFAULT;
	if (m->name)
		m->name_len = inet_to_user(s, m->name, &packet->from, 0);
	if (n < packet->pbuf->tot_len) {
		m->out_flags |= MSG_TRUNC;
		n = m->flags & MSG_TRUNC ? packet->pbuf->tot_len : n;
	}
	inet_put_control(s, m, packet);
	if (!(m->flags & MSG_PEEK))
		packet_pop(&r->queue);
	return n;
}

static uint32_t raw_poll_socket(struct socket *s)
{
	return EPOLLOUT | EPOLLWRNORM | (of(s)->queue.first ? EPOLLIN | EPOLLRDNORM : 0);
}

static int raw_name_socket(struct socket *s, union address *addr, bool peer)
{
	struct raw_socket *r = of(s);
	if (peer)
		return r->connected ? inet_to_user(s, addr, &r->pcb->remote_ip, 0) : -ENOTCONN;
	return inet_to_user(s, addr, &r->pcb->local_ip, is_ping(r) ? __builtin_bswap16(r->id) : 0);
}

/* ICMP_FILTER is one word, ICMP6_FILTER eight. */
static bool has_filter(const struct raw_socket *r, int level, int option)
{
	int icmp = r->s.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	return r->s.type == SOCK_RAW && r->s.protocol == icmp && option == 1 && level == (r->s.family == AF_INET ? SOL_RAW : IPPROTO_ICMPV6);
}

static uint32_t filter_size(const struct raw_socket *r)
{
	return r->s.family == AF_INET ? sizeof(r->filter[0]) : sizeof(r->filter);
}

static int set_raw(struct raw_socket *r, int level, int option, const void *value, uint32_t len)
{
	int offset;
	if (has_filter(r, level, option)) {
		memcpy(r->filter, value, MIN(len, filter_size(r)));
		return 0;
	}
	if (r->s.family != AF_INET6 || level != SOL_RAW || option != IPV6_CHECKSUM)
		return -ENOPROTOOPT;
	if (len < sizeof(offset))
		return -EINVAL;
	memcpy(&offset, value, sizeof(offset));
	if (offset > 0 && offset & 1)
		return -EINVAL;
	r->pcb->chksum_reqd = offset >= 0;
	r->pcb->chksum_offset = MAX(offset, 0);
	return 0;
}

static struct inet_fields fields_of(struct raw_pcb *pcb)
{
	return (struct inet_fields){ .tos = &pcb->tos, .ttl = &pcb->ttl, .multicast_ttl = &pcb->mcast_ttl };
}

static int raw_setopt(struct socket *s, int level, int option, const void *value, uint32_t len)
{
	if (level == SOL_RAW || level == IPPROTO_ICMPV6)
		return set_raw(of(s), level, option, value, len);
	const struct inet_fields field = fields_of(of(s)->pcb);
	return inet_setopt(s, level, option, value, len, &field);
}

static int raw_getopt(struct socket *s, int level, int option, void *value, uint32_t *len)
{
	struct raw_socket *r = of(s);
	if (has_filter(r, level, option)) {
		*len = MIN(*len, filter_size(r));
		memcpy(value, r->filter, *len);
		return 0;
	}
	const struct inet_fields field = fields_of(r->pcb);
	return inet_getopt(s, level, option, value, len, &field);
}

static int64_t raw_readable_socket(struct socket *s)
{
	return of(s)->queue.first ? of(s)->queue.first->pbuf->tot_len : 0;
}

static void raw_close_socket(struct socket *s)
{
	raw_remove(of(s)->pcb);
	packet_clear(&of(s)->queue);
	kfree(s);
}

static const struct proto raw_proto = {
	.bind = raw_bind_socket, .connect = raw_connect_socket, .send = raw_send_socket, .receive = raw_receive_socket,
	.poll = raw_poll_socket, .name = raw_name_socket, .setopt = raw_setopt, .getopt = raw_getopt,
	.readable = raw_readable_socket, .close = raw_close_socket,
};

struct socket *raw_socket_new(int family, int type, int protocol)
{
	struct raw_socket *r = (struct raw_socket *)socket_alloc(sizeof(*r), &raw_proto, family, type, protocol);
	struct raw_pcb *pcb = r ? raw_new_ip_type(family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6, protocol) : NULL;
	if (!pcb) {
		kfree(r);
		return NULL;
	}
	r->pcb = pcb;
	r->id = net_random();
	if (family == AF_INET6 && protocol == IPPROTO_ICMPV6) {
		pcb->chksum_reqd = 1;
		pcb->chksum_offset = 2;
	}
	raw_recv(pcb, on_receive, r);
	return &r->s;
}
