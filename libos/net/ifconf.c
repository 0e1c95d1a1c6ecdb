/* SPDX-License-Identifier: Apache-2.0 */
/* What programs ask about interfaces: SIOCGIF... of any socket. */
#include "libos/net/ifconf.h"
#include "libos/net/loopback.h"
#include "libos/net/net.h"
#include "libos/net/socket.h"

#include "lwip/netif.h"

enum { LINUX_IFF_UP = 1, LINUX_IFF_BROADCAST = 2, LINUX_IFF_LOOPBACK = 8, LINUX_IFF_RUNNING = 0x40, LINUX_IFF_MULTICAST = 0x1000,
	LINUX_ARPHRD_ETHER = 1, LINUX_ARPHRD_LOOPBACK = 772 };

void ifconf_name(const struct netif *netif, char name[16])
{
	memset(name, 0, 16);
	memcpy(name, loopback_is(netif) ? "lo" : "eth0", loopback_is(netif) ? 2 : 4);
}

unsigned ifconf_flags(const struct netif *netif)
{
	unsigned flags = (netif_is_up(netif) ? LINUX_IFF_UP | LINUX_IFF_RUNNING : 0);
	return flags | (loopback_is(netif) ? LINUX_IFF_LOOPBACK : LINUX_IFF_BROADCAST | LINUX_IFF_MULTICAST);
}

static struct netif *by_name(const char *wanted)
{
	struct netif *netif;
	NETIF_FOREACH(netif) {
		char name[16];
		ifconf_name(netif, name);
		if (strncmp(name, wanted, 16) == 0)
			return netif;
	}
	return NULL;
}

static void put_v4(struct linux_ifreq *req, uint32_t ip)
{
	memset(req->bytes, 0, sizeof(req->bytes));
	req->address.sin_family = AF_INET;
	req->address.sin_addr.s_addr = ip;
}

static long answer(struct netif *netif, struct linux_ifreq *req, unsigned request)
{
	uint32_t ip = ip4_addr_get_u32(netif_ip4_addr(netif)), mask = ip4_addr_get_u32(netif_ip4_netmask(netif));
	switch (request) {
	case SIOCGIFFLAGS: req->flags = ifconf_flags(netif); return 0;
	case SIOCGIFADDR: put_v4(req, ip); return ip ? 0 : -EADDRNOTAVAIL;
	case SIOCGIFNETMASK: put_v4(req, mask); return 0;
	case SIOCGIFBRDADDR: put_v4(req, loopback_is(netif) ? 0 : ip | ~mask); return 0;
	case SIOCGIFDSTADDR: put_v4(req, ip); return 0;
	case SIOCGIFMTU: req->number = ifconf_mtu(netif); return 0;
	case SIOCGIFINDEX: req->number = netif_get_index(netif); return 0;
	case SIOCGIFMETRIC: req->number = 0; return 0;
	case SIOCGIFTXQLEN: req->number = 1000; return 0;
	case SIOCGIFHWADDR:
		memset(req->bytes, 0, sizeof(req->bytes));
		req->hardware.family = loopback_is(netif) ? LINUX_ARPHRD_LOOPBACK : LINUX_ARPHRD_ETHER;
		memcpy(req->hardware.data, netif->hwaddr, 6);
		return 0;
	default: return -EPERM; /* the SIOCSIF... */
	}
}

static long list(uaddr_t to)
{
	struct linux_ifconf conf;
	struct netif *netif;
	int done = 0;
	if (user_get(&conf, to))
		return -EFAULT;
	NETIF_FOREACH(netif) {
		struct linux_ifreq req;
		if (ip4_addr_isany_val(*netif_ip4_addr(netif)))
			continue;
		ifconf_name(netif, req.name);
		put_v4(&req, ip4_addr_get_u32(netif_ip4_addr(netif)));
		if (conf.requests) {
			if (done + (int)sizeof(req) > conf.len)
				break;
			if (user_put((uaddr_t)conf.requests + done, req))
				return -EFAULT;
		}
		done += sizeof(req);
	}
	conf.len = done;
	return user_put(to, conf);
}

static long name_by_index(struct linux_ifreq *req)
{
	struct netif *netif = netif_get_by_index(req->number);
	if (!netif)
		return -ENODEV;
	ifconf_name(netif, req->name);
	return 0;
}

long netif_ioctl(unsigned request, unsigned long arg)
{
	struct linux_ifreq req;
	if (request < 0x8900 || request > 0x89ff)
		return -ENOTTY;
	net_up();
	if (request == SIOCGIFCONF)
		return list(arg);
	if (user_get(&req, arg))
		return -EFAULT;
	struct netif *netif = request == SIOCGIFNAME ? NULL : by_name(req.name);
	long result = request == SIOCGIFNAME ? name_by_index(&req) : netif ? answer(netif, &req, request) : -ENODEV;
	return result ? result : user_put(arg, req);
}

unsigned ifconf_mtu(const struct netif *netif)
{
	return loopback_is(netif) ? 65536 : netif->mtu6; /* mtu may be larger: see tcp_segment.c */
}
