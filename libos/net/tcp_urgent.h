/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Urgent data of TCP (RFC 9293, 3.8.5) as Linux has it: one byte, which the urgent pointer marks. It is read apart (MSG_OOB) or, with
 * SO_OOBINLINE, in its place; what is read in the stream never goes across the mark at once. lwIP knows nothing of it.
 */
#ifndef LV_NET_TCP_URGENT_H
#define LV_NET_TCP_URGENT_H

#include "libos/net/tcp_socket.h"

struct tcp_hdr;

/* The last byte that was given to lwIP is urgent. */
void tcp_urgent_mark(struct tcp_socket *t);
/* A segment of an established connection came, and its data is not queued yet. */
void tcp_urgent_announced(struct tcp_socket *t, const struct tcp_hdr *header);
/* The packet that was queued last may have the byte. */
void tcp_urgent_queued(struct tcp_socket *t);
/* Bytes that may be read at once: all, or those before the mark. 0: it is at the mark; what comes behind is another read. */
size_t tcp_urgent_before(const struct tcp_socket *t);
/* What a read took is behind it. */
void tcp_urgent_passed(struct tcp_socket *t);
bool tcp_urgent_at_mark(const struct tcp_socket *t);
/* The byte at which the stream stands is urgent and no part of it. */
bool tcp_urgent_skips(const struct tcp_socket *t);
bool tcp_urgent_is_there(const struct tcp_socket *t);
int64_t tcp_urgent_receive(struct tcp_socket *t, struct message *m);

#endif
