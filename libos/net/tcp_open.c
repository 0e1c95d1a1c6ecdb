/* SPDX-License-Identifier: Apache-2.0 */
/* How a TCP socket gets its connection: bind, listen, accept, connect. */
#include "libos/net/inet.h"
#include "libos/net/net.h"
#include "libos/net/ports.h"
#include "libos/net/syn_hold.h"
#include "libos/net/tcp_socket.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#define MAX_BACKLOG 4096 /* net.core.somaxconn */
#define MAX_HALF_OPEN 255 /* connections whose handshake is not over; lwIP counts them in a byte */

static struct tcp_socket *of(struct socket *s)
{
	return (struct tcp_socket *)s;
}

/* ---- accepting ---- */

static void offer(struct tcp_socket *listener, struct tcp_socket *t)
{
	if (listener->accept_first)
		listener->accept_last->accept_next = t;
	else
		listener->accept_first = t;
	listener->accept_last = t;
	wake_all(&listener->s.wait, EPOLLIN | EPOLLRDNORM);
}

static void defer(struct tcp_socket *listener, struct tcp_socket *t)
{
	t->deferred_to = listener;
	t->deferred_until = clock_monotonic() + listener->o.defer_accept * NS_PER_S;
	t->accept_next = listener->deferred;
	listener->deferred = t;
}

void tcp_offer(struct tcp_socket *t)
{
	struct tcp_socket *listener = t->deferred_to, **at = &listener->deferred;
	while (*at != t)
		at = &(*at)->accept_next;
	*at = t->accept_next;
	t->accept_next = NULL;
	t->deferred_to = NULL;
	offer(listener, t);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	if (!arg || !pcb || err != ERR_OK)
		return ERR_VAL;
	struct tcp_socket *listener = ports_listener(arg, &pcb->remote_ip, pcb->remote_port);
	struct tcp_socket *t = tcp_socket_alloc(listener->s.family);
	if (!t)
		return ERR_MEM; /* lwIP resets the connection */
	socket_inherit(&t->s, &listener->s);
	t->o = listener->o;
	t->state = TCP_CONNECTED;
	tcp_socket_attach(t, pcb);
	tcp_socket_apply(t);
	tcp_socket_note_names(t);
	tcp_segment_start(pcb, t);
	listener->accept_waiting++;
	if (listener->o.defer_accept)
		defer(listener, t);
	else
		offer(listener, t);
	return ERR_OK;
}

int tcp_bind_socket(struct socket *s, const union address *addr, uint32_t len)
{
	struct tcp_socket *t = of(s);
	ip_addr_t ip;
	uint16_t port;
	int err = inet_bind_address(s, addr, len, &ip, &port);
	if (err < 0)
		return err;
	if (!t->pcb || t->state != TCP_NEW || t->pcb->local_port)
		return -EINVAL;
	t->keeps_port = port != 0;
	return ports_bind_tcp(t->pcb, &ip, port);
}

int tcp_listen_socket(struct socket *s, int backlog)
{
	struct tcp_socket *t = of(s);
	t->backlog = MIN((unsigned)backlog, MAX_BACKLOG); /* -1: as many as may be */
	if (t->state == TCP_LISTENING)
		return 0;
	if (t->state != TCP_NEW || !t->pcb)
		return -EINVAL;
	if (!t->pcb->local_port) {
		ip_addr_t any = { 0 };
		IP_SET_TYPE_VAL(any, inet_ip_type(s));
		int result = ports_bind_tcp(t->pcb, &any, 0);
		if (result < 0)
			return result;
	}
	int result = ports_listen(t);
	if (result < 0)
		return result;
	net_busy();
	t->pcb->so_options &= ~SOF_REUSEADDR; /* or lwIP refuses the second of those that share a port */
	err_t err;
	struct tcp_pcb *pcb = tcp_listen_with_backlog_and_err(t->pcb, MAX_HALF_OPEN, &err);
	if (!pcb) {
		ports_listen_end(t);
		tcp_socket_apply(t);
		return inet_error(err);
	}
	pcb->so_options |= SOF_REUSEADDR;
	t->pcb = pcb;
	t->state = TCP_LISTENING;
	s->accepting = true;
	tcp_arg(pcb, t);
	tcp_accept(pcb, on_accept);
	tcp_socket_note_names(t);
	ledger_listens(pcb->local_port);
	syn_hold_end(pcb->local_port);
	return 0;
}

int tcp_stop_listening(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(inet_ip_type(&t->s)), *old = t->pcb;
	if (!pcb)
		return -ENOBUFS;
	net_busy();
	ports_listen_end(t);
	tcp_socket_drop_waiting(t);
	tcp_socket_detach(t);
	tcp_close(old);
	t->state = TCP_NEW;
	t->s.accepting = false;
	tcp_socket_attach(t, pcb);
	tcp_socket_apply(t);
	if (t->keeps_port)
		ports_bind_tcp(pcb, &t->local_ip, t->local_port); /* it was this socket's until now */
	wake_all(&t->s.wait, EPOLLIN | EPOLLHUP); /* accept() answers EINVAL */
	return 0;
}

int tcp_accept_socket(struct socket *s, struct socket **child, bool nonblock)
{
	struct tcp_socket *t = of(s);
	uint64_t start = 0;
	while (!t->accept_first) {
		if (t->state != TCP_LISTENING)
			return -EINVAL;
		if (nonblock && !net_poll())
			return -EAGAIN;
		int err = nonblock ? 0 : socket_wait(s, s->receive_timeout, &start);
		if (err < 0)
			return err;
	}
	struct tcp_socket *first = t->accept_first;
	t->accept_first = first->accept_next;
	first->accept_next = NULL;
	t->accept_waiting--;
	*child = &first->s;
	return 0;
}

/* ---- connecting ---- */

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct tcp_socket *t = arg;
	t->state = TCP_CONNECTED;
	tcp_rtt_sample(t, t->last_progress);
	tcp_socket_note_names(t);
	tcp_segment_start(pcb, t);
	wake_all(&t->s.wait, EPOLLOUT | EPOLLWRNORM);
	return ERR_OK;
}

static int start_connect(struct tcp_socket *t, const ip_addr_t *ip, uint16_t port)
{
	ip_addr_t local, any = { 0 };
	int result = inet_route(&t->s, ip, &local);
	if (result < 0)
		return result;
	if (!t->pcb->local_port) {
		IP_SET_TYPE_VAL(any, IP_GET_TYPE(ip));
		result = ports_bind_tcp(t->pcb, &any, 0);
		if (result < 0)
			return result;
	}
	/* Of itself it is refused, where Linux opens from both sides at once: lwIP, which does not, would ask until its patience ends. */
	if (!ip_addr_isany(&t->pcb->local_ip))
		local = t->pcb->local_ip;
	if (port == t->pcb->local_port && ip_addr_cmp_zoneless(&local, ip))
		return -ECONNREFUSED;
	t->state = TCP_CONNECTING;
	t->last_progress = clock_monotonic();
	err_t err = tcp_connect(t->pcb, ip, port, on_connected);
	if (err != ERR_OK) {
		t->state = TCP_NEW;
		return err == ERR_USE ? -EADDRNOTAVAIL : inet_error(err);
	}
	tcp_socket_note_names(t);
	return 0;
}

/* After a failed attempt, or the end of a connection, a socket may try again. */
static int renew_pcb(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = t->pcb ? NULL : tcp_new_ip_type(inet_ip_type(&t->s));
	if (!pcb)
		return t->pcb ? -EINVAL : -ENOBUFS;
	tcp_socket_attach(t, pcb);
	tcp_socket_apply(t);
	t->state = TCP_NEW;
	t->eof = t->fin = t->s.shut_read = t->s.shut_write = t->in_progress = false;
	if (t->keeps_port)
		ports_bind_tcp(pcb, &t->local_ip, t->local_port); /* it was this socket's until now */
	return 0;
}

static int finish_connect(struct tcp_socket *t)
{
	uint64_t start = 0;
	while (t->state == TCP_CONNECTING) {
		int err = socket_wait(&t->s, t->s.send_timeout, &start);
		if (err < 0)
			return err == -EAGAIN ? -EINPROGRESS : err;
	}
	t->in_progress = false;
	if (t->state == TCP_CONNECTED)
		return 0;
	int err = t->s.error ? socket_take_error(&t->s) : -ECONNABORTED;
	renew_pcb(t);
	return err;
}

int tcp_disconnect_socket(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = t->pcb;
	bool alive = pcb && (t->state == TCP_CONNECTED || t->state == TCP_CONNECTING);
	if (t->state == TCP_LISTENING)
		return tcp_stop_listening(t);
	if (t->state == TCP_NEW)
		return 0;
	net_busy();
	tcp_socket_detach(t);
	if (pcb)
		tcp_abort(pcb);
	packet_clear(&t->queue);
	t->offset = 0;
	int err = renew_pcb(t);
	t->s.error = alive ? ECONNRESET : 0;
	net_deliver();
	wake_all(&t->s.wait, EPOLLOUT | EPOLLHUP | EPOLLERR);
	return err;
}

int tcp_connect_socket(struct socket *s, const union address *addr, uint32_t len, bool nonblock)
{
	struct tcp_socket *t = of(s);
	ip_addr_t ip;
	uint16_t port;
	if (len >= sizeof(addr->any.family) && addr->any.family == AF_UNSPEC)
		return tcp_disconnect_socket(t);
	if (t->state == TCP_CONNECTING)
		return nonblock ? -EALREADY : finish_connect(t);
	if (t->in_progress)
		return finish_connect(t);
	if (t->state == TCP_CONNECTED || t->state == TCP_LISTENING)
		return -EISCONN;
	int err = inet_from_user(s, addr, len, &ip, &port);
	if (err == 0 && t->state == TCP_DEAD)
		err = socket_take_error(s) ?: renew_pcb(t);
	if (err < 0)
		return err;
	s->error = 0; /* of a connection that was given up: a new one begins */
	if (ip_addr_isany(&ip)) /* the host itself, as on Linux */
		ip = IP_IS_V4(&ip) ? (ip_addr_t)IPADDR4_INIT(PP_HTONL(IPADDR_LOOPBACK)) : (ip_addr_t)IPADDR6_INIT(0, 0, 0, PP_HTONL(1));
	if (ip_addr_ismulticast(&ip) || (IP_IS_V4(&ip) && ip4_addr_get_u32(ip_2_ip4(&ip)) == IPADDR_BROADCAST))
		return -ENETUNREACH;
	net_busy();
	err = start_connect(t, &ip, port);
	if (err < 0)
		return err;
	t->in_progress = true;
	net_deliver(); /* as on Linux it is said to be in progress, even when it has ended by now */
	return nonblock ? -EINPROGRESS : finish_connect(t);
}

/* ---- names ---- */

int tcp_name_socket(struct socket *s, union address *addr, bool peer)
{
	struct tcp_socket *t = of(s);
	tcp_socket_note_names(t);
	if (peer && (t->state != TCP_CONNECTED || tcp_has_ended(t)))
		return -ENOTCONN;
	if (peer)
		return inet_to_user(s, addr, &t->remote_ip, t->remote_port);
	return inet_to_user(s, addr, &t->local_ip, t->local_port);
}
