/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP, UDP and raw sockets share. */
#include "libos/mm/mm.h"
#include "libos/net/hooks.h"
#include "libos/net/inet.h"
#include "libos/net/loopback.h"
#include "libos/net/net.h"

#include "lwip/dhcp.h"
#include "lwip/ip.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"

#define DHCP_PATIENCE (5 * NS_PER_S)

/* ---- addresses ---- */

static void from_v4_mapped(const struct sockaddr_in6 *in6, ip_addr_t *ip)
{
	uint32_t v4;
	memcpy(&v4, in6->sin6_addr.s6_addr + 12, 4);
	ip_addr_set_ip4_u32_val(*ip, v4);
}

static bool is_v4_mapped(const struct sockaddr_in6 *in6)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(in6->sin6_addr.s6_addr, prefix, 12) == 0;
}

int inet_from_user(const struct socket *s, const union address *addr, uint32_t len, ip_addr_t *ip, uint16_t *port)
{
	*ip = (ip_addr_t){0};
	if (len < (s->family == AF_INET ? sizeof(addr->in) : offsetof(struct sockaddr_in6, sin6_scope_id)))
		return -EINVAL;
	if (addr->any.family != s->family)
		return -EAFNOSUPPORT;
	if (s->family == AF_INET) {
		ip_addr_set_ip4_u32_val(*ip, addr->in.sin_addr.s_addr);
		*port = __builtin_bswap16(addr->in.sin_port);
		return 0;
	}
	*port = __builtin_bswap16(addr->in6.sin6_port);
	if (is_v4_mapped(&addr->in6)) {
		if (s->v6only)
			return -ENETUNREACH;
		from_v4_mapped(&addr->in6, ip);
		return 0;
	}
	IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_V6);
	memcpy(ip_2_ip6(ip)->addr, addr->in6.sin6_addr.s6_addr, 16);
	if (!ip6_addr_islinklocal(ip_2_ip6(ip)))
		return 0;
	if (len < sizeof(addr->in6) || !addr->in6.sin6_scope_id)
		return -EINVAL; /* which link? */
	ip6_addr_set_zone(ip_2_ip6(ip), addr->in6.sin6_scope_id);
	return 0;
}

int inet_to_user(const struct socket *s, union address *addr, const ip_addr_t *ip, uint16_t port)
{
	memset(addr, 0, sizeof(*addr));
	addr->any.family = s->family;
	if (s->family == AF_INET) {
		addr->in.sin_port = __builtin_bswap16(port);
		addr->in.sin_addr.s_addr = IP_IS_V4(ip) ? ip4_addr_get_u32(ip_2_ip4(ip)) : 0;
		return sizeof(addr->in);
	}
	addr->in6.sin6_port = __builtin_bswap16(port);
	uint8_t *to = addr->in6.sin6_addr.s6_addr;
	if (IP_IS_V4(ip) && IP_GET_TYPE(ip) != IPADDR_TYPE_ANY) {
		uint32_t v4 = ip4_addr_get_u32(ip_2_ip4(ip));
		to[10] = to[11] = 0xff;
		memcpy(to + 12, &v4, 4);
	} else {
		memcpy(to, ip_2_ip6(ip)->addr, 16);
		if (ip6_addr_islinklocal(ip_2_ip6(ip)))
			addr->in6.sin6_scope_id = ip6_addr_zone(ip_2_ip6(ip));
	}
	return sizeof(addr->in6);
}

static bool has_address(struct netif *netif, const ip_addr_t *ip)
{
	if (IP_IS_V4(ip))
		return ip4_addr_cmp(ip_2_ip4(ip), netif_ip4_addr(netif));
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (!ip6_addr_isinvalid(netif_ip6_addr_state(netif, i)) &&
		    ip6_addr_cmp_zoneless(ip_2_ip6(ip), netif_ip6_addr(netif, i)))
			return true;
	return false;
}

int inet_check_local(const ip_addr_t *ip)
{
	struct netif *netif;
	if (ip_addr_isany(ip) || ip_addr_ismulticast(ip) || (IP_IS_V4(ip) && ip4_addr_isloopback(ip_2_ip4(ip))))
		return 0;
	if (IP_IS_V4(ip) && ip4_addr_get_u32(ip_2_ip4(ip)) == IPADDR_BROADCAST)
		return 0;
	NETIF_FOREACH(netif)
		if (has_address(netif, ip))
			return 0;
	return -EADDRNOTAVAIL;
}

int inet_bind_address(const struct socket *s, const union address *addr, uint32_t len, ip_addr_t *ip, uint16_t *port)
{
	union address plain = *addr;
	if (s->family == AF_INET && len >= sizeof(plain.in) && plain.any.family == AF_UNSPEC && plain.in.sin_addr.s_addr == 0)
		plain.any.family = AF_INET; /* as Linux, where old programs say no family */
	int err = inet_from_user(s, &plain, len, ip, port);
	if (err == -ENETUNREACH) /* of IPv4, which this socket does not speak */
		err = -EINVAL;
	if (err == 0 && !s->free_bind)
		err = inet_check_local(ip);
	if (err == 0 && ip_addr_isany(ip) && s->family == AF_INET6 && IP_IS_V6(ip))
		IP_SET_TYPE_VAL(*ip, inet_ip_type(s));
	return err;
}

static bool dhcp_runs(void)
{
	return netif_default && netif_dhcp_data(netif_default) && ip4_addr_isany_val(*netif_ip4_addr(netif_default));
}

static bool is_loopback(const ip_addr_t *ip)
{
	return ip_addr_isloopback(ip) || (IP_IS_V4(ip) && ip4_addr_isloopback(ip_2_ip4(ip)));
}

/* A program that starts at once is ready before the DHCP server has answered. */
static void await_address(void)
{
	static struct waitq nobody;
	uint64_t end = clock_monotonic() + DHCP_PATIENCE;
	while (dhcp_runs() && clock_monotonic() < end)
		if (wait_on(&nobody, MIN(end, clock_monotonic() + 20000000)) == -EINTR)
			return;
}

static bool on_link(const struct netif *netif, const ip4_addr_t *ip)
{
	return ip4_addr_netcmp(ip, netif_ip4_addr(netif), netif_ip4_netmask(netif)) || ip4_addr_ismulticast(ip) ||
	       ip4_addr_get_u32(ip) == IPADDR_BROADCAST;
}

/* Beyond the link only a router knows the way, which has told of itself; lwIP would try the interface all the same. */
static bool has_way(struct netif *netif, const ip6_addr_t *ip)
{
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) && ip6_addr_netcmp(ip, netif_ip6_addr(netif, i)) &&
		    (netif_ip6_addr_isstatic(netif, i) || ip6_addr_nethostcmp(ip, netif_ip6_addr(netif, i))))
			return true;
	return loopback_is(netif) || ip6_addr_islinklocal(ip) || ip6_addr_ismulticast(ip) || nd6_find_route(ip) || net_gateway6(netif, ip);
}

int inet_route(const struct socket *s, const ip_addr_t *remote, ip_addr_t *local)
{
	if (IP_IS_V4(remote) && dhcp_runs() && !is_loopback(remote))
		await_address();
	ip_addr_t from = { 0 };
	IP_SET_TYPE_VAL(from, IP_GET_TYPE(remote));
	struct netif *netif = ip_route(&from, remote);
	bool near = s->dont_route || (netif && ip4_addr_isany_val(*netif_ip4_gw(netif)));
	if (netif && IP_IS_V4(remote) && near && !on_link(netif, ip_2_ip4(remote)))
		return -ENETUNREACH;
	if (netif && IP_IS_V6(remote) && !has_way(netif, ip_2_ip6(remote)))
		return -ENETUNREACH;
	const ip_addr_t *source = netif ? ip_netif_get_local_ip(netif, remote) : NULL;
	if (!source || (IP_IS_V4(source) && ip4_addr_isany_val(*ip_2_ip4(source))))
		return -ENETUNREACH;
	*local = *source;
	return 0;
}

int inet_error(err_t err)
{
	switch (err) {
	case ERR_OK: return 0;
	case ERR_MEM: case ERR_BUF: return -ENOBUFS;
	case ERR_TIMEOUT: return -ETIMEDOUT;
	case ERR_RTE: return -ENETUNREACH;
	case ERR_INPROGRESS: return -EINPROGRESS;
	case ERR_WOULDBLOCK: return -EAGAIN;
	case ERR_USE: return -EADDRINUSE;
	case ERR_ALREADY: return -EALREADY;
	case ERR_ISCONN: return -EISCONN;
	case ERR_CONN: case ERR_CLSD: return -ENOTCONN;
	case ERR_ABRT: return -ECONNABORTED;
	case ERR_RST: return -ECONNRESET;
	default: return -EINVAL;
	}
}

uint8_t inet_ip_type(const struct socket *s)
{
	if (s->family == AF_INET)
		return IPADDR_TYPE_V4;
	return s->v6only ? IPADDR_TYPE_V6 : IPADDR_TYPE_ANY;
}

/* ---- bytes ---- */

int64_t inet_copy_out(struct message *m, struct pbuf *p, size_t offset, size_t n)
{
	int64_t done = 0;
	for (; p && n; offset -= MIN(offset, p->len), p = p->next) {
		if (offset >= p->len)
			continue;
		size_t piece = MIN(p->len - offset, n);
		if (message_put(m, (char *)p->payload + offset, piece) < 0)
			return done ? done : -EFAULT;
		done += piece;
		n -= piece;
	}
	return done;
}

struct pbuf *inet_copy_in(struct message *m, pbuf_layer layer, int *error)
{
	struct pbuf *p = pbuf_alloc(layer, m->left, PBUF_RAM);
	*error = -ENOBUFS;
	if (p && (*error = message_get(m, p->payload, m->left)) < 0) {
		pbuf_free(p);
		p = NULL;
	}
	return p;
}
