/* SPDX-License-Identifier: Apache-2.0 */
/* Options of TCP sockets. */
#include "libos/net/inet.h"
#include "libos/net/tcp_socket.h"

#include "lwip/priv/tcp_priv.h"
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

/* ---- TCP_INFO ---- */

void tcp_rtt_sample(struct tcp_socket *t, uint64_t since)
{
	uint32_t us = MAX((clock_monotonic() - since) / 1000, 1u), mean = t->rtt.mean;
	uint32_t off = us > mean ? us - mean : mean - us;
	t->rtt.deviation = mean ? t->rtt.deviation - t->rtt.deviation / 4 + off / 4 : us / 2;
	t->rtt.mean = mean ? mean - mean / 8 + us / 8 : us;
}

void tcp_rtt_start(struct tcp_socket *t)
{
	if (t->rtt.since)
		return;
	t->rtt.since = clock_monotonic();
	t->rtt.end = t->pcb->snd_lbb;
}

void tcp_rtt_acked(struct tcp_socket *t)
{
	if (t->pcb->nrtx) /* which of the two it answers is not known (Karn's algorithm) */
		t->rtt.since = 0;
	if (!t->rtt.since || TCP_SEQ_LT(t->pcb->lastack, t->rtt.end))
		return;
	tcp_rtt_sample(t, t->rtt.since);
	t->rtt.since = 0;
}

/* Where the fields of struct tcp_info lie; what lwIP does not know of is zero. */
enum { INFO_STATE = 0, INFO_RETRANSMITS = 2, INFO_OPTIONS = 5, INFO_SCALES = 6, INFO_RTO = 8, INFO_ATO = 12, INFO_SND_MSS = 16, INFO_RCV_MSS = 20,
	INFO_UNACKED = 24, INFO_LAST_RECEIVE = 52, INFO_PMTU = 60, INFO_RTT = 68, INFO_RTT_DEVIATION = 72, INFO_SSTHRESH = 76, INFO_CWND = 80,
	INFO_ADVMSS = 84, INFO_RCV_SPACE = 96, INFO_RECEIVED = 128, INFO_NOTSENT = 144, INFO_SIZE = 232 };
#define ACK_DELAY_US 40000
#define SSTHRESH_NONE 0x7fffffff

static void put(uint8_t *info, unsigned at, uint32_t value)
{
	memcpy(info + at, &value, sizeof(value));
}

static uint32_t unacked(const struct tcp_pcb *pcb)
{
	uint32_t segments = 0;
	for (const struct tcp_seg *segment = pcb->unacked; segment; segment = segment->next)
		segments++;
	return segments;
}

/* What only a connection has. */
static void fill_connection(const struct tcp_pcb *pcb, uint8_t *info)
{
	uint32_t mss = MAX(pcb->mss, 1);
	info[INFO_RETRANSMITS] = pcb->nrtx;
	info[INFO_OPTIONS] = (pcb->flags & TF_SACK ? 2 : 0) | (pcb->flags & TF_WND_SCALE ? 4 : 0);
	info[INFO_SCALES] = pcb->snd_scale | pcb->rcv_scale << 4;
	put(info, INFO_RTO, MAX(pcb->rto, 1) * TCP_SLOW_INTERVAL * 1000);
	put(info, INFO_UNACKED, unacked(pcb));
	put(info, INFO_SSTHRESH, pcb->ssthresh >= TCP_SND_BUF ? SSTHRESH_NONE : pcb->ssthresh / mss);
	put(info, INFO_CWND, pcb->cwnd / mss);
	put(info, INFO_NOTSENT, pcb->snd_lbb - pcb->snd_nxt);
}

static void fill_info(struct tcp_socket *t, uint8_t info[INFO_SIZE])
{
	uint32_t mss = t->wire_mss ? t->wire_mss : 1460;
	memset(info, 0, INFO_SIZE);
	info[INFO_STATE] = state_of(t);
	put(info, INFO_RTO, LWIP_TCP_RTO_TIME * 1000);
	put(info, INFO_ATO, ACK_DELAY_US);
	put(info, INFO_SND_MSS, mss);
	put(info, INFO_RCV_MSS, mss);
	put(info, INFO_ADVMSS, mss);
	put(info, INFO_PMTU, mss + (IP_IS_V6_VAL(t->remote_ip) ? 60 : 40));
	put(info, INFO_CWND, 10);
	put(info, INFO_SSTHRESH, SSTHRESH_NONE);
	put(info, INFO_RTT, t->rtt.mean);
	put(info, INFO_RTT_DEVIATION, t->rtt.deviation);
	put(info, INFO_RCV_SPACE, TCP_WND);
	put(info, INFO_RECEIVED, t->queued);
	if (t->last_receive)
		put(info, INFO_LAST_RECEIVE, (clock_monotonic() - t->last_receive) / 1000000);
	if (t->pcb && t->state == TCP_CONNECTED)
		fill_connection(t->pcb, info);
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
		*len = MIN(*len, INFO_SIZE);
		fill_info(t, value);
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
