/* SPDX-License-Identifier: Apache-2.0 */
/* Options of TCP sockets. */
#include "libos/net/inet.h"
#include "libos/net/tcp_socket.h"

#include "lwip/tcp.h"

#define SYN_RETRIES 6 /* net.ipv4.tcp_syn_retries */
#define MSS_LEAST 88
#define MSS_MOST 32767

static int set_range(uint32_t *to, int number, int low, int high)
{
	if (number < low || number > high)
		return -EINVAL;
	*to = number;
	return 0;
}

static int set_quick(struct tcp_socket *t, bool quick)
{
	t->answers = !quick;
	if (quick)
		tcp_ack_quickly(t);
	return 0;
}

/* What cannot be honoured is refused; the others of Linux' options are unknown here. */
static int set_tcp(struct tcp_socket *t, int option, int number)
{
	int err = 0;
	switch (option) {
	case LINUX_TCP_NODELAY: t->o.nodelay = number; break;
	case LINUX_TCP_CORK: t->cork = number; break;
	case LINUX_TCP_KEEPIDLE: err = set_range(&t->o.keep_idle, number, 1, 32767); break;
	case LINUX_TCP_KEEPINTVL: err = set_range(&t->o.keep_interval, number, 1, 32767); break;
	case LINUX_TCP_KEEPCNT: err = set_range(&t->o.keep_count, number, 1, 127); break;
	case LINUX_TCP_SYNCNT: return set_range(&t->o.syn_count, number, 1, 127);
	case LINUX_TCP_USER_TIMEOUT: return set_range(&t->o.user_timeout, number, 0, INT32_MAX);
	case LINUX_TCP_MAXSEG: return set_range(&t->o.mss_limit, number, number ? MSS_LEAST : 0, MSS_MOST); /* 0: none */
	case LINUX_TCP_NOTSENT_LOWAT: t->o.unsent_most = number; return 0;
	case LINUX_TCP_DEFER_ACCEPT: t->o.defer_accept = MAX(number, 0); return 0;
	case LINUX_TCP_QUICKACK: return set_quick(t, number);
	default: return -ENOPROTOOPT;
	}
	if (err == 0)
		tcp_socket_changed(t);
	return err;
}

static int set_congestion(const void *value, uint32_t len)
{
	char name[16] = "";
	memcpy(name, value, MIN(len, sizeof(name) - 1));
	return strcmp(name, "reno") ? -ENOENT : 0;
}

int tcp_setopt(struct socket *s, int level, int option, const void *value, uint32_t len)
{
	struct tcp_socket *t = (struct tcp_socket *)s;
	int number = 0;
	if (level != SOL_TCP) {
		int err = inet_setopt(s, level, option, value, len, &(struct inet_fields){ .tos = &t->o.tos, .ttl = &t->o.ttl });
		tcp_socket_changed(t);
		return err;
	}
	if (option == LINUX_TCP_CONGESTION)
		return set_congestion(value, len);
	if (len < sizeof(number))
		return -EINVAL;
	memcpy(&number, value, sizeof(number));
	return set_tcp(t, option, number);
}

/* As <netinet/tcp.h> has them. */
static uint8_t state_of(const struct tcp_socket *t)
{
	static const uint8_t linux_state[] = { [CLOSED] = 7, [LISTEN] = 10, [SYN_SENT] = 2, [SYN_RCVD] = 3, [ESTABLISHED] = 1, [FIN_WAIT_1] = 4,
		[FIN_WAIT_2] = 5, [CLOSE_WAIT] = 8, [CLOSING] = 11, [LAST_ACK] = 9, [TIME_WAIT] = 6 };
	return linux_state[t->pcb ? t->pcb->state : CLOSED];
}

/* The first fields of struct tcp_info; the rest is zero. */
static void fill_info(struct tcp_socket *t, uint8_t *info, uint32_t len)
{
	memset(info, 0, len);
	if (len)
		info[0] = state_of(t);
	const struct { unsigned at; uint32_t value; } field[] = {
		{ 8, 200000 }, { 12, 40000 }, { 16, t->wire_mss ? t->wire_mss : 1460 }, { 20, 1460 },
		{ 68, 1000 }, { 72, 500 }, { 80, t->pcb && t->state == TCP_CONNECTED ? t->pcb->cwnd / MAX(t->pcb->mss, 1) : 10 },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(field); i++)
		if (field[i].at + 4 <= len)
			memcpy(info + field[i].at, &field[i].value, 4);
}

static int get_tcp(struct tcp_socket *t, int option, int *number)
{
	switch (option) {
	case LINUX_TCP_NODELAY: *number = t->o.nodelay; return 0;
	case LINUX_TCP_CORK: *number = t->cork; return 0;
	case LINUX_TCP_KEEPIDLE: *number = t->o.keep_idle; return 0;
	case LINUX_TCP_KEEPINTVL: *number = t->o.keep_interval; return 0;
	case LINUX_TCP_KEEPCNT: *number = t->o.keep_count; return 0;
	case LINUX_TCP_MAXSEG: *number = t->wire_mss ? t->wire_mss : t->o.mss_limit ? t->o.mss_limit : 536; return 0;
	case LINUX_TCP_QUICKACK: *number = !t->answers; return 0;
	case LINUX_TCP_SYNCNT: *number = t->o.syn_count ? t->o.syn_count : SYN_RETRIES; return 0;
	case LINUX_TCP_USER_TIMEOUT: *number = t->o.user_timeout; return 0;
	case LINUX_TCP_NOTSENT_LOWAT: *number = t->o.unsent_most; return 0;
	case LINUX_TCP_DEFER_ACCEPT: *number = t->o.defer_accept; return 0;
	case LINUX_TCP_FASTOPEN: *number = 0; return 0;
	default: return -ENOPROTOOPT;
	}
}

int tcp_getopt(struct socket *s, int level, int option, void *value, uint32_t *len)
{
	struct tcp_socket *t = (struct tcp_socket *)s;
	if (level != SOL_TCP)
		return inet_getopt(s, level, option, value, len, &(struct inet_fields){ .tos = &t->o.tos, .ttl = &t->o.ttl });
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
