/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets as files: what is the same for every family. */
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/net/socket.h"
#include "libos/proc/proc.h"

#define SIGPIPE 13
#define SI_USER 0

static struct socket *of(struct file *file)
{
	return file->private;
}

static int64_t socket_vector(struct file *file, const struct iovec *vector, int count, bool write)
{
	struct iovec few[8], *copy = few;
	if (count > (int)ARRAY_SIZE(few) && !(copy = kmalloc(count * sizeof(*copy))))
		return -ENOMEM;
	struct message m = { .iov = copy, .iovs = count };
	for (int i = 0; i < count; i++) {
		copy[i] = vector[i];
		m.left += vector[i].iov_len;
	}
	int64_t result = write ? socket_send(file, &m) : m.left ? socket_receive(file, &m) : 0;
	if (copy != few)
		kfree(copy);
	return result;
}

static int64_t socket_readv(struct file *file, const struct iovec *vector, int count)
{
	return socket_vector(file, vector, count, false);
}

static int64_t socket_writev(struct file *file, const struct iovec *vector, int count)
{
	return socket_vector(file, vector, count, true);
}

static int64_t socket_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct iovec vector = { .iov_base = (void *)to, .iov_len = n };
	return socket_vector(file, &vector, 1, false);
}

static int64_t socket_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct iovec vector = { .iov_base = (void *)from, .iov_len = n };
	return socket_vector(file, &vector, 1, true);
}

static uint32_t socket_poll(struct file *file, struct waitq **queue)
{
	struct socket *s = of(file);
	*queue = &s->wait;
	return s->proto->poll(s) | (s->error || s->faults ? EPOLLERR : 0);
}

static long put_int(unsigned long arg, int value)
{
	return user_put(arg, value);
}

static long socket_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct socket *s = of(file);
	switch (request) {
	case LINUX_FIONREAD: {
		int64_t n = s->proto->readable ? s->proto->readable(s) : 0;
		return n < 0 ? n : put_int(arg, MIN(n, 0x7fffffff));
	}
	case LINUX_SIOCOUTQ: {
		int64_t n = s->proto->unsent ? s->proto->unsent(s) : 0;
		return n < 0 ? n : put_int(arg, MIN(n, 0x7fffffff));
	}
	case LINUX_SIOCATMARK:
		return s->proto->at_mark ? put_int(arg, s->proto->at_mark(s)) : -ENOTTY;
	default:
		return netif_ioctl(request, arg);
	}
}

uint64_t socket_inode(const struct socket *s)
{
	return (uint64_t)s >> 4 & 0xffffffff;
}

static int socket_stat(struct file *file, struct stat *st)
{
	*st = (struct stat){.st_mode = S_IFSOCK | 0777, .st_nlink = 1, .st_blksize = 4096, .st_ino = socket_inode(of(file)),
		.st_dev = 8, .st_uid = of(file)->uid, .st_gid = of(file)->gid};
	return 0;
}

static void socket_release(struct file *file)
{
	of(file)->proto->close(of(file));
}

static const struct file_ops socket_ops = {
	.kind = "socket", .read = socket_read, .write = socket_write, .readv = socket_readv, .writev = socket_writev,
	.poll = socket_poll, .ioctl = socket_ioctl, .stat = socket_stat, .release = socket_release,
};

struct socket *socket_alloc(size_t size, const struct proto *proto, int family, int type, int protocol)
{
	struct socket *s = kzalloc(size);
	if (!s)
		return NULL;
	s->proto = proto;
	s->family = family;
	s->type = type;
	s->protocol = protocol;
	s->send_size = s->receive_size = 212992; /* net.core.wmem_default */
	s->mtu_discover = 1; /* IP_PMTUDISC_WANT */
	s->low_water = 1;
	s->incoming_cpu = -1;
	s->uid = credentials()->fsuid;
	s->gid = credentials()->fsgid;
	s->peer = (struct linux_ucred){ .uid = UINT32_MAX, .gid = UINT32_MAX };
	return s;
}

void socket_inherit(struct socket *child, const struct socket *listener)
{
	child->keepalive = listener->keepalive;
	child->reuse_address = listener->reuse_address;
	child->reuse_port = listener->reuse_port;
	child->v6only = listener->v6only;
	child->linger_on = listener->linger_on;
	child->linger_seconds = listener->linger_seconds;
	child->stamp_option = listener->stamp_option;
	child->dont_route = listener->dont_route;
	child->oob_inline = listener->oob_inline;
	child->broadcast = listener->broadcast;
	child->free_bind = listener->free_bind;
	child->busy_poll = listener->busy_poll;
	child->mark = listener->mark; /* the priority is not kept */
	child->receive_timeout = listener->receive_timeout;
	child->send_timeout = listener->send_timeout;
	child->receive_size = listener->receive_size;
	child->send_size = listener->send_size;
	child->send_chosen = listener->send_chosen;
	child->low_water = listener->low_water;
	child->mtu_discover = listener->mtu_discover;
	child->wants = listener->wants;
}

int socket_install(struct socket *s, int flags)
{
	s->file = file_new(&socket_ops, O_RDWR | (flags & SOCK_NONBLOCK), s);
	if (!s->file) {
		s->proto->close(s);
		return -ENOMEM;
	}
	return fd_install(s->file, 0, flags & SOCK_CLOEXEC);
}

int net_stream_pair(struct file *pair[2], uint32_t flags)
{
	struct socket *s[2];
	int err = unix_pair(SOCK_STREAM, &s[0], &s[1]);

	for (int i = 0; !err && i < 2; i++)
		pair[i] = s[i]->file = file_new(&socket_ops, O_RDWR | flags, s[i]);
	if (err || (pair[0] && pair[1]))
		return err;
	for (int i = 0; i < 2; i++) {
		if (pair[i])
			file_put(pair[i]);
		else
			s[i]->proto->close(s[i]);
	}
	return -ENOMEM;
}

int64_t net_write(struct file *file, const void *data, size_t n)
{
	struct iovec vector = { .iov_base = (void *)data, .iov_len = n };
	struct message m = { .iov = &vector, .iovs = 1, .left = n, .flags = MSG_NOSIGNAL | MSG_DONTWAIT };

	return socket_send(file, &m);
}

void net_end_writing(struct file *file)
{
	struct socket *s = socket_of(file);

	(void)s->proto->shutdown(s, SHUT_WR);
}

struct socket *socket_of(struct file *file)
{
	return file->ops == &socket_ops ? of(file) : NULL;
}

static void note_nonblock(struct file *file, struct message *m)
{
	if (file->flags & O_NONBLOCK)
		m->flags |= MSG_DONTWAIT;
}

int64_t socket_send(struct file *file, struct message *m)
{
	struct socket *s = of(file);
	if ((m->flags & MSG_OOB && !s->proto->at_mark) || !s->proto->send)
		return -EOPNOTSUPP;
	note_nonblock(file, m);
	if (s->shut_write && s->type == SOCK_STREAM)
		return socket_broken_pipe(m);
	return s->proto->send(s, m);
}

int64_t socket_receive(struct file *file, struct message *m)
{
	struct socket *s = of(file);
	if (m->flags & MSG_ERRQUEUE)
		return s->proto->receive_error ? s->proto->receive_error(s, m) : -EAGAIN;
	if (m->flags & MSG_OOB && !s->proto->at_mark && s->family == AF_UNIX)
		return s->type == SOCK_STREAM ? -EINVAL : -EOPNOTSUPP;
	if (!s->proto->receive)
		return -EOPNOTSUPP;
	note_nonblock(file, m);
	return s->proto->receive(s, m);
}

int socket_wait(struct socket *s, uint64_t timeout, uint64_t *start)
{
	if (timeout && !*start)
		*start = clock_monotonic();
	int err = wait_on(&s->wait, timeout ? *start + timeout : 0);
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	/* A call with a time-out cannot be restarted: it would wait anew. */
	return err == -EINTR && !timeout ? -ERESTARTSYS : err;
}

int socket_take_error(struct socket *s)
{
	int error = s->error;
	s->error = 0;
	return -error;
}

void socket_put_stamp(const struct socket *s, struct message *m, uint64_t time)
{
	bool micro = s->stamp_option == SO_TIMESTAMP_OLD || s->stamp_option == SO_TIMESTAMP_NEW;
	int64_t stamp[2] = { time / NS_PER_S, time % NS_PER_S / (micro ? 1000 : 1) };
	if (s->stamp_option)
		message_add_control(m, SOL_SOCKET, s->stamp_option, stamp, sizeof(stamp));
}

int64_t socket_broken_pipe(struct message *m)
{
	struct siginfo_k info = { .signo = SIGPIPE, .code = SI_USER };
	if (!(m->flags & MSG_NOSIGNAL))
		signal_send(current, SIGPIPE, &info);
	return -EPIPE;
}
