/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets: bytes and datagrams on their way from one socket to another. */
#include "libos/mm/mm.h"
#include "libos/net/unix.h"
#include "libos/proc/proc.h"

#define STREAM_PIECE 16384
#define DATAGRAMS 10 /* net.unix.max_dgram_qlen: one more than this waits for a socket */

struct waitq unix_datagram_space;

static struct unix_socket *of(struct socket *s)
{
	return (struct unix_socket *)s;
}

static bool is_stream(const struct unix_socket *u)
{
	return u->s.type == SOCK_STREAM;
}

/*
 * What Linux takes for so many bytes: its descriptor, and a buffer of a power of two, or pages. Programs see it in how many small
 * messages there is room for; and small ones cost memory here, too.
 */
static size_t cost(size_t n)
{
	size_t buffer = 512;
	if (n > 3776)
		return 768 + ALIGN_UP(n, LV_PAGE);
	while (buffer < n + 320)
		buffer *= 2;
	return 256 + buffer;
}

/* Two that are connected to each other share nothing with others; whom anybody may send to takes so many datagrams. */
static bool is_pair(const struct unix_socket *from, const struct unix_socket *to)
{
	return from->s.type != SOCK_DGRAM || to->peer == from;
}

bool unix_may_send(const struct unix_socket *from, const struct unix_socket *to)
{
	return !to->connected || to->peer == from || to == from ||
	       (from->name_len && to->peer_name_len == from->name_len && !memcmp(&to->peer_name, &from->name, from->name_len));
}

bool unix_has_room(const struct unix_socket *from, const struct unix_socket *to)
{
	return is_pair(from, to) ? to->charge < from->s.send_size : to->chunks <= DATAGRAMS;
}

bool unix_is_writable(const struct unix_socket *from, const struct unix_socket *to)
{
	return is_pair(from, to) ? to->charge * 4 <= from->s.send_size : to->chunks <= DATAGRAMS;
}

static struct unix_socket *watchers;

void unix_watch_space(struct unix_socket *u, bool on)
{
	struct unix_socket **at = &watchers;
	while (*at && *at != u)
		at = &(*at)->space_next;
	if (*at)
		*at = u->space_next;
	if (!on)
		return;
	u->space_next = watchers;
	watchers = u;
}

/* ---- what goes with them ---- */

static void chunk_free(struct unix_chunk *chunk)
{
	flight_land(chunk->flight);
	kfree(chunk);
}

/* Who the sender says to be: one of those that it is, or may become. */
static int take_credentials(struct unix_chunk *chunk, const char *from, size_t n)
{
	const struct credentials *own = credentials();
	struct linux_ucred said;

	if (n != sizeof(said))
		return -EINVAL;
	memcpy(&said, from, n);
	if (said.pid != process_id())
		return capable(CAP_SYS_ADMIN) ? -ESRCH : -EPERM;
	if (said.uid != own->uid && said.uid != own->euid && said.uid != own->suid && !capable(CAP_SETUID))
		return -EPERM;
	if (said.gid != own->gid && said.gid != own->egid && said.gid != own->sgid && !capable(CAP_SETGID))
		return -EPERM;
	chunk->credentials = said;
	return 0;
}

static int take_control(struct unix_chunk *chunk, const struct message *m)
{
	struct linux_cmsghdr header;
	for (size_t at = 0; m->control && at + sizeof(header) <= m->control_len; at += ALIGN_UP(header.len, 8)) {
		const char *cmsg = (const char *)m->control + at;
		memcpy(&header, cmsg, sizeof(header));
		if (header.len < sizeof(header) || header.len > m->control_len - at)
			return -EINVAL;
		int err = 0;
		if (header.level == SOL_SOCKET && header.type == SCM_RIGHTS)
			err = flight_take(&chunk->flight, (const int *)(cmsg + sizeof(header)), (header.len - sizeof(header)) / sizeof(int));
		else if (header.level == SOL_SOCKET && header.type == SCM_CREDENTIALS)
			err = take_credentials(chunk, cmsg + sizeof(header), header.len - sizeof(header));
		else if (header.level == SOL_SOCKET)
			err = -EINVAL;
		if (err < 0)
			return err;
	}
	return 0;
}

/* What does not fit into the receiver's space is closed, and MSG_CTRUNC says so. */
static void give_files(const struct flight *flight, struct message *m)
{
	int fds[FLIGHT_FILES];
	size_t room = m->control_to && m->control_space > m->control_len + sizeof(struct linux_cmsghdr)
			      ? (m->control_space - m->control_len - sizeof(struct linux_cmsghdr)) / sizeof(int) : 0;
	unsigned count = 0;
	for (; count < flight->count && count < room; count++) {
		file_get(flight->files[count]); /* the flight keeps its own until it has landed */
		fds[count] = fd_install(flight->files[count], 0, m->flags & MSG_CMSG_CLOEXEC);
		if (fds[count] < 0)
			break;
	}
	if (count < flight->count)
		m->out_flags |= MSG_CTRUNC;
	if (count)
		message_add_control(m, SOL_SOCKET, SCM_RIGHTS, fds, count * sizeof(int));
}

static void give_control(struct unix_socket *u, struct unix_chunk *chunk, struct message *m)
{
	if (chunk->time)
		socket_put_stamp(&u->s, m, chunk->time);
	if (u->s.passcred)
		message_add_control(m, SOL_SOCKET, SCM_CREDENTIALS, &chunk->credentials, sizeof(chunk->credentials));
	if (!chunk->flight)
		return;
	give_files(chunk->flight, m);
	if (!(m->flags & MSG_PEEK))
		flight_land(chunk->flight);
}

/* ---- sending ---- */

static struct unix_chunk *chunk_new(struct unix_socket *from, struct message *m, size_t n, bool with_control, int *error)
{
	struct unix_chunk *chunk = kmalloc(sizeof(*chunk) + n);
	*error = -ENOBUFS;
	if (!chunk)
		return NULL;
	memset(chunk, 0, sizeof(*chunk));
	chunk->len = n;
	chunk->credentials = (struct linux_ucred){ process_id(), credentials()->uid, credentials()->gid };
	chunk->from = from->name;
	chunk->from_len = from->name_len;
	*error = message_get(m, chunk->data, n);
	if (*error == 0 && with_control)
		*error = take_control(chunk, m);
	if (*error == 0)
		return chunk;
	chunk_free(chunk);
	return NULL;
}

static void deliver(struct unix_socket *to, struct unix_chunk *chunk)
{
	if (to->first)
		to->last->next = chunk;
	else
		to->first = chunk;
	to->last = chunk;
	if (chunk->flight)
		chunk->flight->to = to;
	chunk->time = to->s.stamp_option ? clock_realtime() : 0;
	to->bytes += chunk->len;
	to->charge += chunk->charge = cost(chunk->len);
	to->chunks++;
	wake_all(&to->s.wait, EPOLLIN | EPOLLRDNORM);
}

static int64_t send_stream(struct unix_socket *u, struct message *m)
{
	uint64_t start = 0;
	int64_t done = 0;
	int err = 0;
	if (m->name_len)
		return u->connected ? -EISCONN : -EOPNOTSUPP;
	if (!u->connected)
		return -ENOTCONN;
	while (m->left) {
		struct unix_socket *to = u->peer;
		if (!to || to->s.shut_read || u->s.shut_write)
			return done ? done : socket_broken_pipe(m);
		if (!unix_has_room(u, to)) {
			err = m->flags & MSG_DONTWAIT ? -EAGAIN : socket_wait(&u->s, u->s.send_timeout, &start);
			if (err < 0)
				return done ? done : err;
			continue;
		}
		size_t n = MIN(m->left, MIN(u->s.send_size / 2 - 64, (size_t)STREAM_PIECE));
		struct unix_chunk *chunk = chunk_new(u, m, n, done == 0, &err);
		if (!chunk)
			return done ? done : err;
		deliver(to, chunk);
		done += n;
	}
	return done;
}

/* Whom this datagram goes to; looked up anew after every wait. */
static int target(struct unix_socket *u, struct message *m, struct unix_socket **to)
{
	*to = u->peer;
	int err;
	if (m->name_len && u->s.type == SOCK_DGRAM) {
		err = unix_name_find(m->name, m->name_len, u->s.type, to);
		return err < 0 ? err : unix_may_send(u, *to) ? 0 : -EPERM;
	}
	if (u->peer)
		return 0;
	if (u->peer_gone)
		return u->s.type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
	if (!u->connected)
		return -ENOTCONN;
	err = unix_name_find(&u->peer_name, u->peer_name_len, u->s.type, to);
	if (err < 0)
		unix_disconnect(u); /* who binds that name next is another one */
	return err;
}

static int64_t send_datagram(struct unix_socket *u, struct message *m)
{
	struct unix_socket *to;
	uint64_t start = 0;
	size_t size = m->left;
	int err;
	if (u->s.error)
		return socket_take_error(&u->s);
	if (size > u->s.send_size)
		return -EMSGSIZE;
	if (u->s.shut_write)
		return -EPIPE;
	for (;;) {
		err = target(u, m, &to);
		if (err == 0 && to->s.shut_read)
			err = -EPIPE;
		if (err < 0)
			return err; /* EPIPE, too: there is a signal for streams only */
		if (unix_has_room(u, to))
			break;
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		err = wait_on(&unix_datagram_space, u->s.send_timeout ? (start ? start : (start = clock_monotonic())) + u->s.send_timeout : 0);
		if (err < 0)
			return err == -ETIMEDOUT ? -EAGAIN : u->s.send_timeout ? -EINTR : -ERESTARTSYS;
	}
	struct unix_chunk *chunk = chunk_new(u, m, size, true, &err);
	if (!chunk)
		return err;
	deliver(to, chunk);
	return size;
}

int64_t unix_send(struct socket *s, struct message *m)
{
	int64_t result = is_stream(of(s)) ? send_stream(of(s), m) : send_datagram(of(s), m);
	flights_close();
	return result;
}

/* ---- receiving ---- */

static bool is_full(const struct unix_socket *u)
{
	return u->s.type == SOCK_DGRAM && u->chunks > DATAGRAMS;
}

static void space_freed(struct unix_socket *u, bool was_full)
{
	wake_all(&unix_datagram_space, 0);
	for (struct unix_socket *from = was_full ? watchers : NULL; from; from = from->space_next)
		wake_all(&from->s.wait, EPOLLOUT | EPOLLWRNORM);
	if (u->peer)
		wake_all(&u->peer->s.wait, EPOLLOUT | EPOLLWRNORM);
}

static void chunk_done(struct unix_socket *u)
{
	struct unix_chunk *chunk = u->first;
	u->first = chunk->next;
	u->charge -= chunk->charge;
	u->chunks--;
	chunk_free(chunk);
}

static int64_t pull_stream(struct unix_socket *u, struct message *m)
{
	int64_t done = 0;
	for (struct unix_chunk *chunk = u->first, *next; chunk && m->left; chunk = next) {
		/* Bytes that came with descriptors are not joined to the bytes before them. */
		if (done && chunk->flight)
			break;
		size_t n = MIN(chunk->len - chunk->read, m->left);
		if (message_put(m, chunk->data + chunk->read, n) < 0)
			return done ? done : -EFAULT;
		if (!done || chunk->flight)
			give_control(u, chunk, m);
		done += n;
		next = chunk->next;
		if (m->flags & MSG_PEEK)
			continue;
		chunk->read += n;
		u->bytes -= n;
		if (chunk->read == chunk->len)
			chunk_done(u);
	}
	if (done && !(m->flags & MSG_PEEK))
		space_freed(u, false);
	return done;
}

static int64_t pull_datagram(struct unix_socket *u, struct message *m)
{
	struct unix_chunk *chunk = u->first;
	size_t n = MIN(chunk->len, m->left);
	int64_t size = n;
	if (message_put(m, chunk->data, n) < 0)
		return -EFAULT;
	if (n < chunk->len) {
		m->out_flags |= MSG_TRUNC;
		size = m->flags & MSG_TRUNC ? chunk->len : n;
	}
	if (m->name) {
		*m->name = chunk->from;
		m->name_len = chunk->from_len;
	}
	give_control(u, chunk, m);
	if (m->flags & MSG_PEEK)
		return size;
	bool full = is_full(u);
	u->bytes -= chunk->len;
	chunk_done(u);
	space_freed(u, full);
	return size;
}

static int nothing_to_read(struct unix_socket *u, const struct message *m)
{
	if (u->s.error)
		return socket_take_error(&u->s);
	if (u->s.type == SOCK_DGRAM)
		return u->s.shut_read && !(m->flags & MSG_DONTWAIT) ? 0 : -EAGAIN;
	if (!u->connected)
		return is_stream(u) ? -EINVAL : -ENOTCONN;
	return u->s.shut_read || u->peer_gone || u->peer->s.shut_write ? 0 : -EAGAIN;
}

static int64_t receive(struct unix_socket *u, struct message *m)
{
	uint64_t start = 0;
	int64_t done = 0;
	bool whole = is_stream(u) && (m->flags & MSG_WAITALL) && !(m->flags & (MSG_DONTWAIT | MSG_PEEK));
	int64_t enough = whole ? m->left : MIN((size_t)u->s.low_water, m->left);
	m->name_len = 0;
	for (;;) {
		int64_t result = 0;
		if (u->first && !is_stream(u))
			return pull_datagram(u, m);
		if (u->first)
			result = pull_stream(u, m);
		if (result < 0)
			return done ? done : result;
		done += result;
		if ((done && (done >= enough || m->flags & MSG_PEEK)) || (is_stream(u) && !m->left))
			return done;
		result = nothing_to_read(u, m);
		if (result == -EAGAIN && !(m->flags & MSG_DONTWAIT))
			result = socket_wait(&u->s, u->s.receive_timeout, &start) ?: 1;
		if (result <= 0)
			return done ? done : result;
	}
}

int64_t unix_receive(struct socket *s, struct message *m)
{
	int64_t result = receive(of(s), m);
	flights_close(); /* what did not get a descriptor: nobody is in the queue any more, as that may wait */
	return result;
}

void unix_drop_queue(struct unix_socket *u)
{
	bool full = is_full(u);
	while (u->first)
		chunk_done(u);
	u->bytes = 0;
	space_freed(u, full);
}
