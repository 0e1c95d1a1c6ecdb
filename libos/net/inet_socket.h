/* SPDX-License-Identifier: Apache-2.0 */
/* New sockets of each protocol; NULL: out of memory. */
#ifndef LV_NET_INET_SOCKET_H
#define LV_NET_INET_SOCKET_H

#include "libos/net/socket.h"

struct socket *tcp_socket_new(int family);
struct socket *udp_socket_new(int family);
struct socket *raw_socket_new(int family, int type, int protocol);

#endif
