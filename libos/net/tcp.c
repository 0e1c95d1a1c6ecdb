/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP sockets on lwIP's callbacks. lwIP frees a pcb on its own when a connection has ended both ways, so a socket lets
 * go of its pcb at every such point: s->pcb is either NULL or valid.
 */
#include "libos/mm/mm.h"
#include "libos/net/inet.h"
#include "libos/net/inet_socket.h"
#include "libos/net/net.h"
#include "libos/net/ports.h"
#include "libos/net/tcp_socket.h"
#include "libos/net/tcp_urgent.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#define QUICK_ACK 2920  /* bytes */
#define QUICK_ACKS 16   /* segments at the start of a connection, and after a pause */
#define QUICK_AGAIN NS_PER_S
#define SEND_SIZE 16384 /* net.ipv4.tcp_wmem and tcp_rmem, as they are where nothing was set */
#define RECEIVE_SIZE 131072
#define ANSWER_WITHIN 40000000 /* ns */

static struct tcp_socket *of(struct socket *s)
{
	return (struct tcp_socket *)s;
}

static void wake(struct tcp_socket *t, uint32_t events)
{
	wake_all(&t->s.wait, events);
}

/* ---- what lwIP reports ---- */

void tcp_socket_note_names(struct tcp_socket *t)
{
	if (!t->pcb)
		return;
	t->local_ip = t->pcb->local_ip;
	t->local_port = t->pcb->local_port;
	if (t->state == TCP_LISTENING)
		return;
	t->remote_ip = t->pcb->remote_ip;
	t->remote_port = t->pcb->remote_port;
}

void tcp_socket_detach(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = t->pcb;
	if (!pcb)
		return;
	tcp_socket_note_names(t);
	t->pcb = NULL;
	tcp_arg(pcb, NULL);
	if (pcb->state == LISTEN) {
		tcp_accept(pcb, NULL);
		return;
	}
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
}

/*
 * Which segments are acknowledged at once. A sender that waits for it (Nagle's algorithm, a first window of few
 * segments) must not wait for the timer, so the first ones are, unless the program answers soon anyway. Two segments'
 * worth always is; lwIP counts packets, and a sender may wait after one.
 */
static void acknowledge(struct tcp_socket *t, struct tcp_pcb *pcb, size_t size)
{
	uint64_t now = clock_monotonic();
	if (now - t->last_receive > QUICK_AGAIN)
		t->quick_acks = QUICK_ACKS;
	t->last_receive = now;
	bool quick = t->quick_acks && !t->answers;
	if (t->quick_acks)
		t->quick_acks--;
	if (size >= QUICK_ACK || quick)
		tcp_ack_now(pcb);
}

void tcp_ack_quickly(struct tcp_socket *t)
{
	t->quick_acks = QUICK_ACKS;
	if (!t->pcb || t->state != TCP_CONNECTED || !(t->pcb->flags & TF_ACK_DELAY))
		return;
	tcp_ack_now(t->pcb);
	tcp_output(t->pcb);
	net_deliver();
}

static err_t on_receive(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct tcp_socket *t = arg;
	if (t->deferred_to)
		tcp_offer(t);
	if (!p) {
		t->eof = t->fin = true;
		/* Both directions have ended: the pcb passes through TIME-WAIT and is freed without a word. */
		if (t->s.shut_write)
			tcp_socket_detach(t);
		wake(t, EPOLLIN | EPOLLRDHUP | (t->s.shut_write ? EPOLLHUP : 0));
		return ERR_OK;
	}
	if (t->s.shut_read && t->s.shut_write) { /* nobody will read it */
		tcp_recved(pcb, p->tot_len);
		pbuf_free(p);
		return ERR_OK;
	}
	size_t size = p->tot_len;
	if (!packet_push(&t->queue, p, NULL, 0))
		return ERR_MEM; /* lwIP offers it again */
	t->queue.last->time = t->s.stamp_option ? clock_realtime() : 0;
	t->queued += size;
	tcp_urgent_queued(t);
	acknowledge(t, pcb, size);
	wake(t, EPOLLIN | EPOLLRDNORM);
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct tcp_socket *t = arg;
	if (t->o.user_timeout)
		t->last_progress = clock_monotonic();
	tcp_rtt_acked(t);
	if (tcp_has_room(t))
		wake(t, EPOLLOUT | EPOLLWRNORM);
	return ERR_OK;
}

/* The pcb is gone already. */
static void on_error(void *arg, err_t err)
{
	struct tcp_socket *t = arg;
	if (!t)
		return;
	if (t->deferred_to)
		tcp_offer(t);
	bool connecting = t->state == TCP_CONNECTING;
	t->pcb = NULL;
	t->state = TCP_DEAD;
	t->eof = true;
	if (err == ERR_RST)
		t->s.error = connecting ? ECONNREFUSED : t->fin ? EPIPE : ECONNRESET;
	else if (err != ERR_CLSD)
		t->s.error = t->connect_error ? t->connect_error : ETIMEDOUT;
	t->connect_error = 0;
	wake(t, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
}

static bool is_within(const struct tcp_pcb *pcb)
{
	return ip_addr_isloopback(&pcb->remote_ip) || ip_addr_cmp_zoneless(&pcb->local_ip, &pcb->remote_ip);
}

static bool reset_one_of(struct tcp_pcb *pcb, bool tell)
{
	while (pcb && is_within(pcb))
		pcb = pcb->next;
	if (!pcb)
		return false;
	if (pcb->errf == on_error && pcb->callback_arg)
		((struct tcp_socket *)pcb->callback_arg)->connect_error = ECONNRESET;
	tcp_abandon(pcb, tell);
	return true;
}

void tcp_reset_connections(bool tell)
{
	while (reset_one_of(tcp_active_pcbs, tell) || reset_one_of(tcp_tw_pcbs, false))
		;
}

void tcp_socket_attach(struct tcp_socket *t, struct tcp_pcb *pcb)
{
	t->pcb = pcb;
	tcp_arg(pcb, t);
	tcp_recv(pcb, on_receive);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
}

/* lwIP's own Nagle algorithm serves to keep the last, incomplete segment of corked data; push_out has the real one. */
static void hold_tail(struct tcp_pcb *pcb, bool hold)
{
	if (hold)
		tcp_nagle_enable(pcb);
	else
		tcp_nagle_disable(pcb);
}

void tcp_socket_apply(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = t->pcb;
	if (!pcb)
		return;
	pcb->so_options = ports_options(&t->s) | (t->s.keepalive ? SOF_KEEPALIVE : 0);
	pcb->tos = t->o.tos;
	pcb->ttl = t->o.ttl;
	if (pcb->state == LISTEN)
		return;
	pcb->keep_idle = t->o.keep_idle * 1000;
	pcb->keep_intvl = t->o.keep_interval * 1000;
	pcb->keep_cnt = t->o.keep_count;
	hold_tail(pcb, t->cork);
	if (pcb->state == CLOSED && ip_addr_isany(&pcb->local_ip))
		IP_SET_TYPE_VAL(pcb->local_ip, inet_ip_type(&t->s));
	net_busy(); /* the timers may have a keep-alive to send now */
}

static void option_changed(struct socket *s)
{
	tcp_socket_apply(of(s));
}

struct tcp_socket *tcp_socket_alloc(int family)
{
	struct tcp_socket *t = (struct tcp_socket *)socket_alloc(sizeof(*t), &tcp_proto, family, SOCK_STREAM, IPPROTO_TCP);
	if (!t)
		return NULL;
	t->o.ttl = TCP_TTL;
	t->s.send_size = SEND_SIZE;
	t->s.receive_size = RECEIVE_SIZE;
	t->quick_acks = QUICK_ACKS;
	t->o.keep_idle = 7200;
	t->o.keep_interval = 75;
	t->o.keep_count = 9;
	return t;
}

struct socket *tcp_socket_new(int family)
{
	struct tcp_socket *t = tcp_socket_alloc(family);
	struct tcp_pcb *pcb = t ? tcp_new_ip_type(inet_ip_type(&t->s)) : NULL;
	if (!pcb) {
		kfree(t);
		return NULL;
	}
	tcp_socket_attach(t, pcb);
	tcp_socket_apply(t);
	return &t->s;
}

/* ---- moving bytes ---- */

static int64_t cannot_send(struct tcp_socket *t, struct message *m)
{
	int err = socket_take_error(&t->s);
	if (err && err != -EPIPE)
		return err;
	if (t->state == TCP_CONNECTING)
		return -EAGAIN;
	return socket_broken_pipe(m);
}

static bool can_send(const struct tcp_socket *t)
{
	return t->pcb && t->state == TCP_CONNECTED && !t->s.shut_write;
}

/* Gives lwIP as much as it takes now; the number of bytes, 0: full, or -EFAULT. */
static int64_t push(struct tcp_socket *t, struct message *m)
{
	int64_t done = 0;
	tcp_segment_adapt(t->pcb, t);
	if (t->o.user_timeout && !t->pcb->unacked && !t->pcb->unsent)
		t->last_progress = clock_monotonic();
	while (m->left && tcp_send_room(t) && t->pcb->snd_queuelen < TCP_SND_QUEUELEN - 64) {
		size_t n, most = 0xffff - 0xffff % t->pcb->mss;
		const void *from = message_borrow(m, MIN(tcp_send_room(t), most), &n);
		if (!from)
			return done ? done : -EFAULT;
		uint8_t more = n < m->left || (m->flags & MSG_MORE) || t->cork ? TCP_WRITE_FLAG_MORE : 0;
		if (tcp_write(t->pcb, from, n, TCP_WRITE_FLAG_COPY | more) != ERR_OK)
			break;
		message_advance(m, n);
		done += n;
	}
	if (done)
		tcp_rtt_start(t);
	return done;
}

/*
 * Sends what may be sent now. Corked data goes out in full segments. Nagle's algorithm as Minshall refined it: a small
 * segment waits only while another small one is unacknowledged; lwIP sends what waits when an acknowledgement comes.
 */
static void push_out(struct tcp_socket *t, const struct message *m)
{
	struct tcp_pcb *pcb = t->pcb;
	struct tcp_seg *unsent = pcb->unsent;
	bool more = t->cork || (m->flags & MSG_MORE), small = unsent && !unsent->next && unsent->len < t->wire_mss;
	hold_tail(pcb, more);
	if (small && !(m->flags & MSG_OOB) && (more || (!t->o.nodelay && TCP_SEQ_LT(pcb->lastack, t->small_end))))
		return;
	if (small)
		t->small_end = pcb->snd_lbb;
	tcp_output(pcb);
}

static int64_t tcp_send_socket(struct socket *s, struct message *m)
{
	struct tcp_socket *t = of(s);
	uint64_t start = 0;
	int64_t done = 0, result = 0;
	net_busy();
	t->answers |= t->last_receive && clock_monotonic() - t->last_receive < ANSWER_WITHIN;
	while (t->state == TCP_CONNECTING && !(m->flags & MSG_DONTWAIT) && result == 0)
		result = socket_wait(s, s->send_timeout, &start);
	if (result < 0)
		return result;
	for (;;) {
		if (!can_send(t))
			return done ? done : cannot_send(t, m);
		result = push(t, m);
		if (result < 0)
			return done ? done : result;
		done += result;
		if (m->flags & MSG_OOB && result && !m->left)
			tcp_urgent_mark(t);
		push_out(t, m);
		net_deliver();
		if (!m->left)
			return done;
		if (m->flags & MSG_DONTWAIT)
			return done ? done : -EAGAIN;
		while (can_send(t) && !tcp_has_room(t))
			if ((result = socket_wait(s, s->send_timeout, &start)) < 0)
				return done ? done : result;
		net_busy();
	}
}

static void window_open(struct tcp_socket *t, size_t n)
{
	net_busy();
	while (n && t->pcb) {
		uint16_t piece = MIN(n, 0xffff);
		tcp_recved(t->pcb, piece);
		n -= piece;
	}
	/* All was read, and the program is not known for answers that would carry the acknowledgement. */
	if (t->pcb && !t->queue.first && !t->answers && t->pcb->flags & TF_ACK_DELAY) {
		tcp_ack_now(t->pcb);
		tcp_output(t->pcb);
	}
	net_deliver();
}

void tcp_drop_byte(struct tcp_socket *t)
{
	if (++t->offset == t->queue.first->pbuf->tot_len) {
		t->offset = 0;
		packet_pop(&t->queue);
	}
	tcp_urgent_passed(t);
}

/* Copies what is queued before the mark of urgent data; with MSG_PEEK it stays queued. */
static int64_t pull(struct tcp_socket *t, struct message *m)
{
	int64_t done = 0;
	size_t offset = t->offset, most = tcp_urgent_before(t);
	for (struct packet *packet = t->queue.first; packet && m->left && (size_t)done < most;) {
		t->read_time = packet->time;
		size_t n = MIN(packet->pbuf->tot_len - offset, MIN(m->left, most - done));
		int64_t copied = m->flags & MSG_TRUNC ? (m->left -= n, (int64_t)n) : inet_copy_out(m, packet->pbuf, offset, n);
		if (copied < 0)
			return done ? done : copied;
		done += copied;
		offset += copied;
		if (offset < packet->pbuf->tot_len)
			break;
		offset = 0;
		packet = packet->next;
		if (!(m->flags & MSG_PEEK))
			packet_pop(&t->queue);
	}
	if (m->flags & MSG_PEEK)
		return done;
	t->offset = offset;
	tcp_urgent_passed(t);
	window_open(t, done);
	return done;
}

/* No more than the window lets a peer send before something is read. */
static size_t low_water(const struct tcp_socket *t)
{
	return MIN(t->s.low_water, (int)(TCP_WND / 2));
}

static int64_t nothing_to_read(struct tcp_socket *t)
{
	if (t->fin) /* all there was; what happened since then is who sends to hear */
		return 0;
	if (t->s.error)
		return socket_take_error(&t->s);
	if (t->eof || t->s.shut_read)
		return 0;
	if (t->state == TCP_NEW || t->state == TCP_LISTENING)
		return -ENOTCONN;
	return -EAGAIN;
}

static int64_t receive(struct tcp_socket *t, struct message *m)
{
	struct socket *s = &t->s;
	uint64_t start = 0;
	int64_t done = 0;
	bool whole = (m->flags & MSG_WAITALL) && !(m->flags & (MSG_DONTWAIT | MSG_PEEK));
	int64_t enough = whole ? m->left : MIN(low_water(t), m->left);
	m->name_len = 0;
	for (;;) {
		if (done && tcp_urgent_at_mark(t))
			return done;
		if (t->queue.first && tcp_urgent_skips(t)) {
			tcp_drop_byte(t);
			window_open(t, 1);
		}
		int64_t result = t->queue.first ? pull(t, m) : 0;
		if (result < 0)
			return done ? done : result;
		done += result;
		if ((done && (done >= enough || m->flags & MSG_PEEK)) || (!m->left && (done || t->queue.first))) /* no bytes wanted: when there are some */
			return done;
		result = nothing_to_read(t);
		if (result == -EAGAIN && (m->flags & MSG_DONTWAIT) && net_poll())
			continue;
		if (result == -EAGAIN && !(m->flags & MSG_DONTWAIT))
			result = socket_wait(s, s->receive_timeout, &start) ?: 1;
		if (result <= 0)
			return done ? done : result;
	}
}

static int64_t tcp_receive_socket(struct socket *s, struct message *m)
{
	struct tcp_socket *t = of(s);
	if (m->flags & MSG_OOB)
		return tcp_urgent_receive(t, m);
	int64_t n = receive(t, m);
	if (n > 0 && t->read_time)
		socket_put_stamp(s, m, t->read_time);
	return n;
}

static uint32_t tcp_poll_socket(struct socket *s)
{
	struct tcp_socket *t = of(s);
	if (t->state == TCP_LISTENING)
		return t->accept_first ? EPOLLIN | EPOLLRDNORM : 0;
	uint32_t events = 0;
	if ((t->queue.first && t->queue.bytes - t->offset >= low_water(t) + tcp_urgent_skips(t)) || t->eof || s->shut_read)
		events |= EPOLLIN | EPOLLRDNORM;
	if (tcp_urgent_is_there(t))
		events |= EPOLLPRI;
	if (t->eof || s->shut_read)
		events |= EPOLLRDHUP;
	if (t->state == TCP_NEW || t->state == TCP_DEAD || ((t->eof || s->shut_read) && s->shut_write))
		events |= EPOLLHUP;
	if (t->state == TCP_NEW || t->state == TCP_DEAD || s->shut_write || (t->state == TCP_CONNECTED && (!t->pcb || tcp_has_room(t))))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

/* ---- ending ---- */

static int tcp_shutdown_socket(struct socket *s, int how)
{
	struct tcp_socket *t = of(s);
	if (t->state == TCP_LISTENING)
		return how == SHUT_WR ? 0 : tcp_stop_listening(t);
	if (t->state == TCP_CONNECTING)
		return tcp_disconnect_socket(t);
	if (t->state != TCP_CONNECTED || tcp_has_ended(t))
		return -ENOTCONN;
	net_busy();
	if (how != SHUT_WR)
		s->shut_read = true;
	if (how != SHUT_RD && !s->shut_write) {
		s->shut_write = true;
		if (t->pcb)
			tcp_shutdown(t->pcb, 0, 1);
		if (t->eof)
			tcp_socket_detach(t);
		net_deliver();
	}
	wake(t, EPOLLIN | EPOLLOUT | EPOLLRDHUP | (s->shut_write && (t->eof || s->shut_read) ? EPOLLHUP : 0));
	return 0;
}

static void drop(struct tcp_socket *t)
{
	struct tcp_pcb *pcb = t->pcb;
	tcp_socket_detach(t);
	if (pcb && pcb->state != LISTEN)
		tcp_abort(pcb);
	packet_clear(&t->queue);
	kfree(t);
	net_deliver();
}

void tcp_socket_drop_waiting(struct tcp_socket *t)
{
	while (t->deferred)
		tcp_offer(t->deferred);
	while (t->accept_first) {
		struct tcp_socket *child = t->accept_first;
		t->accept_first = child->accept_next;
		t->accept_waiting--;
		drop(child);
	}
}

/* SO_LINGER: close() takes until the peer has all, or until the time is over; what is left then is still sent. */
static void linger(struct tcp_socket *t)
{
	uint64_t end = clock_monotonic() + t->s.linger_seconds * NS_PER_S;
	t->cork = false;
	tcp_socket_changed(t);
	while (t->pcb && (t->pcb->unsent || t->pcb->unacked))
		if (wait_on(&t->s.wait, end))
			return;
}

static void tcp_close_socket(struct socket *s)
{
	struct tcp_socket *t = of(s);
	net_busy();
	if (t->state == TCP_LISTENING)
		ports_listen_end(t);
	tcp_socket_drop_waiting(t);
	if (s->linger_on && s->linger_seconds > 0 && t->state == TCP_CONNECTED)
		linger(t);
	struct tcp_pcb *pcb = t->pcb;
	if (pcb && s->linger_on && s->linger_seconds == 0 && pcb->state != LISTEN) {
		drop(t);
		return;
	}
	bool unread = t->queue.first != NULL;
	tcp_socket_detach(t);
	packet_clear(&t->queue);
	/* Unread data makes lwIP send a reset, as Linux does, also when this side was shut down before. */
	if (pcb && unread && (pcb->state == FIN_WAIT_1 || pcb->state == FIN_WAIT_2))
		tcp_abort(pcb);
	else if (pcb)
		tcp_close(pcb);
	kfree(t);
	net_deliver();
}

static int64_t tcp_readable_socket(struct socket *s)
{
	if (of(s)->state == TCP_LISTENING)
		return -EINVAL;
	return MIN(of(s)->queue.bytes - of(s)->offset, tcp_urgent_before(of(s)) ?: SIZE_MAX);
}

static int tcp_at_mark_socket(struct socket *s)
{
	return tcp_urgent_at_mark(of(s));
}

static int64_t tcp_unsent_socket(struct socket *s)
{
	const struct tcp_socket *t = of(s);
	if (t->state == TCP_LISTENING)
		return -EINVAL;
	return t->pcb && t->state == TCP_CONNECTED ? t->pcb->snd_lbb - t->pcb->lastack : 0;
}

void tcp_socket_changed(struct tcp_socket *t)
{
	tcp_socket_apply(t);
	if (!t->cork && can_send(t) && t->pcb->unsent)
		tcp_output(t->pcb);
	net_deliver();
}

const struct proto tcp_proto = {
	.bind = tcp_bind_socket, .connect = tcp_connect_socket, .listen = tcp_listen_socket, .accept = tcp_accept_socket,
	.send = tcp_send_socket, .receive = tcp_receive_socket, .poll = tcp_poll_socket, .shutdown = tcp_shutdown_socket,
	.name = tcp_name_socket, .setopt = tcp_setopt, .getopt = tcp_getopt, .option_changed = option_changed,
	.readable = tcp_readable_socket, .unsent = tcp_unsent_socket, .at_mark = tcp_at_mark_socket, .close = tcp_close_socket,
};
