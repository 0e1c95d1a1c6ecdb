/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/mm/mm.h"
#include "libos/net/error_queue.h"

enum { ORIGIN_ICMP = 2, ORIGIN_ICMP6 = 3, LINUX_IP_RECVERR = 11, LINUX_IPV6_RECVERR = 25 };
#define MOST 16 /* errors that nobody has read */

struct queued_fault {
	struct queued_fault *next;
	bool is_v6;
	struct {
		uint32_t error;
		uint8_t origin, type, code, pad;
		uint32_t info, data;
		union address from;
	} told; /* struct sock_extended_err, and behind it who sent it */
	ip_addr_t to;
	uint16_t port;
	uint32_t len;
	uint8_t data[];
};
static_assert(offsetof(struct queued_fault, told.from) - offsetof(struct queued_fault, told) == 16, "sock_extended_err layout");

void error_queue_add(struct socket *s, const struct fault *fault)
{
	const struct socket family = { .family = IP_IS_V6_VAL(fault->from) ? AF_INET6 : AF_INET };
	struct queued_fault **at = &s->faults, *queued;
	uint32_t len = fault->p->tot_len > fault->offset ? fault->p->tot_len - fault->offset : 0;
	unsigned count = 0;

	for (; *at; at = &(*at)->next)
		count++;
	queued = s->wants & WANT_ERRORS && count < MOST ? kzalloc(sizeof(*queued) + len) : NULL;
	if (!queued)
		return;
	queued->is_v6 = family.family == AF_INET6;
	queued->told.error = fault->error;
	queued->told.origin = queued->is_v6 ? ORIGIN_ICMP6 : ORIGIN_ICMP;
	queued->told.type = fault->type;
	queued->told.code = fault->code;
	inet_to_user(&family, &queued->told.from, &fault->from, 0);
	queued->to = fault->to;
	queued->port = fault->port;
	queued->len = pbuf_copy_partial(fault->p, queued->data, len, fault->offset);
	*at = queued;
}

int64_t error_queue_receive(struct socket *s, struct message *m)
{
	struct queued_fault *first = s->faults;
	int64_t n;

	if (!first)
		return -EAGAIN;
	s->faults = first->next;
	s->error = s->faults ? s->faults->told.error : 0;
	n = MIN(first->len, m->left);
	if (message_put(m, first->data, n) < 0)
		n = -EFAULT;
	m->out_flags |= MSG_ERRQUEUE | (n < first->len ? MSG_TRUNC : 0);
	if (m->name)
		m->name_len = inet_to_user(s, m->name, &first->to, first->port);
	message_add_control(m, first->is_v6 ? SOL_IPV6 : SOL_IP, first->is_v6 ? LINUX_IPV6_RECVERR : LINUX_IP_RECVERR, &first->told,
			    offsetof(typeof(first->told), from) + (first->is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)));
	kfree(first);
	return n;
}

void error_queue_clear(struct socket *s)
{
	struct queued_fault *first;

	while ((first = s->faults)) {
		s->faults = first->next;
		kfree(first);
	}
}
