/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/net/tcp_urgent.h"

#include "libos/net/hooks.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/tcp.h"
#include "lwip/tcp.h"

/* Positions in the stream that was received, modulo 2^32: of the next byte to be read, and of the one behind the queue. */
static uint32_t read_position(const struct tcp_socket *t)
{
	return t->queued - (uint32_t)(t->queue.bytes - t->offset);
}

/* ---- sending ---- */

void tcp_urgent_mark(struct tcp_socket *t)
{
	t->urgent.sends = true;
	t->urgent.send_end = t->pcb->snd_lbb;
}

uint32_t *net_tcp_output(struct tcp_hdr *header, const struct tcp_pcb *pcb, uint32_t *options)
{
	const struct tcp_socket *t = pcb ? pcb->callback_arg : NULL;
	if (!t || pcb->state == SYN_RCVD || t->pcb != pcb || !t->urgent.sends) /* before it is accepted, the listener stands there */
		return options;
	uint32_t from = lwip_ntohl(header->seqno);
	if (TCP_SEQ_LT(from, t->urgent.send_end) && t->urgent.send_end - from <= 0xffff) {
		TCPH_SET_FLAG(header, TCP_URG);
		header->urgp = lwip_htons(t->urgent.send_end - from);
	}
	return options;
}

/* ---- receiving ---- */

bool tcp_urgent_at_mark(const struct tcp_socket *t)
{
	return t->urgent.state && t->urgent.at == read_position(t);
}

bool tcp_urgent_skips(const struct tcp_socket *t)
{
	return tcp_urgent_at_mark(t) && !t->s.oob_inline;
}

bool tcp_urgent_is_there(const struct tcp_socket *t)
{
	return t->urgent.state == URGENT_THERE;
}

void tcp_urgent_announced(struct tcp_socket *t, const struct tcp_hdr *header)
{
	if (!(TCPH_FLAGS(header) & TCP_URG) || !header->urgp)
		return;
	/* The pointer is behind the byte (RFC 793's text; Linux and BSD keep to that), and header->seqno is in host order here. */
	uint32_t ahead = header->seqno + lwip_ntohs(header->urgp) - 1 - t->pcb->rcv_nxt;
	uint32_t at = t->queued + (t->pcb->refused_data ? t->pcb->refused_data->tot_len : 0) + ahead;
	if ((int32_t)ahead < 0 || (t->urgent.state && (int32_t)(at - t->urgent.at) <= 0))
		return;
	if (tcp_urgent_skips(t) && t->queue.first) { /* nobody asked for the one before: it is lost */
		tcp_drop_byte(t);
		tcp_recved(t->pcb, 1); /* and no more: lwIP is about to take the segment, and nothing else may come in before */
	}
	t->urgent.state = URGENT_COMES;
	t->urgent.at = at;
	if (t->s.file)
		file_urgent(t->s.file);
}

void tcp_urgent_queued(struct tcp_socket *t)
{
	struct pbuf *p = t->queue.last->pbuf;
	uint32_t start = t->queued - p->tot_len, offset = t->urgent.at - start;
	if (t->urgent.state != URGENT_COMES || offset >= p->tot_len)
		return;
	t->urgent.byte = pbuf_get_at(p, offset);
	t->urgent.state = URGENT_THERE;
	wake_all(&t->s.wait, EPOLLPRI);
}

size_t tcp_urgent_before(const struct tcp_socket *t)
{
	uint32_t distance = t->urgent.at - read_position(t);
	bool ahead = t->urgent.state && (int32_t)distance >= 0 && !(distance == 0 && t->s.oob_inline);
	return ahead ? distance : SIZE_MAX;
}

void tcp_urgent_passed(struct tcp_socket *t)
{
	if (t->urgent.state && (int32_t)(read_position(t) - t->urgent.at) > 0)
		t->urgent.state = URGENT_NONE;
}

int64_t tcp_urgent_receive(struct tcp_socket *t, struct message *m)
{
	if (t->s.oob_inline || !t->urgent.state || t->urgent.state == URGENT_READ)
		return -EINVAL;
	if (t->urgent.state == URGENT_COMES)
		return t->eof || t->s.shut_read ? 0 : -EAGAIN;
	m->out_flags |= MSG_OOB;
	m->name_len = 0;
	if (!m->left) {
		m->out_flags |= MSG_TRUNC;
		return 0;
	}
	if (message_put(m, &t->urgent.byte, 1) < 0)
		return -EFAULT;
	if (!(m->flags & MSG_PEEK))
		t->urgent.state = URGENT_READ;
	return 1;
}
