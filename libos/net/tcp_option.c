/* SPDX-License-Identifier: Apache-2.0 */
/* Options of TCP sockets. */
#include "libos/net/inet.h"
#include "libos/net/tcp_socket.h"

#include "lwip/tcp.h"

static int set_tcp(struct tcp_socket *t, int option, int number)
{
	switch (option) {
	case LINUX_TCP_NODELAY: t->nodelay = number; break;
	case LINUX_TCP_CORK: t->cork = number; break;
	case LINUX_TCP_KEEPIDLE: t->keep_idle = number; break;
	case LINUX_TCP_KEEPINTVL: t->keep_interval = number; break;
	case LINUX_TCP_KEEPCNT: t->keep_count = number; break;
	case LINUX_TCP_MAXSEG: case LINUX_TCP_SYNCNT: case LINUX_TCP_LINGER2: case LINUX_TCP_DEFER_ACCEPT: case LINUX_TCP_WINDOW_CLAMP:
	case LINUX_TCP_QUICKACK: case LINUX_TCP_CONGESTION: case LINUX_TCP_USER_TIMEOUT: case LINUX_TCP_NOTSENT_LOWAT:
		return 0; /* advice */
	default: return -ENOPROTOOPT;
	}
	if (option >= LINUX_TCP_KEEPIDLE && number < 1)
		return -EINVAL;
	tcp_socket_changed(t);
	return 0;
}

int tcp_setopt(struct socket *s, int level, int option, const void *value, uint32_t len)
{
	struct tcp_socket *t = (struct tcp_socket *)s;
	int number = 0;
	if (level != SOL_TCP) {
		int result = inet_setopt(s, level, option, value, len, &t->tos, &t->ttl);
		tcp_socket_changed(t);
		return result;
	}
	if (len < sizeof(number) && option != LINUX_TCP_CONGESTION)
		return -EINVAL;
	memcpy(&number, value, MIN(len, sizeof(number)));
	return set_tcp(t, option, number);
}

/* The first fields of struct tcp_info; the rest is zero. */
static void fill_info(struct tcp_socket *t, uint8_t *info, uint32_t len)
{
	/* as in <netinet/tcp.h>, from enum tcp_socket_state */
	static const uint8_t state[] = {7, 2, 1, 10, 7};
	memset(info, 0, len);
	if (len)
		info[0] = t->pcb && t->state == TCP_CONNECTED && t->eof ? 8 : state[t->state];
	const struct { unsigned at; uint32_t value; } field[] = {
		{8, 200000}, {12, 40000}, {16, t->wire_mss ? t->wire_mss : 1460}, {20, 1460},
		{68, 1000}, {72, 500}, {80, t->pcb && t->state == TCP_CONNECTED ? t->pcb->cwnd / MAX(t->pcb->mss, 1) : 10},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(field); i++)
		if (field[i].at + 4 <= len)
			memcpy(info + field[i].at, &field[i].value, 4);
}

static int get_tcp(struct tcp_socket *t, int option, int *number)
{
	switch (option) {
	case LINUX_TCP_NODELAY: *number = t->nodelay; return 0;
	case LINUX_TCP_CORK: *number = t->cork; return 0;
	case LINUX_TCP_KEEPIDLE: *number = t->keep_idle; return 0;
	case LINUX_TCP_KEEPINTVL: *number = t->keep_interval; return 0;
	case LINUX_TCP_KEEPCNT: *number = t->keep_count; return 0;
	case LINUX_TCP_MAXSEG: *number = t->wire_mss ? t->wire_mss : 536; return 0;
	case LINUX_TCP_QUICKACK: *number = 1; return 0;
	case LINUX_TCP_DEFER_ACCEPT: case LINUX_TCP_USER_TIMEOUT: case LINUX_TCP_FASTOPEN: case LINUX_TCP_NOTSENT_LOWAT:
	case LINUX_TCP_WINDOW_CLAMP:
		*number = 0;
		return 0;
	default: return -ENOPROTOOPT;
	}
}

int tcp_getopt(struct socket *s, int level, int option, void *value, uint32_t *len)
{
	struct tcp_socket *t = (struct tcp_socket *)s;
	if (level != SOL_TCP)
		return inet_getopt(s, level, option, value, len, t->tos, t->ttl);
	if (option == LINUX_TCP_INFO) {
		*len = MIN(*len, 232);
		fill_info(t, value, *len);
		return 0;
	}
	if (option == LINUX_TCP_CONGESTION) {
		*len = MIN(*len, 16);
		memcpy(value, "reno\0\0\0\0\0\0\0\0\0\0\0", *len);
		return 0;
	}
	int number, result = get_tcp(t, option, &number);
	if (result < 0)
		return result;
	*len = MIN(*len, sizeof(number));
	memcpy(value, &number, *len);
	return 0;
}
