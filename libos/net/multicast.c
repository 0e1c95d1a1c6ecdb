/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/net/multicast.h"
#include "libos/mm/mm.h"
#include "libos/net/loopback.h"
#include "libos/net/net.h"

#include "lwip/inet_chksum.h"
#include "lwip/ip4.h"
#include "lwip/netif.h"
#include "lwip/udp.h"

enum { LINUX_IP_MULTICAST_IF = 32, LINUX_IP_MULTICAST_LOOP = 34, LINUX_IP_ADD_MEMBERSHIP = 35, LINUX_IP_DROP_MEMBERSHIP = 36, LINUX_MCAST_JOIN_GROUP = 42,
	LINUX_MCAST_LEAVE_GROUP = 45, LINUX_IP_MULTICAST_ALL = 49 };
enum { IGMP_QUERY = 0x11, IGMP_REPORT = 0x16, IGMP_LEAVE = 0x17 };

#define MEMBERSHIPS 20 /* of a socket, as Linux has it */
#define PROTOCOL_IGMP 2
#define ALL_HOSTS PP_HTONL(0xe0000001u)   /* of which nobody is told */
#define ALL_ROUTERS PP_HTONL(0xe0000002u)

struct membership {
	struct membership *next;
	const struct multicast *owner;
	uint32_t group;
	uint8_t interface;
};

struct igmp {
	uint8_t type, time;
	uint16_t sum;
	uint32_t group;
};

static struct membership *memberships SELDOM_USED;

static bool is_group(uint32_t address)
{
	return (address & PP_HTONL(0xf0000000u)) == PP_HTONL(0xe0000000u);
}

static bool is_joined(uint32_t group, uint8_t interface)
{
	for (const struct membership *m = memberships; m; m = m->next)
		if (m->group == group && m->interface == interface)
			return true;
	return false;
}

/* ---- what others are told ---- */

static void tell(uint8_t type, uint32_t group, uint8_t interface)
{
	struct netif *netif = netif_get_by_index(interface);
	struct igmp igmp = { .type = type, .group = group };
	ip4_addr_t to = { type == IGMP_LEAVE ? ALL_ROUTERS : group };
	if (!netif || loopback_is(netif) || group == ALL_HOSTS)
		return;
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, sizeof(igmp), PBUF_RAM);
	if (!p)
		return;
	igmp.sum = inet_chksum(&igmp, sizeof(igmp));
	memcpy(p->payload, &igmp, sizeof(igmp));
	net_busy();
	ip4_output_if(p, netif_ip4_addr(netif), &to, 1, 0xc0, PROTOCOL_IGMP, netif);
	pbuf_free(p);
}

void multicast_input(struct pbuf *p, unsigned header, struct netif *from)
{
	struct igmp igmp;
	uint8_t interface = netif_get_index(from);
	if (!memberships || pbuf_copy_partial(p, &igmp, sizeof(igmp), header) < sizeof(igmp) || igmp.type != IGMP_QUERY)
		return;
	for (const struct membership *m = memberships; m; m = m->next) {
		const struct membership *first = memberships;
		while (first->group != m->group || first->interface != m->interface)
			first = first->next;
		if (first == m && m->interface == interface && (!igmp.group || igmp.group == m->group))
			tell(IGMP_REPORT, m->group, interface);
	}
}

/* ---- groups ---- */

static int join(struct multicast *m, uint32_t group, uint8_t interface)
{
	for (const struct membership *one = memberships; one; one = one->next)
		if (one->owner == m && one->group == group && one->interface == interface)
			return -EADDRINUSE;
	if (m->count >= MEMBERSHIPS)
		return -ENOBUFS;
	struct membership *new = kmalloc(sizeof(*new));
	if (!new)
		return -ENOBUFS;
	bool first = !is_joined(group, interface);
	*new = (struct membership){ .next = memberships, .owner = m, .group = group, .interface = interface };
	memberships = new;
	m->count++;
	if (first)
		tell(IGMP_REPORT, group, interface);
	return 0;
}

static void leave(struct multicast *m, struct membership **at)
{
	struct membership gone = **at;
	kfree(*at);
	*at = gone.next;
	m->count--;
	if (!is_joined(gone.group, gone.interface))
		tell(IGMP_LEAVE, gone.group, gone.interface);
}

void multicast_leave(struct multicast *m)
{
	for (struct membership **at = &memberships; *at;)
		if ((*at)->owner == m)
			leave(m, at);
		else
			at = &(*at)->next;
}

bool multicast_hears(const struct multicast *m, uint32_t group, uint8_t interface)
{
	bool any = false;
	for (const struct membership *one = memberships; one; one = one->next) {
		if (one->group != group || one->interface != interface)
			continue;
		if (one->owner == m)
			return true;
		any = true;
	}
	return any && !m->only_own;
}

/* ---- options ---- */

/* The interface of a number, or else of an address of its own (any: where packets leave by default); NULL: there is none. */
static struct netif *interface_of(int number, uint32_t address)
{
	struct netif *netif;
	net_up();
	if (number)
		return number > 0 && number < 256 ? netif_get_by_index((uint8_t)number) : NULL;
	if (!address && netif_default)
		return netif_default;
	NETIF_FOREACH(netif)
		if (address ? ip4_addr_get_u32(netif_ip4_addr(netif)) == address : loopback_is(netif))
			return netif;
	return NULL;
}

static int change(struct multicast *m, bool joins, uint32_t group, int number, uint32_t address)
{
	if (!is_group(group))
		return -EINVAL;
	const struct netif *netif = interface_of(number, address);
	if (joins)
		return netif ? join(m, group, netif_get_index(netif)) : -ENODEV;
	for (struct membership **at = &memberships; *at; at = &(*at)->next) {
		if ((*at)->owner != m || (*at)->group != group || ((number || address) && (!netif || (*at)->interface != netif_get_index(netif))))
			continue;
		leave(m, at);
		return 0;
	}
	return netif ? -EADDRNOTAVAIL : -ENODEV;
}

/* Where this socket's multicast leaves: struct in_addr, ip_mreq (its address is second) or ip_mreqn. */
static int set_interface(struct multicast *m, struct udp_pcb *pcb, const uint32_t *value, uint32_t len)
{
	uint32_t address = len >= 8 ? value[1] : len >= 4 ? value[0] : 0;
	int number = len >= 12 ? (int)value[2] : 0;
	if (len < 4)
		return -EINVAL;
	const struct netif *netif = number || address ? interface_of(number, address) : NULL;
	if ((number || address) && !netif)
		return -EADDRNOTAVAIL;
	udp_set_multicast_netif_index(pcb, netif ? netif_get_index(netif) : NETIF_NO_INDEX);
	m->from = address;
	return 0;
}

/* A byte or a number. */
static int number_from(const void *value, uint32_t len)
{
	int number = 0;
	memcpy(&number, value, len >= 4 ? 4 : MIN(len, 1u));
	return number;
}

int multicast_setopt(struct multicast *m, struct udp_pcb *pcb, int option, const void *value, uint32_t len)
{
	const uint32_t *words = value;
	struct { uint32_t interface, pad; struct sockaddr_in group; } request;
	switch (option) {
	case LINUX_IP_MULTICAST_IF:
		return set_interface(m, pcb, words, len);
	case LINUX_IP_MULTICAST_LOOP:
		pcb->flags = number_from(value, len) ? pcb->flags | UDP_FLAGS_MULTICAST_LOOP : pcb->flags & ~UDP_FLAGS_MULTICAST_LOOP;
		return len ? 0 : -EINVAL;
	case LINUX_IP_MULTICAST_ALL:
		if (len < 1 || (unsigned)number_from(value, len) > 1)
			return -EINVAL;
		m->only_own = !number_from(value, len);
		return 0;
	case LINUX_IP_ADD_MEMBERSHIP:
	case LINUX_IP_DROP_MEMBERSHIP:
		return len < 8 ? -EINVAL : change(m, option == LINUX_IP_ADD_MEMBERSHIP, words[0], len >= 12 ? (int)words[2] : 0, words[1]);
	case LINUX_MCAST_JOIN_GROUP:
	case LINUX_MCAST_LEAVE_GROUP:
		if (len < 136)
			return -EINVAL;
		memcpy(&request, value, sizeof(request));
		if (request.group.sin_family != AF_INET)
			return -EINVAL;
		return change(m, option == LINUX_MCAST_JOIN_GROUP, request.group.sin_addr.s_addr, (int)request.interface, 0);
	}
	return -ENOPROTOOPT;
}

int multicast_getopt(const struct multicast *m, const struct udp_pcb *pcb, int option, void *value, uint32_t *len)
{
	int number;
	switch (option) {
	case LINUX_IP_MULTICAST_IF: number = (int)m->from; break;
	case LINUX_IP_MULTICAST_LOOP: number = (pcb->flags & UDP_FLAGS_MULTICAST_LOOP) != 0; break;
	case LINUX_IP_MULTICAST_ALL: number = !m->only_own; break;
	default: return -ENOPROTOOPT;
	}
	*len = MIN(*len, sizeof(number));
	memcpy(value, &number, *len);
	return 0;
}
