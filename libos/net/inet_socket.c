/* SPDX-License-Identifier: Apache-2.0 */
/* Which protocol a new socket of AF_INET and AF_INET6 speaks: above the protocols, which share inet.c. */
#include "libos/net/inet_socket.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

#define PROTOCOLS 263 /* IPPROTO_MAX */

int inet_socket(int family, int type, int protocol, struct socket **s)
{
	if (protocol < 0 || protocol >= PROTOCOLS)
		return -EINVAL;
	if (type == SOCK_RAW && protocol > 0 && protocol < 256 && !capable(CAP_NET_RAW))
		return -EPERM;
	net_use();
	*s = NULL;
	if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
		*s = tcp_socket_new(family);
	else if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
		*s = udp_socket_new(family);
	else if (type == SOCK_RAW && protocol > 0 && protocol < 256)
		*s = raw_socket_new(family, type, protocol);
	else if (type == SOCK_DGRAM && protocol == (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		*s = raw_socket_new(family, type, protocol);
	else
		return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_RAW ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
	return *s ? 0 : -ENOBUFS;
}
