/* SPDX-License-Identifier: Apache-2.0 */
/* setsockopt and getsockopt; SOL_SOCKET is done here, the rest by the families. */
#include "libos/net/socket.h"
#include "libos/proc/proc.h"

#define X(name) SYSCALL(name);
#include "libos/net/syscalls.list"
#undef X

#define OPTION_MOST 512 /* bytes: no option that is known here is longer */

enum { LINUX_SO_RCVTIMEO = 20, LINUX_SO_SNDTIMEO = 21, LINUX_SO_RCVTIMEO_NEW = 66, LINUX_SO_SNDTIMEO_NEW = 67 };

static struct socket *get(long fd, int *error)
{
	struct file *file = fd_get(fd);
	struct socket *s = file ? socket_of(file) : NULL;
	*error = file && !(file->flags & O_PATH) ? -ENOTSOCK : -EBADF;
	return s;
}

static int set_timeout(uint64_t *timeout, const void *value, uint32_t len)
{
	int64_t tv[2];
	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(tv, value, sizeof(tv));
	if (tv[1] < 0 || tv[1] >= 1000000)
		return -EDOM;
	*timeout = tv[0] < 0 ? 1 : MIN((uint64_t)tv[0], 1u << 30) * NS_PER_S + tv[1] * 1000;
	return 0;
}

#define SEND_LEAST 4608
#define RECEIVE_LEAST 2304

static uint32_t clamp_size(uint32_t number, uint32_t least) /* less than nothing is as much as may be */
{
	return MAX(MIN(number, 4u << 20) * 2, least); /* Linux doubles what it is told, and says so */
}

static int set_linger(struct socket *s, const void *value, uint32_t len)
{
	struct linux_linger linger;
	if (len < sizeof(linger))
		return -EINVAL;
	memcpy(&linger, value, sizeof(linger));
	s->linger_on = linger.on;
	s->linger_seconds = linger.seconds;
	return 0;
}

/* Where an option lies that is a number and nothing else. */
static int *plain(struct socket *s, int option)
{
	switch (option) {
	case SO_DONTROUTE: return &s->dont_route;
	case SO_NO_CHECK: return &s->no_check;
	case SO_OOBINLINE: return &s->oob_inline;
	case SO_PRIORITY: return &s->priority;
	case SO_MARK: return &s->mark;
	case SO_INCOMING_CPU: return &s->incoming_cpu;
	case SO_BUSY_POLL: return &s->busy_poll;
	default: return NULL;
	}
}

/* Linux' rules: what is the network administrator's is refused to others, whether anything here heeds it or not. */
static int may_set(int option, int number)
{
	bool mine = capable(CAP_NET_ADMIN);

	switch (option) {
	case SO_SNDBUFFORCE: case SO_RCVBUFFORCE: return mine ? 0 : -EPERM;
	case SO_MARK: return mine || capable(CAP_NET_RAW) ? 0 : -EPERM;
	case SO_PRIORITY: return (number >= 0 && number <= 6) || mine || capable(CAP_NET_RAW) ? 0 : -EPERM;
	case SO_BUSY_POLL: return number < 0 ? -EINVAL : 0;
	default: return 0;
	}
}

static int set_number(struct socket *s, int option, int number)
{
	switch (option) {
	case SO_TIMESTAMP_OLD: case SO_TIMESTAMP_NEW: case SO_TIMESTAMPNS_OLD: case SO_TIMESTAMPNS_NEW:
		s->stamp_option = number ? option : 0;
		break;
	case SO_RXQ_OVFL: s->wants = number ? s->wants | WANT_DROPS : s->wants & ~WANT_DROPS; break;
	case SO_REUSEADDR: s->reuse_address = number; break;
	case SO_REUSEPORT: s->reuse_port = number; break;
	case SO_KEEPALIVE: s->keepalive = number; break;
	case SO_BROADCAST: s->broadcast = number; break;
	case SO_PASSCRED: s->passcred = number; break;
	case SO_SNDBUF: case SO_SNDBUFFORCE:
		s->send_size = clamp_size(number, SEND_LEAST);
		s->send_chosen = true;
		break;
	case SO_RCVBUF: case SO_RCVBUFFORCE: s->receive_size = clamp_size(number, RECEIVE_LEAST); break;
	case SO_RCVLOWAT: s->low_water = number < 0 ? INT32_MAX : MAX(number, 1); break;
	case SO_DONTROUTE: case SO_NO_CHECK: case SO_OOBINLINE: *plain(s, option) = number != 0; break;
	default:
		if (!plain(s, option))
			return -ENOPROTOOPT;
		*plain(s, option) = number;
	}
	if (s->proto->option_changed)
		s->proto->option_changed(s);
	return 0;
}

static int set_socket(struct socket *s, int option, const void *value, uint32_t len)
{
	int number = 0;
	switch (option) {
	case LINUX_SO_RCVTIMEO: case LINUX_SO_RCVTIMEO_NEW: return set_timeout(&s->receive_timeout, value, len);
	case LINUX_SO_SNDTIMEO: case LINUX_SO_SNDTIMEO_NEW: return set_timeout(&s->send_timeout, value, len);
	case SO_LINGER: return set_linger(s, value, len);
	}
	if (len < sizeof(number))
		return -EINVAL;
	memcpy(&number, value, sizeof(number));
	int err = may_set(option, number);

	return err ? err : set_number(s, option, number);
}

SYSCALL(setsockopt)
{
	int err;
	uint8_t value[OPTION_MOST] __attribute__((aligned(8)));
	uint32_t len = MIN((uint32_t)a[4], sizeof(value));
	struct socket *s = get(a[0], &err);
	if (!s)
		return err;
	if ((int)a[4] < 0)
		return -EINVAL;
	if (user_read(value, a[3], len))
		return -EFAULT;
	if (a[1] == SOL_SOCKET)
		return set_socket(s, a[2], value, len);
	return s->proto->setopt ? s->proto->setopt(s, a[1], a[2], value, len) : -EOPNOTSUPP;
}

static int get_number(struct socket *s, int option, int *number)
{
	switch (option) {
	case SO_TYPE: *number = s->type; return 0;
	case SO_DOMAIN: *number = s->family; return 0;
	case SO_PROTOCOL: *number = s->protocol; return 0;
	case SO_ERROR: *number = -socket_take_error(s); return 0;
	case SO_ACCEPTCONN: *number = s->accepting; return 0;
	case SO_REUSEADDR: *number = s->reuse_address; return 0;
	case SO_REUSEPORT: *number = s->reuse_port; return 0;
	case SO_KEEPALIVE: *number = s->keepalive; return 0;
	case SO_BROADCAST: *number = s->broadcast; return 0;
	case SO_PASSCRED: *number = s->passcred; return 0;
	case SO_SNDBUF: *number = s->send_size; return 0;
	case SO_RCVBUF: *number = s->receive_size; return 0;
	case SO_TIMESTAMP_OLD: case SO_TIMESTAMP_NEW: case SO_TIMESTAMPNS_OLD: case SO_TIMESTAMPNS_NEW:
		*number = s->stamp_option == option;
		return 0;
	case SO_RXQ_OVFL: *number = (s->wants & WANT_DROPS) != 0; return 0;
	case SO_RCVLOWAT: *number = s->low_water; return 0;
	case SO_SNDLOWAT: *number = 1; return 0;
	case SO_INCOMING_NAPI_ID: *number = 0; return 0;
	default:
		if (!plain(s, option))
			return -ENOPROTOOPT;
		*number = *plain(s, option);
		return 0;
	}
}

static uint32_t put_value(void *to, uint32_t len, const void *from, uint32_t n)
{
	n = MIN(len, n);
	memcpy(to, from, n);
	return n;
}

static int get_socket(struct socket *s, int option, void *value, uint32_t *len)
{
	struct linux_linger linger = { s->linger_on, s->linger_seconds };
	uint64_t timeout = option == LINUX_SO_RCVTIMEO || option == LINUX_SO_RCVTIMEO_NEW ? s->receive_timeout : s->send_timeout;
	int64_t tv[2] = { timeout / NS_PER_S, timeout % NS_PER_S / 1000 };
	int number;
	switch (option) {
	case LINUX_SO_RCVTIMEO: case LINUX_SO_SNDTIMEO: case LINUX_SO_RCVTIMEO_NEW: case LINUX_SO_SNDTIMEO_NEW:
		*len = put_value(value, *len, tv, sizeof(tv));
		return 0;
	case SO_LINGER:
		*len = put_value(value, *len, &linger, sizeof(linger));
		return 0;
	case SO_PEERCRED:
		*len = put_value(value, *len, &s->peer, sizeof(s->peer));
		return 0;
	case SO_BINDTODEVICE: /* to none, by an empty name: setting one is refused */
		*len = 0;
		return 0;
	}
	int err = get_number(s, option, &number);
	if (err == 0)
		*len = put_value(value, *len, &number, sizeof(number));
	return err;
}

SYSCALL(getsockopt)
{
	int error;
	uint8_t value[OPTION_MOST] __attribute__((aligned(8)));
	uint32_t len;
	struct socket *s = get(a[0], &error);
	if (!s)
		return error;
	if (user_get(&len, a[4]))
		return -EFAULT;
	if ((int32_t)len < 0)
		return -EINVAL;
	len = MIN(len, sizeof(value));
	int err = a[1] == SOL_SOCKET ? get_socket(s, a[2], value, &len)
					: s->proto->getopt ? s->proto->getopt(s, a[1], a[2], value, &len) : -EOPNOTSUPP;
	if (err == 0 && (user_write(a[3], value, len) || user_put(a[4], len)))
		err = -EFAULT;
	return err;
}
