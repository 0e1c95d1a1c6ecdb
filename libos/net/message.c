/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes between a message and the program's memory, piece by piece. */
#include "libos/net/socket.h"

/* The next contiguous piece: at most want bytes of it, 0 when nothing is left. */
static size_t piece(struct message *m, size_t want)
{
	while (m->iovs && m->iov->iov_len == 0) {
		m->iov++;
		m->iovs--;
	}
	return m->iovs ? MIN(want, MIN(m->left, (size_t)m->iov->iov_len)) : 0;
}

const void *message_borrow(struct message *m, size_t want, size_t *n)
{
	*n = piece(m, want);
	if (*n)
		*n = buffer_present((uaddr_t)m->iov->iov_base, *n);
	return *n ? m->iov->iov_base : NULL;
}

void message_advance(struct message *m, size_t n)
{
	m->iov->iov_base = (char *)m->iov->iov_base + n;
	m->iov->iov_len -= n;
	m->left -= n;
}

int message_put(struct message *m, const void *data, size_t n)
{
	const char *from = data;
	while (n) {
		size_t part = piece(m, n);
		if (!part || buffer_put((uaddr_t)m->iov->iov_base, from, part) < part)
			return -EFAULT;
		message_advance(m, part);
		from += part;
		n -= part;
	}
	return 0;
}

int message_get(struct message *m, void *data, size_t n)
{
	char *to = data;
	while (n) {
		size_t part = piece(m, n);
		if (!part || buffer_get(to, (uaddr_t)m->iov->iov_base, part) < part)
			return -EFAULT;
		message_advance(m, part);
		to += part;
		n -= part;
	}
	return 0;
}

void message_add_control(struct message *m, int level, int type, const void *data, size_t n)
{
	struct linux_cmsghdr header = { .len = sizeof(header) + n, .level = level, .type = type };
	size_t room = m->control_to ? m->control_space - m->control_len : 0;
	uaddr_t to = m->control_to + m->control_len;
	if (room < sizeof(header)) {
		m->out_flags |= MSG_CTRUNC;
		return;
	}
	if (room < header.len) { /* as much of it as fits, as on Linux */
		m->out_flags |= MSG_CTRUNC;
		header.len = room;
		n = room - sizeof(header);
	}
	if (user_put(to, header) || user_write(to + sizeof(header), data, n)) {
		m->out_flags |= MSG_CTRUNC;
		return;
	}
	m->control_len += MIN(ALIGN_UP(header.len, 8), room);
}
