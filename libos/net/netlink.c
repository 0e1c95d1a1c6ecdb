/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little of NETLINK_ROUTE that C libraries use to list interfaces and addresses (getifaddrs, getaddrinfo): dumps
 * of links and addresses. Everything else is answered with EOPNOTSUPP.
 */
#include "libos/mm/mm.h"
#include "libos/net/ifconf.h"
#include "libos/net/loopback.h"
#include "libos/net/inet.h"
#include "libos/net/net.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "lwip/netif.h"

#define LINUX_IFF_LOWER_UP 0x10000

struct answer { /* one datagram */
	struct answer *next;
	uint32_t len, read;
	uint8_t data[];
};
struct netlink_socket {
	struct socket s;
	uint32_t pid;
	struct answer *first, *last;
};
struct builder {
	struct answer *answer;
	uint32_t space;
	struct nlmsghdr *header; /* of the message that is being built */
	bool failed;
};

static struct netlink_socket *of(struct socket *s)
{
	return (struct netlink_socket *)s;
}

static void *append(struct builder *b, const void *data, uint32_t n)
{
	uint32_t padded = NLMSG_ALIGN(n);
	if (b->failed || b->answer->len + padded > b->space) {
		b->failed = true;
		return NULL;
	}
	void *to = b->answer->data + b->answer->len;
	memset(to, 0, padded);
	memcpy(to, data, n);
	b->answer->len += padded;
	return to;
}

static void begin(struct builder *b, const struct nlmsghdr *request, uint32_t pid, int type, int flags)
{
	struct nlmsghdr header = { .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = request->nlmsg_seq, .nlmsg_pid = pid };
	b->header = append(b, &header, sizeof(header));
}

static void end(struct builder *b)
{
	if (!b->failed)
		b->header->nlmsg_len = b->answer->data + b->answer->len - (uint8_t *)b->header;
}

static void attribute(struct builder *b, int type, const void *data, uint32_t n)
{
	struct rtattr header = { .rta_len = RTA_LENGTH(n), .rta_type = type };
	append(b, &header, sizeof(header));
	append(b, data, n);
}

static void dump_link(struct builder *b, const struct nlmsghdr *request, uint32_t pid, struct netif *netif)
{
	char name[16];
	uint32_t mtu = ifconf_mtu(netif);
	struct ifinfomsg info = { .ifi_type = loopback_is(netif) ? 772 : 1, .ifi_index = netif_get_index(netif),
		.ifi_flags = ifconf_flags(netif) | (netif_is_link_up(netif) ? LINUX_IFF_LOWER_UP : 0) };
	ifconf_name(netif, name);
	begin(b, request, pid, RTM_NEWLINK, NLM_F_MULTI);
	append(b, &info, sizeof(info));
	attribute(b, IFLA_IFNAME, name, strlen(name) + 1);
	attribute(b, IFLA_MTU, &mtu, sizeof(mtu));
	attribute(b, IFLA_ADDRESS, netif->hwaddr, 6);
	end(b);
}

static unsigned prefix_of(uint32_t mask)
{
	return __builtin_popcount(mask);
}

static void dump_v4(struct builder *b, const struct nlmsghdr *request, uint32_t pid, struct netif *netif)
{
	uint32_t ip = ip4_addr_get_u32(netif_ip4_addr(netif)), mask = ip4_addr_get_u32(netif_ip4_netmask(netif)), broadcast = ip | ~mask;
	char name[16];
	if (!ip)
		return;
	struct ifaddrmsg info = { .ifa_family = AF_INET, .ifa_prefixlen = prefix_of(mask), .ifa_flags = IFA_F_PERMANENT,
		.ifa_scope = loopback_is(netif) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE, .ifa_index = netif_get_index(netif)};
	ifconf_name(netif, name);
	begin(b, request, pid, RTM_NEWADDR, NLM_F_MULTI);
	append(b, &info, sizeof(info));
	attribute(b, IFA_ADDRESS, &ip, 4);
	attribute(b, IFA_LOCAL, &ip, 4);
	if (!loopback_is(netif))
		attribute(b, IFA_BROADCAST, &broadcast, 4);
	attribute(b, IFA_LABEL, name, strlen(name) + 1);
	end(b);
}

static void dump_v6(struct builder *b, const struct nlmsghdr *request, uint32_t pid, struct netif *netif)
{
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		const ip6_addr_t *ip = netif_ip6_addr(netif, i);
		uint8_t state = netif_ip6_addr_state(netif, i);
		if (ip6_addr_isinvalid(state))
			continue;
		struct ifaddrmsg info = { .ifa_family = AF_INET6, .ifa_prefixlen = loopback_is(netif) ? 128 : 64,
			.ifa_flags = IFA_F_PERMANENT | (ip6_addr_istentative(state) ? IFA_F_TENTATIVE : 0), .ifa_index = netif_get_index(netif),
			.ifa_scope = loopback_is(netif) ? RT_SCOPE_HOST : ip6_addr_islinklocal(ip) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE};
		begin(b, request, pid, RTM_NEWADDR, NLM_F_MULTI);
		append(b, &info, sizeof(info));
		attribute(b, IFA_ADDRESS, ip->addr, 16);
		end(b);
	}
}

static void dump_each(struct builder *b, const struct nlmsghdr *request, uint32_t pid,
		      void (*one)(struct builder *b, const struct nlmsghdr *request, uint32_t pid, struct netif *netif))
{
	struct netif *netif;
	for (int index = 1; (netif = netif_get_by_index(index)); index++)
		one(b, request, pid, netif);
}

static void dump(struct builder *b, const struct nlmsghdr *request, uint32_t pid, uint8_t family)
{
	if (request->nlmsg_type == RTM_GETLINK)
		dump_each(b, request, pid, dump_link);
	if (request->nlmsg_type == RTM_GETADDR && family != AF_INET6)
		dump_each(b, request, pid, dump_v4);
	if (request->nlmsg_type == RTM_GETADDR && family != AF_INET)
		dump_each(b, request, pid, dump_v6);
	int done = 0;
	begin(b, request, pid, NLMSG_DONE, NLM_F_MULTI);
	append(b, &done, sizeof(done));
	end(b);
}

static void refuse(struct builder *b, const struct nlmsghdr *request, uint32_t pid, int error)
{
	struct nlmsgerr body = { .error = error, .msg = *request };
	begin(b, request, pid, NLMSG_ERROR, 0);
	append(b, &body, sizeof(body));
	end(b);
}

static void queue(struct netlink_socket *n, struct answer *answer)
{
	if (n->first)
		n->last->next = answer;
	else
		n->first = answer;
	n->last = answer;
	wake_all(&n->s.wait, EPOLLIN);
}

static int answer_request(struct netlink_socket *n, const struct nlmsghdr *request, uint8_t family)
{
	struct builder b = { .space = 4096 - sizeof(struct answer) };
	b.answer = kzalloc(4096);
	if (!b.answer)
		return -ENOBUFS;
	bool known = request->nlmsg_type == RTM_GETLINK || request->nlmsg_type == RTM_GETADDR || request->nlmsg_type == RTM_GETROUTE;
	if (known && (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP)
		dump(&b, request, n->pid, family);
	else
		refuse(&b, request, n->pid, -EOPNOTSUPP);
	queue(n, b.answer);
	return 0;
}

static int64_t netlink_send(struct socket *s, struct message *m)
{
	struct { struct nlmsghdr header; uint8_t family; } request = { 0 };
	int64_t size = m->left;
	if (size < (int64_t)sizeof(request.header))
		return -EINVAL;
	if (message_get(m, &request, MIN(m->left, sizeof(request))) < 0)
		return -EFAULT;
	int err = answer_request(of(s), &request.header, request.family);
	return err < 0 ? err : size;
}

static int64_t netlink_receive(struct socket *s, struct message *m)
{
	struct netlink_socket *n = of(s);
	uint64_t start = 0;
	while (!n->first) {
		int err = m->flags & MSG_DONTWAIT ? -EAGAIN : socket_wait(s, s->receive_timeout, &start);
		if (err < 0)
			return err;
	}
	struct answer *answer = n->first;
	uint32_t size = MIN(answer->len, m->left);
	if (message_put(m, answer->data, size) < 0)
		return -EFAULT;
	if (m->name) {
		memset(m->name, 0, sizeof(m->name->netlink));
		m->name->netlink.family = AF_NETLINK;
		m->name_len = sizeof(m->name->netlink);
	}
	uint32_t full = answer->len;
	if (size < full)
		m->out_flags |= MSG_TRUNC;
	if (!(m->flags & MSG_PEEK)) {
		n->first = answer->next;
		kfree(answer);
	}
	return m->flags & MSG_TRUNC ? full : size;
}

static int netlink_bind(struct socket *s, const union address *addr, uint32_t len)
{
	if (len < sizeof(addr->netlink) || addr->netlink.family != AF_NETLINK)
		return -EINVAL;
	if (addr->netlink.pid)
		of(s)->pid = addr->netlink.pid;
	return 0;
}

static int netlink_connect(struct socket *s, const union address *addr, uint32_t len, bool nonblock)
{
	return 0; /* the kernel is the only peer */
}

static int netlink_name(struct socket *s, union address *addr, bool peer)
{
	memset(addr, 0, sizeof(*addr));
	addr->netlink.family = AF_NETLINK;
	addr->netlink.pid = peer ? 0 : of(s)->pid;
	return sizeof(addr->netlink);
}

static uint32_t netlink_poll(struct socket *s)
{
	return EPOLLOUT | (of(s)->first ? EPOLLIN | EPOLLRDNORM : 0);
}

static int netlink_setopt(struct socket *s, int level, int option, const void *value, uint32_t len)
{
	/* Groups tell of changes, of which there are none; NETLINK_EXT_ACK allows more words in an error. */
	bool known = option == NETLINK_ADD_MEMBERSHIP || option == NETLINK_DROP_MEMBERSHIP || option == NETLINK_EXT_ACK;
	return level == SOL_NETLINK && known ? 0 : -ENOPROTOOPT;
}

static void netlink_close(struct socket *s)
{
	struct answer *answer;
	while ((answer = of(s)->first)) {
		of(s)->first = answer->next;
		kfree(answer);
	}
	kfree(s);
}

static const struct proto netlink_proto = {
	.bind = netlink_bind, .connect = netlink_connect, .send = netlink_send, .receive = netlink_receive, .poll = netlink_poll,
	.name = netlink_name, .setopt = netlink_setopt, .close = netlink_close,
};

int netlink_note(struct file *file, const void *bytes, size_t n)
{
	struct socket *s = socket_of(file);
	struct answer *note;

	if (!s || s->proto != &netlink_proto)
		return -EINVAL;
	if (!n)
		return 0;
	note = kzalloc(sizeof(*note) + n);
	if (!note)
		return -ENOBUFS;
	memcpy(note->data, bytes, n);
	note->len = (uint32_t)n;
	queue(of(s), note);
	return 0;
}

int netlink_socket(int family, int type, int protocol, struct socket **s)
{
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	net_up();
	*s = socket_alloc(sizeof(struct netlink_socket), &netlink_proto, family, type, protocol);
	if (!*s)
		return -ENOBUFS;
	of(*s)->pid = current_tid();
	return 0;
}
