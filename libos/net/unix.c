/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets: made, connected, ended. Two connected sockets point at each other; whoever closes clears both. */
#include "libos/mm/mm.h"
#include "libos/net/unix.h"
#include "libos/proc/proc.h"

static const struct proto unix_proto;

static struct unix_socket *of(struct socket *s)
{
	return (struct unix_socket *)s;
}

static struct unix_socket *unix_new(int type)
{
	return (struct unix_socket *)socket_alloc(sizeof(struct unix_socket), &unix_proto, AF_UNIX, type, 0);
}

static bool known_type(int type)
{
	return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET;
}

int unix_socket(int family, int type, int protocol, struct socket **s)
{
	if (type == SOCK_RAW) /* as Linux */
		type = SOCK_DGRAM;
	if (!known_type(type))
		return -ESOCKTNOSUPPORT;
	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	*s = (struct socket *)unix_new(type);
	return *s ? 0 : -ENOBUFS;
}

static struct linux_ucred effective_user(void)
{
	return (struct linux_ucred){ process_id(), credentials()->euid, credentials()->egid };
}

static void join(struct unix_socket *a, struct unix_socket *b)
{
	a->peer = b;
	b->peer = a;
	a->connected = b->connected = true;
}

int unix_pair(int type, struct socket **a, struct socket **b)
{
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	struct unix_socket *one = unix_new(type), *two = unix_new(type);
	if (!one || !two) {
		kfree(one);
		kfree(two);
		return -ENOBUFS;
	}
	join(one, two);
	one->s.peer = two->s.peer = effective_user();
	*a = &one->s;
	*b = &two->s;
	return 0;
}

static int unix_bind(struct socket *s, const union address *addr, uint32_t len)
{
	return unix_name_bind(of(s), addr, len);
}

static int unix_listen(struct socket *s, int backlog)
{
	struct unix_socket *u = of(s);
	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	if (u->connected || !u->name_len)
		return -EINVAL;
	u->listening = s->accepting = true;
	s->peer = effective_user(); /* for those who connect */
	u->backlog = backlog < 0 || backlog > 4096 ? 4096 : backlog + 1;
	return 0;
}

void unix_disconnect(struct unix_socket *u)
{
	u->connected = false;
	u->peer_name_len = 0;
	unix_watch_space(u, false);
}

static int connect_datagram(struct unix_socket *u, const union address *addr, uint32_t len)
{
	struct unix_socket *to;
	if (len >= sizeof(addr->any.family) && addr->any.family == AF_UNSPEC) {
		unix_disconnect(u);
		return 0;
	}
	int err = unix_name_find(addr, len, SOCK_DGRAM, &to);
	if (err < 0)
		return err;
	if (!unix_may_send(u, to))
		return -EPERM;
	u->peer_name = *addr;
	u->peer_name_len = len;
	u->connected = true;
	unix_watch_space(u, true);
	return 0;
}

static int find_listener(struct unix_socket *u, const union address *addr, uint32_t len, struct unix_socket **to)
{
	int err = unix_name_find(addr, len, u->s.type, to);
	return err < 0 ? err : (*to)->listening ? 0 : -ECONNREFUSED;
}

static int connect_stream(struct unix_socket *u, const union address *addr, uint32_t len, bool nonblock)
{
	struct unix_socket *to;
	uint64_t start = 0;
	int err;
	if (u->connected)
		return -EISCONN;
	if (u->listening)
		return -EINVAL;
	while ((err = find_listener(u, addr, len, &to)) == 0 && to->waiting >= to->backlog) {
		err = nonblock ? -EAGAIN : socket_wait(&to->s, u->s.send_timeout, &start);
		if (err < 0)
			return err;
	}
	if (err < 0)
		return err;
	struct unix_socket *child = unix_new(u->s.type);
	if (!child)
		return -ENOMEM;
	join(u, child);
	u->s.peer = to->s.peer;
	child->s.peer = effective_user();
	child->name = u->peer_name = to->name;
	child->name_len = u->peer_name_len = to->name_len;
	child->s.passcred = to->s.passcred;
	child->s.owner = to;
	if (to->accept_first)
		to->accept_last->accept_next = child;
	else
		to->accept_first = child;
	to->accept_last = child;
	to->waiting++;
	wake_all(&to->s.wait, EPOLLIN | EPOLLRDNORM);
	return 0;
}

static int unix_connect(struct socket *s, const union address *addr, uint32_t len, bool nonblock)
{
	return s->type == SOCK_DGRAM ? connect_datagram(of(s), addr, len) : connect_stream(of(s), addr, len, nonblock);
}

static int unix_accept(struct socket *s, struct socket **child, bool nonblock)
{
	struct unix_socket *u = of(s);
	uint64_t start = 0;
	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	while (!u->accept_first) {
		if (!u->listening)
			return -EINVAL;
		int err = nonblock ? -EAGAIN : socket_wait(s, s->receive_timeout, &start);
		if (err < 0)
			return err;
	}
	struct unix_socket *first = u->accept_first;
	u->accept_first = first->accept_next;
	first->accept_next = NULL;
	first->s.owner = NULL;
	u->waiting--;
	wake_all(&s->wait, EPOLLOUT); /* who waits to connect */
	*child = &first->s;
	return 0;
}

static bool datagram_writable(struct unix_socket *u)
{
	struct unix_socket *to = u->peer;
	if (!to && (!u->connected || u->peer_gone || unix_name_find(&u->peer_name, u->peer_name_len, SOCK_DGRAM, &to) < 0))
		return true; /* it would fail at once */
	return unix_is_writable(u, to);
}

static uint32_t unix_poll(struct socket *s)
{
	struct unix_socket *u = of(s);
	uint32_t events = 0;
	if (u->listening)
		return u->accept_first ? EPOLLIN | EPOLLRDNORM : 0;
	bool peer_ended = u->peer_gone || (u->peer && u->peer->s.shut_write);
	if (u->first || s->shut_read || (peer_ended && s->type != SOCK_DGRAM))
		events |= EPOLLIN | EPOLLRDNORM;
	if (s->shut_read || (peer_ended && s->type != SOCK_DGRAM))
		events |= EPOLLRDHUP;
	if (s->type == SOCK_DGRAM)
		return events | (s->shut_read && s->shut_write ? EPOLLHUP : 0) |
		       (datagram_writable(u) ? EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND : 0);
	if (!u->connected || u->peer_gone || (s->shut_write && (s->shut_read || peer_ended)))
		events |= EPOLLHUP;
	if (!u->connected || !u->peer || unix_is_writable(u, u->peer))
		events |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	return events;
}

static int unix_shutdown(struct socket *s, int how)
{
	struct unix_socket *u = of(s);
	s->shut_read |= how != SHUT_WR;
	s->shut_write |= how != SHUT_RD;
	wake_all(&s->wait, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	if (!u->peer)
		return 0;
	/* The other end cannot send to who does not read. */
	if (s->shut_read && s->type != SOCK_DGRAM)
		u->peer->s.shut_write = true;
	wake_all(&u->peer->s.wait, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	return 0;
}

static int unix_name(struct socket *s, union address *addr, bool peer)
{
	struct unix_socket *u = of(s);
	const union address *name = peer ? &u->peer_name : &u->name;
	uint32_t len = peer ? u->peer_name_len : u->name_len;
	if (peer && !u->connected)
		return -ENOTCONN;
	if (peer && u->peer) {
		name = &u->peer->name;
		len = u->peer->name_len;
	}
	memset(addr, 0, sizeof(*addr));
	addr->any.family = AF_UNIX;
	if (len)
		memcpy(addr, name, len);
	return len ? len : sizeof(addr->any.family);
}

static int64_t unix_readable(struct socket *s)
{
	struct unix_socket *u = of(s);
	if (u->listening)
		return -EINVAL;
	return s->type != SOCK_DGRAM ? (int64_t)u->bytes : u->first ? (int64_t)u->first->len : 0;
}

static int64_t unix_unsent(struct socket *s)
{
	const struct unix_socket *u = of(s);
	return u->listening ? -EINVAL : u->peer ? (int64_t)u->peer->charge : 0;
}

static void unix_close(struct socket *s)
{
	struct unix_socket *u = of(s), *peer = u->peer;
	unix_name_release(u);
	if (s->type == SOCK_DGRAM)
		unix_watch_space(u, false);
	if (peer) {
		/* Linux tells a peer whose bytes nobody will read that the connection was reset. */
		if (u->first && s->type != SOCK_DGRAM)
			peer->s.error = ECONNRESET;
		peer->peer = NULL;
		peer->peer_gone = true;
		wake_all(&peer->s.wait, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	}
	unix_drop_queue(u);
	while (u->accept_first) {
		struct unix_socket *child = u->accept_first;
		u->accept_first = child->accept_next;
		unix_close(&child->s);
	}
	wake_all(&s->wait, 0); /* who waits to connect looks the name up again */
	kfree(u);
	flights_socket_closed();
}

static const struct proto unix_proto = {
	.bind = unix_bind, .connect = unix_connect, .listen = unix_listen, .accept = unix_accept, .send = unix_send,
	.receive = unix_receive, .poll = unix_poll, .shutdown = unix_shutdown, .name = unix_name, .readable = unix_readable, .unsent = unix_unsent,
	.close = unix_close,
};
