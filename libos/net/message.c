/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes between a message and the program's memory, piece by piece. */
#include "libos/net/socket.h"

/* Memory of libos itself: a file that is sent from where it lies. The program cannot name it, user_ok refuses it. */
static bool is_ours(const void *p, size_t n)
{
	uint64_t start = (uint64_t)p;
	return start >= LV_WINDOW && start + n <= LV_WINDOW_END;
}

void *message_piece(struct message *m, size_t want, size_t *got, bool write)
{
	while (m->iovs && m->iov->iov_len == 0) {
		m->iov++;
		m->iovs--;
	}
	*got = 0;
	if (!m->iovs || !m->left || !want)
		return NULL;
	size_t n = MIN(want, MIN(m->left, (size_t)m->iov->iov_len));
	/* Checked anew for each piece: another thread may have unmapped it while this one waited. */
	if (!is_ours(m->iov->iov_base, n) && !user_ok(m->iov->iov_base, n, write)) {
		*got = 1;
		return NULL;
	}
	*got = n;
	return m->iov->iov_base;
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
		size_t got;
		void *to = message_piece(m, n, &got, true);
		if (!to)
			return -EFAULT;
		memcpy(to, from, got);
		message_advance(m, got);
		from += got;
		n -= got;
	}
	return 0;
}

int message_get(struct message *m, void *data, size_t n)
{
	char *to = data;
	while (n) {
		size_t got;
		const void *from = message_piece(m, n, &got, false);
		if (!from)
			return -EFAULT;
		memcpy(to, from, got);
		message_advance(m, got);
		to += got;
		n -= got;
	}
	return 0;
}

void message_add_control(struct message *m, int level, int type, const void *data, size_t n)
{
	struct linux_cmsghdr header = {.len = sizeof(header) + n, .level = level, .type = type};
	size_t room = m->control ? m->control_space - m->control_len : 0;
	if (room < header.len) {
		m->out_flags |= MSG_CTRUNC;
		return;
	}
	char *to = (char *)m->control + m->control_len;
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), data, n);
	m->control_len += MIN(ALIGN_UP(header.len, 8), room);
}
