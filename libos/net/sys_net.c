/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sockets: descriptors and the program's memory are looked after here, the families do the rest. */
#include "libos/net/socket.h"
#include "libos/proc/thread.h"

#define X(name) SYSCALL(name);
#include "libos/net/syscalls.list"
#undef X

#define MAX_VECTOR 1024
#define MAX_CONTROL (64 * 1024)

/* The socket behind a descriptor, with a reference on its file; NULL and *error. */
static struct socket *get(long fd, int *error)
{
	struct file *file = fd_get(fd);
	struct socket *s = file ? socket_of(file) : NULL;
	*error = file ? -ENOTSOCK : -EBADF;
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
	if (!user_ok(from, len, false))
		return -EFAULT;
	memset(to, 0, sizeof(*to));
	memcpy(to, from, len);
	return 0;
}

/* As many bytes as the program has room for; *len gets the true length. */
static int put_address(const union address *from, uint32_t true_len, void *to, uint32_t *len)
{
	if (!to)
		return 0;
	if (!user_ok(len, sizeof(*len), true))
		return -EFAULT;
	if ((int32_t)*len < 0)
		return -EINVAL;
	uint32_t n = MIN(*len, true_len);
	if (!user_ok(to, n, true))
		return -EFAULT;
	memcpy(to, from, n);
	*len = true_len;
	return 0;
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
	int result = make(a[0], type, a[2], &s);
	return result < 0 ? result : socket_install(s, flags);
}

SYSCALL(socketpair)
{
	int type = a[1] & SOCK_TYPE_MASK, flags = a[1] & ~SOCK_TYPE_MASK;
	int *fds = (int *)a[3];
	struct socket *one, *two;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (!user_ok(fds, 2 * sizeof(*fds), true))
		return -EFAULT;
	if (a[0] != AF_UNIX)
		return a[0] == AF_INET || a[0] == AF_INET6 ? -EOPNOTSUPP : -EAFNOSUPPORT;
	int result = unix_pair(type, &one, &two);
	if (result < 0)
		return result;
	int first = socket_install(one, flags), second = socket_install(two, flags);
	if (first < 0 || second < 0) {
		if (first >= 0)
			fd_close(first);
		if (second >= 0)
			fd_close(second);
		return first < 0 ? first : second;
	}
	fds[0] = first;
	fds[1] = second;
	return 0;
}

SYSCALL(bind)
{
	union address addr;
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	error = get_address(&addr, (void *)a[1], a[2]);
	return put(s, error < 0 ? error : s->proto->bind ? s->proto->bind(s, &addr, a[2]) : -EOPNOTSUPP);
}

SYSCALL(listen)
{
	int error;
	struct socket *s = get(a[0], &error);
	return s ? put(s, s->proto->listen ? s->proto->listen(s, a[1]) : -EOPNOTSUPP) : error;
}

static long accept_one(long fd, void *to, uint32_t *len, int flags)
{
	union address addr;
	struct socket *child;
	int error;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	struct socket *s = get(fd, &error);
	if (!s)
		return error;
	int result = s->proto->accept ? s->proto->accept(s, &child, s->file->flags & O_NONBLOCK) : -EOPNOTSUPP;
	if (result < 0)
		return put(s, result);
	int name_len = to ? child->proto->name(child, &addr, true) : 0;
	result = socket_install(child, flags);
	if (result >= 0 && to && name_len > 0 && (error = put_address(&addr, name_len, to, len)) < 0) {
		fd_close(result);
		result = error;
	}
	return put(s, result);
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
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	error = get_address(&addr, (void *)a[1], a[2]);
	return put(s, error < 0 ? error : s->proto->connect ? s->proto->connect(s, &addr, a[2], s->file->flags & O_NONBLOCK) : -EOPNOTSUPP);
}

static long name_of(const long *a, bool peer)
{
	union address addr;
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
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
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	if (a[1] < SHUT_RD || a[1] > SHUT_RDWR)
		return put(s, -EINVAL);
	return put(s, s->proto->shutdown ? s->proto->shutdown(s, a[1]) : -EOPNOTSUPP);
}

/* ---- moving bytes ---- */

SYSCALL(sendto)
{
	union address addr;
	struct iovec vector = {.iov_base = (void *)a[1], .iov_len = a[2]};
	struct message m = {.iov = &vector, .iovs = 1, .left = a[2], .flags = a[3]};
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	if (!user_ok((void *)a[1], a[2], false))
		return put(s, -EFAULT);
	if (a[4]) {
		error = get_address(&addr, (void *)a[4], a[5]);
		if (error < 0)
			return put(s, error);
		m.name = &addr;
		m.name_len = a[5];
	}
	return put(s, socket_send(s->file, &m));
}

SYSCALL(recvfrom)
{
	union address addr;
	struct iovec vector = {.iov_base = (void *)a[1], .iov_len = a[2]};
	struct message m = {.iov = &vector, .iovs = 1, .left = a[2], .flags = a[3], .name = a[4] ? &addr : NULL};
	int error;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	if (!user_ok((void *)a[1], a[2], true))
		return put(s, -EFAULT);
	int64_t result = socket_receive(s->file, &m);
	if (result >= 0 && a[4] && (error = put_address(&addr, m.name_len, (void *)a[4], (uint32_t *)a[5])) < 0)
		result = error;
	return put(s, result);
}

/* Fills m from the program's header; the vector is freed by message_done. */
static int message_load(struct message *m, const struct linux_msghdr *header, union address *addr, bool sending)
{
	struct linux_msghdr h = *header; /* once: the program may change it while we look */
	if (h.iov_count > MAX_VECTOR)
		return -EMSGSIZE;
	if (!user_ok(h.iov, h.iov_count * sizeof(*h.iov), false))
		return -EFAULT;
	if (h.control_len > MAX_CONTROL)
		return -ENOBUFS;
	if (h.control_len && !user_ok(h.control, h.control_len, !sending))
		return -EFAULT;
	m->control = h.control_len ? h.control : NULL;
	m->control_len = sending ? h.control_len : 0;
	m->control_space = h.control_len;
	if (sending && h.name && h.name_len > 0) {
		int result = get_address(addr, h.name, h.name_len);
		if (result < 0)
			return result;
		m->name = addr;
		m->name_len = h.name_len;
	} else if (!sending && h.name) {
		m->name = addr;
	}
	m->iovs = h.iov_count;
	m->iov = m->vector = kmalloc((h.iov_count + !h.iov_count) * sizeof(*h.iov));
	if (!m->iov)
		return -ENOMEM;
	for (int i = 0; i < m->iovs; i++) {
		m->iov[i] = h.iov[i];
		if (m->iov[i].iov_len > INT64_MAX - m->left)
			return -EINVAL;
		m->left += m->iov[i].iov_len;
	}
	return 0;
}

static int64_t send_one(struct socket *s, struct linux_msghdr *header, int flags)
{
	union address addr;
	struct message m = {.flags = flags};
	if (!user_ok(header, sizeof(*header), false))
		return -EFAULT;
	int64_t result = message_load(&m, header, &addr, true);
	if (result == 0)
		result = socket_send(s->file, &m);
	kfree(m.vector);
	return result;
}

static int64_t receive_one(struct socket *s, struct linux_msghdr *header, int flags)
{
	union address addr;
	struct message m = {.flags = flags};
	if (!user_ok(header, sizeof(*header), true))
		return -EFAULT;
	int64_t result = message_load(&m, header, &addr, false);
	if (result == 0)
		result = socket_receive(s->file, &m);
	kfree(m.vector);
	if (result < 0)
		return result;
	if (!user_ok(header, sizeof(*header), true))
		return -EFAULT;
	if (header->name && header->name_len >= 0) {
		uint32_t n = MIN((uint32_t)header->name_len, m.name_len);
		if (!user_ok(header->name, n, true))
			return -EFAULT;
		memcpy(header->name, &addr, n);
		header->name_len = m.name_len;
	}
	header->control_len = m.control_len;
	header->flags = m.out_flags | (flags & MSG_CMSG_CLOEXEC);
	return result;
}

SYSCALL(sendmsg)
{
	int error;
	struct socket *s = get(a[0], &error);
	return s ? put(s, send_one(s, (struct linux_msghdr *)a[1], a[2])) : error;
}

SYSCALL(recvmsg)
{
	int error;
	struct socket *s = get(a[0], &error);
	return s ? put(s, receive_one(s, (struct linux_msghdr *)a[1], a[2])) : error;
}

SYSCALL(sendmmsg)
{
	struct linux_mmsghdr *message = (struct linux_mmsghdr *)a[1];
	unsigned count = MIN((unsigned long)a[2], MAX_VECTOR), done = 0;
	int error;
	int64_t result = 0;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	for (; done < count; done++) {
		if ((result = send_one(s, &message[done].header, a[3])) < 0)
			break;
		if (user_ok(&message[done].len, sizeof(uint32_t), true))
			message[done].len = result;
	}
	return put(s, done ? done : result);
}

SYSCALL(recvmmsg)
{
	struct linux_mmsghdr *message = (struct linux_mmsghdr *)a[1];
	const struct timespec *timeout = (const struct timespec *)a[4];
	unsigned count = MIN((unsigned long)a[2], MAX_VECTOR), done = 0;
	int error, flags = a[3];
	int64_t result = 0;
	if (timeout && !user_ok(timeout, sizeof(*timeout), false))
		return -EFAULT;
	uint64_t end = timeout ? clock_monotonic() + timeout->tv_sec * NS_PER_S + timeout->tv_nsec : 0;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	for (; done < count; done++) {
		/* As Linux documents it, the time-out is looked at after each datagram only. */
		if (done && end && clock_monotonic() >= end)
			break;
		if ((result = receive_one(s, &message[done].header, flags & ~MSG_WAITFORONE)) < 0)
			break;
		if (user_ok(&message[done].len, sizeof(uint32_t), true))
			message[done].len = result;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return put(s, done ? done : result);
}
