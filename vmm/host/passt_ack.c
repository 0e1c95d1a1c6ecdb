/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/passt_ack.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define WINDOW 16384 /* bytes, until passt says more: what the first flight of a server may be, and less than any socket holds */
#define SCALE_MAX 14 /* RFC 7323, section 2.3 */
#define SCALE_USUAL 7 /* of Linux, for a SYN that nobody saw */

struct segment { /* found in a frame */
	const uint8_t *ip; /* version 4 or 6 */
	const uint8_t *tcp;
	bool v6;
	uint8_t flags;
};

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

/* Answers the length of the IP header, 0 if TCP does not begin right behind it. */
static size_t ip_header(const uint8_t *ip, size_t len, bool v6)
{
	size_t header = v6 ? sizeof(struct ip6_hdr) : (ip[0] & 15) * 4u;

	if (len < header || header < (v6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr)))
		return 0;
	if (v6)
		return ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP ? header : 0;
	/* Of a fragment nothing can be said. */
	return ip[0] >> 4 == 4 && ip[9] == IPPROTO_TCP && !(get16(ip + 6) & (IP_MF | IP_OFFMASK)) ? header : 0;
}

static int window_scale(const uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != TCPOPT_EOL) {
		unsigned len = *option == TCPOPT_NOP ? 1 : end - option > 1 ? option[1] : 0;

		if (!len || len > (size_t)(end - option))
			return -1;
		if (*option == TCPOPT_WINDOW && len == TCPOLEN_WINDOW)
			return option[2] < SCALE_MAX ? option[2] : SCALE_MAX;
		option += len;
	}
	return -1;
}

/* len: what there is of the frame, which may be longer. */
static bool find_segment(const uint8_t *frame, size_t len, struct segment *segment)
{
	uint16_t type;
	size_t header, options;

	if (len < ETH_HLEN + sizeof(struct iphdr))
		return false;
	type = get16(frame + 12);
	if (type != ETH_P_IP && type != ETH_P_IPV6)
		return false;
	*segment = (struct segment){ .ip = frame + ETH_HLEN, .v6 = type == ETH_P_IPV6 };
	header = ip_header(segment->ip, len - ETH_HLEN, segment->v6);
	if (!header || len - ETH_HLEN - header < sizeof(struct tcphdr))
		return false;
	segment->tcp = segment->ip + header;
	segment->flags = segment->tcp[13];
	options = (segment->tcp[12] >> 4) * 4u;
	return options >= sizeof(struct tcphdr) && options <= len - ETH_HLEN - header;
}

static bool is_syn(const struct segment *segment)
{
	return segment->flags & TH_SYN && !(segment->flags & (TH_RST | TH_FIN));
}

/* How a SYN scales windows; -1: not at all. */
static int scale_said(const struct segment *segment)
{
	return window_scale(segment->tcp + sizeof(struct tcphdr), segment->tcp + (segment->tcp[12] >> 4) * 4u);
}

/* The same for both directions of a connection. */
static uint8_t *scale_of(struct passt_ack *ack, const struct segment *segment)
{
	uint16_t ports = get16(segment->tcp) ^ get16(segment->tcp + 2);

	return &ack->scale[(ports ^ ports >> 8) & 255];
}

/* ---- the answer ---- */

static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += 2)
		sum += get16(bytes + i);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Addresses the other way round. */
static size_t answer_ip(uint8_t *ip, const struct segment *segment)
{
	if (segment->v6) {
		ip[0] = 6 << 4;
		put16(ip + 4, sizeof(struct tcphdr));
		ip[6] = IPPROTO_TCP;
		ip[7] = 255;
		memcpy(ip + 8, segment->ip + 24, 16);
		memcpy(ip + 24, segment->ip + 8, 16);
		return sizeof(struct ip6_hdr);
	}
	ip[0] = 4 << 4 | sizeof(struct iphdr) / 4;
	put16(ip + 2, sizeof(struct iphdr) + sizeof(struct tcphdr));
	put16(ip + 6, IP_DF);
	ip[8] = 255;
	ip[9] = IPPROTO_TCP;
	memcpy(ip + 12, segment->ip + 16, 4);
	memcpy(ip + 16, segment->ip + 12, 4);
	put16(ip + 10, fold(sum_words(0, ip, sizeof(struct iphdr))));
	return sizeof(struct iphdr);
}

/* Its sequence number is the one that the guest awaits; an ACK acknowledges the guest's SYN. */
static void answer_tcp(uint8_t *tcp, const struct segment *segment, uint8_t flags, uint16_t window)
{
	memcpy(tcp, segment->tcp + 2, 2);
	memcpy(tcp + 2, segment->tcp, 2);
	memcpy(tcp + 4, segment->tcp + 8, 4);
	if (flags & TH_ACK) {
		uint32_t sequence = htonl(get32(segment->tcp + 4) + 1);

		memcpy(tcp + 8, &sequence, 4);
	}
	tcp[12] = sizeof(struct tcphdr) / 4 << 4;
	tcp[13] = flags;
	put16(tcp + 14, window);
}

static uint8_t answer(uint8_t *to, const uint8_t *frame, const struct segment *segment, uint8_t flags, uint16_t window)
{
	uint8_t *ip = to + ETH_HLEN, *tcp;
	size_t addresses = segment->v6 ? 32 : 8;

	memset(to, 0, ETH_HLEN + sizeof(struct ip6_hdr) + sizeof(struct tcphdr));
	memcpy(to, frame + ETH_ALEN, ETH_ALEN);
	memcpy(to + ETH_ALEN, frame, ETH_ALEN);
	memcpy(to + 12, frame + 12, 2);
	tcp = ip + answer_ip(ip, segment);
	answer_tcp(tcp, segment, flags, window);
	/* The pseudo header: the addresses lie right before TCP, in both versions. */
	put16(tcp + 16, fold(sum_words(IPPROTO_TCP + sizeof(struct tcphdr), tcp - addresses, addresses + sizeof(struct tcphdr))));
	return tcp + sizeof(struct tcphdr) - to;
}

/* ---- what a peer was heard to send ---- */

/* The connection of a segment, as the peer sees it: of IPv6 addresses the last four bytes. */
static struct passt_syn connection_of(const struct segment *segment, bool from_peer)
{
	const uint8_t *peer = segment->ip + (segment->v6 ? from_peer ? 20 : 36 : from_peer ? 12 : 16);
	uint32_t ours = get16(segment->tcp + (from_peer ? 2 : 0)), theirs = get16(segment->tcp + (from_peer ? 0 : 2));

	return (struct passt_syn){ .peer = get32(peer), .ports = theirs << 16 | ours };
}

static unsigned hash_of(const struct passt_syn *connection)
{
	uint32_t hash = connection->peer * 31 + connection->ports;

	return hash ^ hash >> 16;
}

/* NULL: passt has not asked for this connection, or another one has taken its place. */
static struct passt_syn *slot_of(struct passt_ack *ack, const struct passt_syn *connection)
{
	struct passt_syn *slot = &ack->syn[hash_of(connection) % PASST_SYNS];

	return slot->state && slot->peer == connection->peer && slot->ports == connection->ports ? slot : NULL;
}

static void syn_keep(struct passt_ack *ack, const struct segment *segment, const uint8_t *frame, size_t len)
{
	struct passt_syn new = connection_of(segment, true);

	new.awaited = get32(segment->tcp + 4) + 1;
	new.state = PASST_ASKS;
	new.syn.len = len;
	memcpy(new.syn.bytes, frame, len);
	ack->syn[hash_of(&new) % PASST_SYNS] = new;
}

static bool acknowledges(const struct segment *segment, const struct passt_syn *slot)
{
	return segment->flags & TH_ACK && get32(segment->tcp + 8) == slot->awaited;
}

static bool asks(const struct segment *segment)
{
	return (segment->flags & (TH_SYN | TH_ACK)) == TH_SYN;
}

static bool answers(const struct segment *segment)
{
	return is_syn(segment) && segment->flags & TH_ACK;
}

/* The guest acknowledges something else than the SYN: what it has is reset, and asked again. */
static void ask_again(struct passt_ack *ack, struct passt_syn *slot, const uint8_t *frame, const struct segment *segment)
{
	if (!slot->syn.len || segment->flags & TH_RST || !(segment->flags & TH_ACK) || ack->to - ack->from > PASST_ACKS - 2)
		return;
	struct passt_frame *reset = &ack->frame[ack->to++ % PASST_ACKS];

	reset->len = answer(reset->bytes, frame, segment, TH_RST, 0);
	ack->frame[ack->to++ % PASST_ACKS] = slot->syn;
	slot->syn.len = 0;
}

/* As a TCP that has sent a SYN judges: what does not acknowledge it, and does not ask itself, belongs to an earlier connection. */
static bool is_stale(struct passt_ack *ack, struct passt_syn *slot, const uint8_t *frame, const struct segment *segment)
{
	if (asks(segment))
		return false;
	if (slot->state == PASST_CONNECTED)
		return segment->flags & TH_SYN && acknowledges(segment, slot);
	if (slot->state == PASST_ASKS && acknowledges(segment, slot))
		return false;
	if (slot->state == PASST_ASKS)
		ask_again(ack, slot, frame, segment);
	return true;
}

static uint64_t *unread_word(struct passt_ack *ack, const struct passt_syn *connection, uint64_t *bit)
{
	unsigned at = hash_of(connection) % PASST_UNREAD;

	*bit = 1ull << at % 64;
	return &ack->unread[at / 64];
}

/* ---- interface ---- */

/* The first bytes of a frame that came in parts; answers how many, most at most. */
static size_t gather(uint8_t *to, size_t most, const struct iovec *iov, unsigned parts)
{
	size_t have = 0;

	for (unsigned i = 0; i < parts && have < most; i++) {
		size_t n = iov[i].iov_len < most - have ? iov[i].iov_len : most - have;

		memcpy(to + have, iov[i].iov_base, n);
		have += n;
	}
	return have;
}

void passt_ack_init(struct passt_ack *ack)
{
	ack->from = ack->to = 0;
	memset(ack->scale, SCALE_USUAL, sizeof(ack->scale));
	memset(ack->syn, 0, sizeof(ack->syn));
	memset(ack->unread, 0, sizeof(ack->unread));
}

void passt_ack_heard(struct passt_ack *ack, const uint8_t *frame, size_t len)
{
	struct segment segment;

	if (len > PASST_ACK_MAX || !find_segment(frame, len, &segment))
		return;
	if (is_syn(&segment) && asks(&segment)) {
		int scale = scale_said(&segment);

		*scale_of(ack, &segment) = scale < 0 ? 0 : scale;
		syn_keep(ack, &segment, frame, len);
	} else if (segment.flags & TH_RST) {
		struct passt_syn connection = connection_of(&segment, true), *slot = slot_of(ack, &connection);

		if (slot)
			slot->state = PASST_GONE;
	}
}

enum passt_verdict passt_ack_judge(struct passt_ack *ack, const struct iovec *iov, unsigned parts)
{
	uint8_t frame[PASST_ACK_MAX];
	struct segment segment;
	uint64_t bit;

	if (!find_segment(frame, gather(frame, sizeof(frame), iov, parts), &segment))
		return PASST_SEND;
	struct passt_syn connection = connection_of(&segment, false), *slot = slot_of(ack, &connection);

	if (slot && is_stale(ack, slot, frame, &segment))
		return PASST_DROP;
	return answers(&segment) && *unread_word(ack, &connection, &bit) & bit ? PASST_WAIT : PASST_SEND;
}

void passt_ack_read(struct passt_ack *ack)
{
	memset(ack->unread, 0, sizeof(ack->unread));
}

void passt_ack_sent(struct passt_ack *ack, const struct iovec *iov, unsigned parts, size_t len)
{
	uint8_t frame[PASST_ACK_MAX];
	struct segment segment;
	uint64_t bit;

	if (!find_segment(frame, gather(frame, sizeof(frame), iov, parts), &segment))
		return;
	struct passt_syn connection = connection_of(&segment, false), *slot = slot_of(ack, &connection);

	*unread_word(ack, &connection, &bit) |= bit;
	if (slot && asks(&segment))
		slot->state = PASST_UNKNOWN;
	else if (slot && slot->state == PASST_ASKS)
		slot->state = PASST_CONNECTED;
	if (len > sizeof(frame) || !answers(&segment) || ack->to - ack->from == PASST_ACKS)
		return;
	int scale = scale_said(&segment);

	/* A SYN,ACK without the option says that no window is scaled. */
	uint16_t window = scale < 0 ? WINDOW : WINDOW >> *scale_of(ack, &segment);
	struct passt_frame *reply = &ack->frame[ack->to++ % PASST_ACKS];

	reply->len = answer(reply->bytes, frame, &segment, TH_ACK, window ? window : 1);
}

int passt_ack_take(struct passt_ack *ack, const uint8_t **frame)
{
	unsigned slot = ack->from % PASST_ACKS;

	if (!passt_ack_waits(ack))
		return 0;
	ack->from++;
	memcpy(ack->taken, ack->frame[slot].bytes, ack->frame[slot].len);
	*frame = ack->taken;
	return ack->frame[slot].len;
}
