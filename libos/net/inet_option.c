/* SPDX-License-Identifier: Apache-2.0 */
/* Options of SOL_IP and SOL_IPV6, and the control messages of datagrams: what a socket asked for, and what a sender gives. */
#include "libos/net/ifconf.h"
#include "libos/net/inet.h"

#include "lwip/ip.h"
#include "lwip/netif.h"

enum { LINUX_IP_TOS = 1, LINUX_IP_TTL = 2, LINUX_IP_OPTIONS = 4, LINUX_IP_PKTINFO = 8, LINUX_IP_MTU_DISCOVER = 10,
	LINUX_IP_RECVERR = 11, LINUX_IP_RECVTTL = 12, LINUX_IP_RECVTOS = 13, LINUX_IP_MTU = 14, LINUX_IP_FREEBIND = 15,
	LINUX_IP_BIND_ADDRESS_NO_PORT = 24, LINUX_IP_MULTICAST_TTL = 33,
	LINUX_IPV6_UNICAST_HOPS = 16, LINUX_IPV6_MULTICAST_HOPS = 18, LINUX_IPV6_V6ONLY = 26, LINUX_IPV6_MTU_DISCOVER = 23, LINUX_IPV6_MTU = 24,
	LINUX_IPV6_RECVERR = 25, LINUX_IPV6_RECVPKTINFO = 49, LINUX_IPV6_PKTINFO = 50, LINUX_IPV6_RECVHOPLIMIT = 51,
	LINUX_IPV6_HOPLIMIT = 52, LINUX_IPV6_RECVTCLASS = 66, LINUX_IPV6_TCLASS = 67 };

#define DEFAULT_TTL 64
#define IPV6_LEAST_MTU 1280
#define PMTU_PROBE 3 /* the last of the values of IP_MTU_DISCOVER that forbid fragments, the first is 2 */

/* ---- options ---- */

static uint32_t wanted(int level, int option)
{
	switch (option | level << 16) {
	case LINUX_IP_PKTINFO: return WANT_PKTINFO;
	case LINUX_IP_RECVTTL: return WANT_TTL;
	case LINUX_IP_RECVTOS: return WANT_TOS;
	case LINUX_IP_RECVERR: case LINUX_IPV6_RECVERR | SOL_IPV6 << 16: return WANT_ERRORS;
	case LINUX_IPV6_RECVPKTINFO | SOL_IPV6 << 16: return WANT_PKTINFO6;
	case LINUX_IPV6_RECVHOPLIMIT | SOL_IPV6 << 16: return WANT_HOPLIMIT;
	case LINUX_IPV6_RECVTCLASS | SOL_IPV6 << 16: return WANT_TCLASS;
	default: return 0;
	}
}

/* A number of low to high, or -1 for the default. */
static int set_byte(uint8_t *to, int number, int low, int high, int otherwise)
{
	if (!to || number < -1 || number > high || (number >= 0 && number < low))
		return -EINVAL;
	*to = number < 0 ? otherwise : number;
	return 0;
}

static int set_mtu_discover(struct socket *s, int number)
{
	if (number < 0 || number > 5)
		return -EINVAL;
	s->mtu_discover = number;
	return 0;
}

static int set_v4(struct socket *s, int option, int number, uint32_t len, const struct inet_fields *field)
{
	switch (option) {
	case LINUX_IP_TOS: /* of TCP the two bits of congestion notification are the stack's */
		*field->tos = s->type == SOCK_STREAM ? (number & 0xfc) | (*field->tos & 3) : number;
		return 0;
	case LINUX_IP_TTL: return set_byte(field->ttl, number, 1, 255, DEFAULT_TTL);
	case LINUX_IP_MULTICAST_TTL: return set_byte(field->multicast_ttl, number, 0, 255, 1);
	case LINUX_IP_MTU_DISCOVER: return set_mtu_discover(s, number);
	case LINUX_IP_FREEBIND: s->free_bind = number; return 0;
	case LINUX_IP_BIND_ADDRESS_NO_PORT: s->bind_no_port = number; return 0;
	case LINUX_IP_OPTIONS: return len ? -ENOPROTOOPT : 0;
	default: return -ENOPROTOOPT;
	}
}

static bool is_bound(struct socket *s)
{
	union address own;
	return s->proto->name(s, &own, false) > 0 && own.in6.sin6_port;
}

static int set_v6(struct socket *s, int option, int number, const struct inet_fields *field)
{
	switch (option) {
	case LINUX_IPV6_V6ONLY:
		if (is_bound(s))
			return -EINVAL;
		s->v6only = number;
		if (s->proto->option_changed)
			s->proto->option_changed(s);
		return 0;
	case LINUX_IPV6_UNICAST_HOPS: return set_byte(field->ttl, number, 0, 255, DEFAULT_TTL);
	case LINUX_IPV6_MULTICAST_HOPS: return set_byte(field->multicast_ttl, number, 0, 255, 1);
	case LINUX_IPV6_TCLASS: return set_byte(field->tos, number, 0, 255, 0);
	case LINUX_IPV6_MTU_DISCOVER: return set_mtu_discover(s, number);
	case LINUX_IPV6_MTU:
		if (number && number < IPV6_LEAST_MTU)
			return -EINVAL;
		s->mtu6 = number;
		return 0;
	default: return -ENOPROTOOPT;
	}
}

int inet_setopt(struct socket *s, int level, int option, const void *value, uint32_t len, const struct inet_fields *field)
{
	int number = 0;
	memcpy(&number, value, MIN(len, sizeof(number)));
	if (level != SOL_IP && (level != SOL_IPV6 || s->family != AF_INET6))
		return -ENOPROTOOPT;
	uint32_t want = wanted(level, option);
	if (want) {
		s->wants = number ? s->wants | want : s->wants & ~want;
		return 0;
	}
	return level == SOL_IP ? set_v4(s, option, number, len, field) : set_v6(s, option, number, field);
}

/* Of the way to the peer. */
static int get_mtu(struct socket *s, int *number)
{
	union address peer;
	ip_addr_t remote, any = { 0 };
	uint16_t port;
	int len = s->proto->name(s, &peer, true), err = len < 0 ? len : inet_from_user(s, &peer, len, &remote, &port);
	if (err < 0)
		return err;
	IP_SET_TYPE_VAL(any, IP_GET_TYPE(&remote));
	const struct netif *netif = ip_route(&any, &remote);
	*number = netif ? ifconf_mtu(netif) : 1500;
	if (IP_IS_V4(&remote))
		*number = MIN(*number, 0xffff);
	return 0;
}

static int get_v4(struct socket *s, int option, int *number, const struct inet_fields *field)
{
	switch (option) {
	case LINUX_IP_TOS: *number = *field->tos; return 0;
	case LINUX_IP_TTL: *number = *field->ttl; return 0;
	case LINUX_IP_MULTICAST_TTL: *number = field->multicast_ttl ? *field->multicast_ttl : 1; return 0;
	case LINUX_IP_MTU_DISCOVER: *number = s->mtu_discover; return 0;
	case LINUX_IP_FREEBIND: *number = s->free_bind; return 0;
	case LINUX_IP_BIND_ADDRESS_NO_PORT: *number = s->bind_no_port; return 0;
	case LINUX_IP_MTU: return get_mtu(s, number);
	default: return -ENOPROTOOPT;
	}
}

static int get_v6(struct socket *s, int option, int *number, const struct inet_fields *field)
{
	switch (option) {
	case LINUX_IPV6_V6ONLY: *number = s->v6only; return 0;
	case LINUX_IPV6_UNICAST_HOPS: *number = *field->ttl; return 0;
	case LINUX_IPV6_MULTICAST_HOPS: *number = field->multicast_ttl ? *field->multicast_ttl : 1; return 0;
	case LINUX_IPV6_TCLASS: *number = *field->tos; return 0;
	case LINUX_IPV6_MTU_DISCOVER: *number = s->mtu_discover; return 0;
	case LINUX_IPV6_MTU: return get_mtu(s, number);
	default: return -ENOPROTOOPT;
	}
}

int inet_getopt(struct socket *s, int level, int option, void *value, uint32_t *len, const struct inet_fields *field)
{
	int number = 0, err = 0;
	if (level != SOL_IP && s->family == AF_INET)
		return -EOPNOTSUPP; /* unlike setsockopt, as on Linux */
	if (level == SOL_IP && option == LINUX_IP_OPTIONS) {
		*len = 0;
		return 0;
	}
	if (wanted(level, option))
		number = (s->wants & wanted(level, option)) != 0;
	else if (level == SOL_IP)
		err = get_v4(s, option, &number, field);
	else
		err = level == SOL_IPV6 ? get_v6(s, option, &number, field) : -ENOPROTOOPT;
	if (err)
		return err;
	*len = MIN(*len, sizeof(number));
	memcpy(value, &number, *len);
	return 0;
}

bool inet_too_large(const struct socket *s, const ip_addr_t *remote, size_t size)
{
	if (s->mtu_discover < 2 || s->mtu_discover > PMTU_PROBE)
		return false;
	ip_addr_t any = { 0 };
	IP_SET_TYPE_VAL(any, IP_GET_TYPE(remote));
	const struct netif *netif = ip_route(&any, remote);
	if (!netif)
		return false;
	if (IP_IS_V4(remote))
		return size + 20 > ifconf_mtu(netif);
	return size + 40 > (s->mtu6 ? MIN(s->mtu6, ifconf_mtu(netif)) : ifconf_mtu(netif));
}

/* ---- what a receiver asked for ---- */

static void put_v4(const struct socket *s, struct message *m, const struct packet *packet)
{
	struct in_pktinfo info = { .ipi_ifindex = packet->interface, .ipi_addr.s_addr = ip4_addr_get_u32(ip_2_ip4(&packet->to)) };
	const struct netif *netif = netif_get_by_index(packet->interface);
	int ttl = packet->ttl;
	info.ipi_spec_dst = info.ipi_addr; /* where an answer should come from */
	if (netif && (ip4_addr_isbroadcast(ip_2_ip4(&packet->to), netif) || ip4_addr_ismulticast(ip_2_ip4(&packet->to))))
		info.ipi_spec_dst.s_addr = ip4_addr_get_u32(netif_ip4_addr(netif));
	if (s->wants & WANT_PKTINFO)
		message_add_control(m, SOL_IP, LINUX_IP_PKTINFO, &info, sizeof(info));
	if (s->wants & WANT_TTL)
		message_add_control(m, SOL_IP, LINUX_IP_TTL, &ttl, sizeof(ttl));
	if (s->wants & WANT_TOS)
		message_add_control(m, SOL_IP, LINUX_IP_TOS, &packet->tos, sizeof(packet->tos));
}

static void put_v6(const struct socket *s, struct message *m, const struct packet *packet)
{
	union address to;
	int hops = packet->ttl, class = packet->tos;
	inet_to_user(s, &to, &packet->to, 0);
	struct linux_in6_pktinfo info = { .addr = to.in6.sin6_addr, .interface = packet->interface };
	if (s->wants & WANT_PKTINFO6)
		message_add_control(m, SOL_IPV6, LINUX_IPV6_PKTINFO, &info, sizeof(info));
	if (IP_IS_V4(&packet->to))
		return;
	if (s->wants & WANT_HOPLIMIT)
		message_add_control(m, SOL_IPV6, LINUX_IPV6_HOPLIMIT, &hops, sizeof(hops));
	if (s->wants & WANT_TCLASS)
		message_add_control(m, SOL_IPV6, LINUX_IPV6_TCLASS, &class, sizeof(class));
}

void inet_put_control(struct socket *s, struct message *m, const struct packet *packet)
{
	socket_put_stamp(s, m, packet->time);
	if (s->wants & WANT_DROPS && s->drops)
		message_add_control(m, SOL_SOCKET, SO_RXQ_OVFL, &s->drops, sizeof(s->drops));
	if (s->family == AF_INET6)
		put_v6(s, m, packet);
	if (IP_IS_V4(&packet->to))
		put_v4(s, m, packet);
}

/* ---- what a sender gives ---- */

static int get_from(struct inet_control *c, uint32_t v4)
{
	if (!v4)
		return 0;
	ip_addr_set_ip4_u32_val(c->from, v4);
	c->has_from = true;
	return inet_check_local(&c->from) ? -EINVAL : 0;
}

static int get_from6(const struct socket *s, struct inet_control *c, const struct linux_in6_pktinfo *info)
{
	union address from = { .in6 = { .sin6_family = AF_INET6, .sin6_addr = info->addr, .sin6_scope_id = info->interface } };
	uint16_t port;
	if (inet_from_user(s, &from, sizeof(from.in6), &c->from, &port) < 0 || inet_check_local(&c->from))
		return -EINVAL;
	c->has_from = !ip_addr_isany(&c->from);
	return 0;
}

static int get_one(const struct socket *s, struct inet_control *c, const struct linux_cmsghdr *header, const void *data, size_t n)
{
	union { int number; struct in_pktinfo v4; struct linux_in6_pktinfo v6; } value = { 0 };
	memcpy(&value, data, MIN(n, sizeof(value)));
	if (header->level == SOL_SOCKET)
		return header->type == SCM_RIGHTS || header->type == SCM_CREDENTIALS ? 0 : -EINVAL;
	switch (header->type | header->level << 16) {
	case LINUX_IP_PKTINFO: return n == sizeof(value.v4) ? get_from(c, value.v4.ipi_spec_dst.s_addr) : -EINVAL;
	case LINUX_IP_TTL: return n == sizeof(int) && value.number ? set_byte(&c->ttl, value.number, 1, 255, c->ttl) : -EINVAL;
	case LINUX_IP_TOS: c->tos = value.number; return n ? 0 : -EINVAL;
	case LINUX_IPV6_PKTINFO | SOL_IPV6 << 16: return n >= sizeof(value.v6) ? get_from6(s, c, &value.v6) : -EINVAL;
	case LINUX_IPV6_HOPLIMIT | SOL_IPV6 << 16: return n == sizeof(int) ? set_byte(&c->ttl, value.number, 0, 255, c->ttl) : -EINVAL;
	case LINUX_IPV6_TCLASS | SOL_IPV6 << 16: return n == sizeof(int) ? set_byte(&c->tos, value.number, 0, 255, 0) : -EINVAL;
	default: return header->level == SOL_IP || header->level == SOL_IPV6 ? -EINVAL : 0;
	}
}

int inet_get_control(const struct socket *s, const struct message *m, struct inet_control *c)
{
	struct linux_cmsghdr header;
	for (size_t at = 0; m->control && at + sizeof(header) <= m->control_len; at += ALIGN_UP(header.len, 8)) {
		const char *cmsg = (const char *)m->control + at;
		memcpy(&header, cmsg, sizeof(header));
		if (header.len < sizeof(header) || header.len > m->control_len - at)
			return -EINVAL;
		int err = get_one(s, c, &header, cmsg + sizeof(header), header.len - sizeof(header));
		if (err < 0)
			return err;
	}
	return 0;
}
