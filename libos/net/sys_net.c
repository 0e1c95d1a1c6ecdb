/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sockets: descriptors and the program's memory are looked after here, the families do the rest. */
#include "libos/mm/mm.h"
#include "libos/net/socket.h"
#include "libos/proc/proc.h"

#define X(name) SYSCALL(name);
#include "libos/net/syscalls.list"
#undef X

#define MAX_VECTOR 1024
#define MAX_CONTROL (64 * 1024)
#define MOST_AT_ONCE 0x7ffff000ul /* as Linux limits one call */

/* The socket behind a descriptor, with a reference on its file; NULL and *error. */
static struct socket *get(long fd, int *error)
{
	struct file *file = fd_get(fd);
	struct socket *s = file ? socket_of(file) : NULL;
	*error = file && !(file->flags & O_PATH) ? -ENOTSOCK : -EBADF;
	if (s)
		file_get(file);
	return s;
}

static long put(struct socket *s, long result)
{
	file_put(s->file);
	return result;
}

static int get_address(union address *to, const void *from, uint32_t len)
{
	if (len > sizeof(*to))
		return -EINVAL;
	memset(to, 0, sizeof(*to));
	return user_read(to, from, len);
}

/* As many bytes as the program has room for; *len gets the true length. */
static int put_address(const union address *from, uint32_t true_len, void *to, uint32_t *len)
{
	uint32_t room;
	if (user_get(&room, len))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	return user_write(to, from, MIN(room, true_len)) ? -EFAULT : user_put(len, true_len);
}

/* ---- making ---- */

static int make(int family, int type, int protocol, struct socket **s)
{
	switch (family) {
	case AF_INET: case AF_INET6: return inet_socket(family, type, protocol, s);
	case AF_UNIX: return unix_socket(family, type, protocol, s);
	case AF_NETLINK: return netlink_socket(family, type, protocol, s);
	default: return -EAFNOSUPPORT;
	}
}

SYSCALL(socket)
{
	int type = a[1] & SOCK_TYPE_MASK, flags = a[1] & ~SOCK_TYPE_MASK;
	struct socket *s;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	int err = make(a[0], type, a[2], &s);
	return err < 0 ? err : socket_install(s, flags);
}

/* As Linux, which makes a socket first and then sees whether its family has pairs. */
static int make_pair(int family, int type, int protocol, struct socket **one, struct socket **two)
{
	int err = make(family, type, protocol, one);
	if (err < 0)
		return err;
	(*one)->proto->close(*one);
	return family == AF_UNIX ? unix_pair(type, one, two) : -EOPNOTSUPP;
}

SYSCALL(socketpair)
{
	int type = a[1] & SOCK_TYPE_MASK, flags = a[1] & ~SOCK_TYPE_MASK;
	struct socket *one, *two;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (user_touch((uaddr_t)a[3]) || user_touch((uaddr_t)a[3] + sizeof(int)))
		return -EFAULT;
	int err = make_pair(a[0], type, a[2], &one, &two);
	if (err < 0)
		return err;
	int first = socket_install(one, flags), second = socket_install(two, flags);
	if (first < 0 || second < 0) {
		if (first >= 0)
			fd_close(first);
		if (second >= 0)
			fd_close(second);
		return first < 0 ? first : second;
	}
	const int fds[2] = { first, second };
	return user_put(a[3], fds);
}

SYSCALL(bind)
{
	union address addr;
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	err = get_address(&addr, (void *)a[1], a[2]);
	return put(s, err < 0 ? err : s->proto->bind ? s->proto->bind(s, &addr, a[2]) : -EOPNOTSUPP);
}

SYSCALL(listen)
{
	int err;
	struct socket *s = get(a[0], &err);
	return s ? put(s, s->proto->listen ? s->proto->listen(s, a[1]) : -EOPNOTSUPP) : err;
}

static long accept_one(long fd, void *to, uint32_t *len, int flags)
{
	union address addr;
	struct socket *child;
	int err;
	struct socket *s = get(fd, &err);
	if (!s)
		return err;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return put(s, -EINVAL);
	err = s->proto->accept ? s->proto->accept(s, &child, s->file->flags & O_NONBLOCK) : -EOPNOTSUPP;
	if (err < 0)
		return put(s, err);
	int name_len = to ? child->proto->name(child, &addr, true) : 0, child_fd = socket_install(child, flags);
	if (child_fd >= 0 && to && name_len > 0 && (err = put_address(&addr, name_len, to, len)) < 0) {
		fd_close(child_fd);
		return put(s, err);
	}
	return put(s, child_fd);
}

SYSCALL(accept)
{
	return accept_one(a[0], (void *)a[1], (uint32_t *)a[2], 0);
}

SYSCALL(accept4)
{
	return accept_one(a[0], (void *)a[1], (uint32_t *)a[2], a[3]);
}

SYSCALL(connect)
{
	union address addr;
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	err = get_address(&addr, (void *)a[1], a[2]);
	return put(s, err < 0 ? err : s->proto->connect ? s->proto->connect(s, &addr, a[2], s->file->flags & O_NONBLOCK) : -EOPNOTSUPP);
}

static long name_of(const long *a, bool peer)
{
	union address addr;
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	int len = s->proto->name(s, &addr, peer);
	return put(s, len < 0 ? len : put_address(&addr, len, (void *)a[1], (uint32_t *)a[2]));
}

SYSCALL(getsockname)
{
	return name_of(a, false);
}

SYSCALL(getpeername)
{
	return name_of(a, true);
}

SYSCALL(shutdown)
{
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	if (a[1] < SHUT_RD || a[1] > SHUT_RDWR)
		return put(s, -EINVAL);
	return put(s, s->proto->shutdown ? s->proto->shutdown(s, a[1]) : -EOPNOTSUPP);
}

/* ---- moving bytes ---- */

SYSCALL(sendto)
{
	union address addr;
	size_t n = MIN((size_t)a[2], MOST_AT_ONCE);
	struct iovec vector = { .iov_base = (void *)a[1], .iov_len = n };
	struct message m = { .iov = &vector, .iovs = 1, .left = n, .flags = a[3] };
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	if (!user_range((uaddr_t)a[1], n))
		return put(s, -EFAULT);
	if (a[4]) {
		err = get_address(&addr, (void *)a[4], a[5]);
		if (err < 0)
			return put(s, err);
		m.name = &addr;
		m.name_len = a[5];
	}
	return put(s, socket_send(s->file, &m));
}

SYSCALL(recvfrom)
{
	union address addr;
	size_t n = MIN((size_t)a[2], MOST_AT_ONCE);
	struct iovec vector = { .iov_base = (void *)a[1], .iov_len = n };
	struct message m = { .iov = &vector, .iovs = 1, .left = n, .flags = a[3], .name = a[4] ? &addr : NULL };
	int err;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	if (!user_range((uaddr_t)a[1], n))
		return put(s, -EFAULT);
	int64_t result = socket_receive(s->file, &m);
	if (result >= 0 && a[4] && (err = put_address(&addr, m.name_len, (void *)a[4], (uint32_t *)a[5])) < 0)
		result = err;
	return put(s, result);
}

static int load_vector(struct message *m, const struct linux_msghdr *h)
{
	if (h->iov_count > MAX_VECTOR)
		return -EMSGSIZE;
	m->iovs = h->iov_count;
	m->iov = m->vector = kmalloc((h->iov_count + !h->iov_count) * sizeof(*m->iov));
	if (!m->iov)
		return -ENOMEM;
	if (user_read(m->iov, h->iov, h->iov_count * sizeof(*m->iov)))
		return -EFAULT;
	for (int i = 0; i < m->iovs; i++) {
		if (m->iov[i].iov_len > INT64_MAX - m->left)
			return -EINVAL;
		if (!user_range((uaddr_t)m->iov[i].iov_base, m->iov[i].iov_len))
			return -EFAULT;
		m->left += m->iov[i].iov_len;
	}
	return 0;
}

static int load_header(struct message *m, struct linux_msghdr *h, uaddr_t header)
{
	if (user_get(h, header))
		return -EFAULT;
	if (h->name && h->name_len < 0)
		return -EINVAL;
	h->name_len = MIN((uint32_t)h->name_len, sizeof(union address));
	return load_vector(m, h);
}

static int load_control(struct message *m, const struct linux_msghdr *h)
{
	if (h->control_len > MAX_CONTROL)
		return -ENOBUFS;
	if (!h->control_len)
		return 0;
	m->control = kmalloc(h->control_len);
	if (!m->control)
		return -ENOMEM;
	m->control_len = h->control_len;
	return user_read(m->control, h->control, h->control_len);
}

static void message_free(struct message *m)
{
	kfree(m->vector);
	kfree(m->control);
}

static int64_t send_one(struct socket *s, uaddr_t header, int flags)
{
	union address addr;
	struct message m = { .flags = flags };
	struct linux_msghdr h;
	int64_t result = load_header(&m, &h, header);
	if (result == 0)
		result = load_control(&m, &h);
	if (result == 0 && h.name && h.name_len > 0) {
		result = get_address(&addr, h.name, h.name_len);
		m.name = &addr;
		m.name_len = h.name_len;
	}
	if (result == 0)
		result = socket_send(s->file, &m);
	message_free(&m);
	return result;
}

static int64_t receive_one(struct socket *s, uaddr_t header, int flags)
{
	union address addr;
	struct message m = { .flags = flags };
	struct linux_msghdr h;
	int64_t result = load_header(&m, &h, header);
	if (result == 0) {
		m.control_to = h.control_len ? (uaddr_t)h.control : 0;
		m.control_space = h.control_len;
		m.name = h.name ? &addr : NULL;
		result = socket_receive(s->file, &m);
	}
	message_free(&m);
	if (result < 0)
		return result;
	if (h.name) {
		if (user_write(h.name, &addr, MIN((uint32_t)h.name_len, m.name_len)))
			return -EFAULT;
		h.name_len = m.name_len;
	}
	h.control_len = m.control_len;
	h.flags = m.out_flags | (flags & MSG_CMSG_CLOEXEC);
	return user_put(header, h) ? -EFAULT : result;
}

SYSCALL(sendmsg)
{
	int err;
	struct socket *s = get(a[0], &err);
	return s ? put(s, send_one(s, a[1], a[2])) : err;
}

SYSCALL(recvmsg)
{
	int err;
	struct socket *s = get(a[0], &err);
	return s ? put(s, receive_one(s, a[1], a[2])) : err;
}

static void put_length(uaddr_t message, int64_t result)
{
	uint32_t n = result;
	user_put(message + offsetof(struct linux_mmsghdr, len), n); /* the datagram has gone, whatever comes of this */
}

SYSCALL(sendmmsg)
{
	uaddr_t message = a[1];
	unsigned count = MIN((unsigned long)a[2], MAX_VECTOR), done = 0;
	int err;
	int64_t result = 0;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	for (; done < count; done++, message += sizeof(struct linux_mmsghdr)) {
		if ((result = send_one(s, message, a[3])) < 0)
			break;
		put_length(message, result);
	}
	return put(s, done ? done : result);
}

SYSCALL(recvmmsg)
{
	uaddr_t message = a[1];
	struct timespec timeout;
	unsigned count = MIN((unsigned long)a[2], MAX_VECTOR), done = 0;
	int err, flags = a[3];
	int64_t result = 0;
	if (a[4] && user_get(&timeout, a[4]))
		return -EFAULT;
	if (a[4] && (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= (int64_t)NS_PER_S))
		return -EINVAL;
	/* A time-out of nothing still takes what is there: the first datagram is waited for without it. */
	uint64_t end = a[4] ? clock_monotonic() + MIN((uint64_t)timeout.tv_sec, 1u << 30) * NS_PER_S + timeout.tv_nsec : 0;
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	for (; done < count; done++, message += sizeof(struct linux_mmsghdr)) {
		/* As Linux documents it, the time-out is looked at after each datagram only. */
		if (done && end && clock_monotonic() >= end)
			break;
		if ((result = receive_one(s, message, flags & ~MSG_WAITFORONE)) < 0)
			break;
		put_length(message, result);
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	if (done && end) {
		uint64_t now = clock_monotonic(), left = now < end ? end - now : 0;
		timeout = (struct timespec){ .tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S };
		if (user_put(a[4], timeout))
			return put(s, -EFAULT);
	}
	return put(s, done ? done : result);
}
